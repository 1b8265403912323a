"""One law for a thousand generated bad inputs: each gives one clear line; none crashes, hangs or leaves a file."""

import faulthandler
import gzip
import hashlib
import importlib
import json
import pickle
import random
import re
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path

import bad_inputs
import numpy as np
import pooch
import pytest
import torch
from bad_inputs import Case, each, spoilt
from idx_files import idx
from stored_runs import bayes
from test_main import PARAMETERS, write_notebook

from apdlab import notebook
from apdlab.__main__ import main
from apdlab.data import images, images_test, read_idx
from apdlab.draws import Draws
from apdlab.networks import mlp
from apdlab.parameters import resolve
from apdlab.samplers import Diverged, Run, keep, sgld
from apdlab.store import Store, load, save

SETS = importlib.import_module("apdlab.data.images")
WANTED = re.compile(r"wanted|known: |delete the folder|try ")  # a refusal says what is wanted, or the fix alone


# Files --------------------------------------------------------------------------------------------------------------


def foreign(dice):
    """The bytes of files of other kinds."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps([1]))
    array = BytesIO()
    np.save(array, np.zeros(3))
    yield from (b"", b"x" * 500, b"{}", pickle.dumps({"theta": [0.0] * 99}), packed.getvalue(), array.getvalue())
    yield from (dice.randbytes(dice.randint(1, 4000)) for _ in range(4))


def damaged(dice, content, n=8):
    """The bytes of a file cut anywhere, or of other kinds."""
    yield from (content[: dice.randrange(len(content))] for _ in range(n))
    yield from foreign(dice)


def flipped(dice, content, start, stop, n):
    """The bytes of a file with one of them changed."""
    for _ in range(n):
        at = dice.randrange(start, stop)
        yield content[:at] + bytes([content[at] ^ dice.randint(1, 255)]) + content[at + 1 :]


def stored_draws(dice):
    """A posterior in a file that is cut, changed, foreign, or of another network."""
    network, path = mlp(2, 3), Path("draws.safetensors")
    save(Draws(network, torch.randn(5, 9, generator=bad_inputs.rng())), path)
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = [content.index(word) for word in (b"format", b"apdlab/1", b"apdlab.draws", b"79f5", b"data_offsets")]
    changed = [bad for at in places for bad in flipped(dice, content, at, at + 4, 8)]
    for i, bad in enumerate([*damaged(dice, content, 20), *flipped(dice, content, 0, 8, 10), *changed, content + b"x"]):
        path.write_bytes(bad)
        yield Case(f"draws {i}", "draws.safetensors", partial(load, path, network))
    for old in (b"apdlab/1", b'"tree"', b'"F32"', b"codes", b"Draws", b"data_offsets", b"shape", b"kind", b"fields"):
        assert old in content[:header]
        new = bytes([old[0], old[1] ^ 1, *old[2:]])
        path.write_bytes(content.replace(old, new))
        yield Case(f"draws with {new}", "draws.safetensors", partial(load, path, network))
    path.write_bytes(content)
    for others in ((3, 3), (2, 4), (2, 3, 3), (1, 1)):
        yield Case(f"draws of {others}", "draws.safetensors", partial(load, path, mlp(*others)))
    yield Case("draws of float64", "draws.safetensors", partial(load, path, mlp(2, 3, dtype=torch.float64)))
    yield Case("listed nowhere", "draws.safetensors", partial(load, path, network, kinds=()))
    yield Case("no file", "missing.safetensors", partial(load, Path("missing.safetensors"), network))
    yield Case("a folder", "[.]", partial(load, Path(), network))


def stored_chains(dice):
    """A folder of the store in which one file is cut, foreign, of another chain, or missing."""
    for seed in (0, 1):
        Store(Path(f"store{seed}")).keep(*bayes(seed=seed), every=0.0)
    (folder,), (other,) = (list(Path(f"store{seed}", "chains").iterdir()) for seed in (0, 1))
    for path in sorted(path for path in folder.iterdir() if path.suffix):
        content = path.read_bytes()
        bad = [*damaged(dice, content, 4), (other / path.name).read_bytes()]
        bad += [None] if path.stem != "checkpoint" else []  # without one, the run has not begun
        bad += [file.read_bytes() for file in folder.glob("0*5.safetensors") if file != path]
        if path.suffix == ".safetensors":
            bad += flipped(dice, content, 0, 8, 4)
        for i, harm in enumerate(dice.sample(bad, 10)):
            path.unlink() if harm is None else path.write_bytes(harm)
            yield Case(f"{path.name} {i}", path.stem, lambda: Store(Path("store0")).keep(*bayes()))
            path.write_bytes(content)
    fit = partial(Store(Path("store0")).fit, mlp(2, 3), bad_inputs.Draws, mlp(2, 3), torch.zeros(4, 9))
    fit()
    (path,) = Path("store0").glob("fits/*/fit.safetensors")
    content = path.read_bytes()
    for i, bad in enumerate(damaged(dice, content, 12)):
        path.write_bytes(bad)
        yield Case(f"fit {i}", "fit.safetensors", fit)
    Path("file").write_text("")
    yield from each("root", lambda v: Store(Path(v)), ["file", "file/store", "file/a/b"])


def idx_files(dice):
    """IDX files that are cut, foreign, of other types, or of other sizes than they say."""
    for ending, wrap in (("", bytes), (".gz", partial(gzip.compress, mtime=0))):
        path = Path(f"values-idx{ending}")
        values = np.arange(60).reshape(3, 4, 5)
        magic = [dice.randbytes(3) for _ in range(6)] + [b"\0\0\x0d", b"\0\0\x09"]
        sizes = [[dice.randint(0, 2**32 - 1) for _ in range(dice.randint(1, 4))] for _ in range(8)]
        wrong = [idx(values, magic=m) for m in magic] + [
            idx(values, shape=s) for s in [*sizes, (3, 4), (3, 4, 6), (0, 4, 5), ()]
        ]
        wrong += [idx(values)[:n] for n in range(0, 76, 3)] + [idx(values) + b"x", idx(np.ones((1,) * 5))]
        for i, content in enumerate([*map(wrap, wrong), *damaged(dice, wrap(idx(values)), 12)]):
            path.write_bytes(content)
            yield Case(f"{path} {i}", path.name, partial(read_idx, path))


def image_sets(dice):
    """Files of an image set that are changed, of other shapes, labels out of range; names that no set has."""
    good = {part: (dice.randint(7, 20), 28, 28) for part in ("train", "t10k")}
    files = {f"{p}-images-idx3-ubyte": idx(np.ones(s)) for p, s in good.items()}
    files |= {f"{p}-labels-idx1-ubyte": idx(np.arange(s[0]) % 10) for p, s in good.items()}
    wrong = []
    for name in files:
        n = good[name.split("-")[0]][0]
        shapes = (
            [(n + 1, 28, 28), (n, 28, 27), (n, 784), (n, 1, 28, 28)] if "images" in name else [(n + 1,), (n, 1), (1,)]
        )
        wrong += [(name, idx(np.ones(shape))) for shape in shapes] + [
            (name, bad) for bad in damaged(dice, files[name], 3)
        ]
        if "labels" in name:
            labels = torch.arange(n) % 10
            wrong += [(name, idx(bad.numpy())) for bad in spoilt(dice, labels, [10, 255, dice.randint(11, 254)])]
    folder = Path("data", "mnist")
    folder.mkdir(parents=True)
    for i, (name, content) in enumerate(wrong):
        for file, held in (files | {name: content}).items():
            (folder / file).write_bytes(held)
        known = {file: hashlib.md5(held).hexdigest() for file, held in (files | {name: content}).items()}
        SETS.MD5 = {"mnist": known | {f"{file}.gz": "0" for file in files}}
        yield Case(f"{name} {i}", "-ubyte", partial(images, "mnist"))
        SETS.MD5 = {
            "mnist": {file: hashlib.md5(held).hexdigest() for file, held in files.items()}
            | {f"{f}.gz": "0" for f in files}
        }
        if content != files[name]:
            yield Case(f"{name} {i} of another sum", "md5", partial(images, "mnist"))
    yield from each("name", images, ["MNIST", "cifar", "", "../mnist", "mnist/", "train"])
    yield from each("name", images_test, ["digits", "cifar", None, 3])


# Parameters, profiles, the command line -----------------------------------------------------------------------------

PROFILE = "demo: {steps: 4000, step_size: 1.0e-3, widths: [8, 16], rates: [1, 0.5], method: sgld, warm: true}\n"
WRONG = {
    "steps": ["abc", 3.5, True, 0, -1, "1e999", [1], "nan", "inf", {}, "", "3 4", "0x10", "1e-3", -(10**30)],
    "step_size": ["nan", "inf", "fast", 10**400, -1e-3, "1e-400", False, [0.1], {}, "", "1,5", "1e", 0.0, float("nan")],
    "widths": ["8", [], [8, 0], "[1, [", "[]", [None], [[8]], "[8, x]", {"a": 1}, 8, "{8: 1}", "[.nan]", "x: y"],
    "rates": [[-1], ["x"], "[1, .inf]", [float("nan")], "[1 2", [0.5, {}], 0.5, "0.5", "[0]", "- 1\n- -2"],
    "method": [3, True, ["sgld"], 0.5, {}],
    "warm": ["maybe", 1, 0, "yes", [], "", 1.0, "truefalse"],
    "seed": [-1, "1.5", "x", True, [0], float("inf"), "nan", -(10**20)],
    "device": ["gpu", "meta", "cpu:7", "cuda:9", "", "cuda:-1", 3, "xpu", "tpu", "a b", "cuda:x"],
    "interactive": ["no", 1, 0.0, "on", []],
    "profile": ["smoky", "../smoke", 3, "", "smoke.yaml", "SMOKE", ["smoke"], "params/smoke"],
}  # fmt: skip


def profiles(dice):
    """Parameters of a notebook that are unknown, of another type or impossible; profiles that are no tables."""
    params = Path("notebooks", "params")
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text(PROFILE)
    cell = dict.fromkeys(("steps", "step_size", "widths", "rates", "method", "warm"))
    cell |= {"profile": "smoke", "seed": 0, "device": "cpu", "interactive": False}
    start = partial(notebook.parameters, "demo", notebooks=params.parent)
    for word, values in WRONG.items():
        yield from each(word, lambda v, w=word: start(cell | {w: v}), values)
    for _ in range(20):
        word = list(dice.choice([*WRONG, "lr"]))
        word[dice.randrange(len(word))] = dice.choice("xyzq")
        word = "".join(word)
        yield Case(f"unknown {word}", word, partial(start, cell | {word: 1}))
    for word in cell:
        yield Case(f"lacks {word}", word, partial(start, {key: value for key, value in cell.items() if key != word}))
    texts = [
        "",
        "demo",
        "demo:",
        "[demo]",
        "demo: 3",
        "demo: [1]",
        "other: {a: 1}",
        "3",
        "demo: {1: 2}",
        "demo: {steps: 2020-01-01}",
    ]
    texts += [
        f"demo: {{steps: {v}}}"
        for v in ("null", "{a: 1}", "[]", "1e-3", ".nan", "-1", "0", ".inf", "[[1]]", "[1, null]")
    ]
    texts += [f"demo: {{{w}: 1}}" for w in ("seed", "name", "folder", "_merge", "figure", "device", "store", "values")]
    texts += [PROFILE[: dice.randrange(7, len(PROFILE) - 2)] for _ in range(12)]
    texts += [
        "demo: {steps: 3",
        "a: b: c",
        "\tdemo: 1",
        "demo: *x",
        "demo: !!python/object:os.system {}",
        "&a [*a]",
        "demo: @",
    ]
    for i, content in enumerate(
        [*(text.encode() for text in texts), b"\xff\xfe\x00", b"demo: \x00", b"\x80", pickle.dumps(1)]
    ):
        (params / "smoke.yaml").write_bytes(content)
        yield Case(f"profile {i} {content[:30]}", "smoke|demo|steps", partial(resolve, "demo", {}, params.parent))
    (params / "smoke.yaml").unlink()
    yield Case("no profiles", "params", partial(start, cell))
    yield from each(
        ("folder", "params"),
        lambda v: notebook.parameters("demo", cell, notebooks=v),
        [Path("missing"), Path("notebooks/params")],
    )


def command_line(dice):
    """Requests that name what is not there or set what cannot be; notebooks that are none."""
    folder = Path("notebooks")
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "smoke.yaml").write_text(PROFILE + PROFILE.replace("demo", "harmed"))
    names = [line.split(":")[0] for line in PARAMETERS.splitlines()[1:5]]
    cell = "\n".join(f"{word} = None" for word in [*names, *WRONG])
    write_notebook(folder / "demo.ipynb", ["p.steps"], cell)
    good = (folder / "demo.ipynb").read_text()
    Path("file").write_text("")
    (Path("mine") / "demo").mkdir(parents=True)
    (Path("mine") / "demo" / "thesis.tex").write_text("")

    def request(line):
        return Case(" ".join(line)[:60], line[0], partial(told, ["reproduce", *line[1:]]))

    for word, values in WRONG.items():
        for value in values:
            if isinstance(value, str) and word not in ("profile", "interactive"):
                yield request([word, "demo", "--set", f"{word}={value}"])
    sets = [
        "steps",
        "=3",
        "steps=",
        "",
        "=",
        "a b=3",
        "3=steps",
        "profile=smoke",
        "interactive=false",
        "--steps=3",
        "stepz=3",
        "st-eps=3",
    ]
    yield from (request(["--set|unknown", "demo", f"--set={text}"]) for text in sets)
    yield from (request(["profile", "demo", "--profile", str(v)]) for v in WRONG["profile"])
    unknown = [
        "dem",
        "Demo",
        "demo.py",
        "../demo",
        "",
        "notebooks/demo",
        "demo ",
        "alll",
        "demo.ipynb.ipynb",
        "*",
        "x" * 200,
    ]
    yield from (request(["notebook", name]) for name in unknown)
    yield from (request(["--jobs", "demo", "--jobs", v]) for v in ("0", "-1", "two", "1.5", "", "nan"))
    yield from (request(["--timeout", "demo", "--timeout", v]) for v in ("0", "-1", "nan", "inf", "soon", ""))
    yield from (request(["file|result", "demo", "--out", v]) for v in ("file", "file/deeper", "mine"))
    strange = [["--proffile", "x"], ["--set"], ["--jobs"], ["--list", "--what"], ["-x"]]
    yield from (request(["arguments|argument", "demo", *words]) for words in strange)
    yield request(["notebook"])
    yield from (
        Case(f"{line}", "argument|required|choice", partial(told, line))
        for line in ([], ["run"], ["--profile"], ["reproducee"])
    )
    cells = json.loads(good)["cells"]
    broken = [good[: dice.randrange(len(good) - 2)].encode() for _ in range(12)] + list(foreign(dice))
    broken += [
        json.dumps(json.loads(good) | {"cells": value}).encode()
        for value in (3, None, "x", {}, [], [3], [{}], cells[:1], [[]])
    ]
    broken += [json.dumps(value).encode() for value in ([], 3, "cells", None, {"cells": None})]
    for i, content in enumerate(broken):
        (folder / "harmed.ipynb").write_bytes(content)
        yield Case(f"notebook {i}", "harmed", partial(told, ["reproduce", "harmed"]))


def told(arguments):
    """Call the command line in this process; what it prints when it refuses is raised."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    assert (code, out.getvalue()) == (2, "") and re.fullmatch(r"apdlab: [^\n]*\n", err.getvalue())
    raise ValueError(err.getvalue()[:-1])


def results(dice):
    """Names and values that a run of a notebook cannot write."""
    from matplotlib.figure import Figure

    run, fig = notebook.Run("demo", Path("runs"), {"profile": "smoke"}), Figure((1, 1))
    yield from each(
        ("figure", "name"),
        partial(run.figure, fig),
        ["", "a/b", "../a", "a.png", "a b", "a\n", "\u00e9", "." * dice.randint(1, 9)],
    )
    yield from each("fig", lambda v: run.figure(v, "a"), [None, 3, "a", [fig], np.zeros(3), torch.zeros(3)])
    odd = [object(), {1}, b"x", 1j, torch.device("cpu"), range(3), Path("x"), fig, np.array([object()]), lambda: 1]
    yield from each(("figure's", "line"), lambda v: run.figure(fig, "line", numbers=v), odd)
    for value in odd:
        deep = dice.choice([lambda v: [1, v], lambda v: {"part": v}, lambda v: (v,)])(value)
        yield Case(f"numbers {type(value).__name__}", "rows", partial(run.numbers, rows=deep))
    yield from (
        Case(f"taken {word}", word, partial(run.numbers, **{word: 1}))
        for word in ("figures", "notebook", "parameters", "versions")
    )


def divergence(dice):
    """Steps so large, and starts so far out, that chains and members leave the numbers."""
    for _ in range(12):
        theta = torch.randn(3, 2, generator=bad_inputs.rng())
        start = next(spoilt(dice, theta, [dice.choice([float("nan"), float("inf"), 1e30])]))
        run = Run(sgld(lambda t, b: -t.square().sum(-1).square(), 1.0), start, lambda t: None, 0, 50)
        yield Case("chain", "step_size", partial(keep, run, mlp(1, 1)))


# The law ------------------------------------------------------------------------------------------------------------

GENERATORS = {
    stored_draws: 90, stored_chains: 160, idx_files: 140, image_sets: 150,
    profiles: 180, command_line: 130, results: 30, divergence: 10,
    bad_inputs.numbers: 300, bad_inputs.own_data: 120, bad_inputs.minibatches: 30, bad_inputs.likelihoods: 90,
    bad_inputs.unfit: 70, bad_inputs.outputs: 260, bad_inputs.draws_and_chains: 70, bad_inputs.scores: 160,
    bad_inputs.weights: 180, bad_inputs.fits: 170, bad_inputs.distillers: 160, bad_inputs.unstorable: 40,
    bad_inputs.one_class: 17,
}  # fmt: skip


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty current folder, no settings from outside, no web; a hang ends the tests with a traceback."""
    for name in ("APDLAB_NOTEBOOKS", "APDLAB_RUN_DIR", "APDLAB_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APDLAB_DATA", "data")
    monkeypatch.setattr(SETS, "MD5", SETS.MD5)
    monkeypatch.setattr(SETS, "MIRRORS", dict.fromkeys(SETS.MD5, ("http://127.0.0.1:1/",)))
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    faulthandler.dump_traceback_later(120, exit=True)
    yield tmp_path
    faulthandler.cancel_dump_traceback_later()


def tree(folder):
    """Every file below a folder, with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def fault(case, folder):
    """Say how a call falls short of a refusal in one clear line, or None."""
    before = tree(folder)
    try:
        case.call()
    except (ValueError, Diverged) as error:
        said = str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    else:
        return "it is taken"
    if "\n" in said or not 10 < len(said) < 400:
        return f"{len(said)} characters, {said.count(chr(10)) + 1} lines: {said}"
    if not re.search(case.word, said):
        return f"no {case.word}: {said}"
    if not WANTED.search(said):
        return f"nothing wanted: {said}"
    return None if tree(folder) == before else "it leaves files"


@pytest.mark.parametrize(("generate", "least"), GENERATORS.items(), ids=lambda part: getattr(part, "__name__", None))
def test_a_bad_input_is_refused_in_one_clear_line_and_leaves_no_file(nowhere, generate, least):
    found = [(case.label, fault(case, nowhere)) for case in generate(random.Random(generate.__name__))]
    wrong = [f"{label}: {why}" for label, why in found if why]
    print(f"\n{generate.__name__}: {len(found)} cases, {len(wrong)} wrong")
    assert not wrong, f"{len(wrong)} of {len(found)}:\n" + "\n".join(wrong)
    assert len(found) >= least


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b'{"notebook": 1}'])
def test_damaged_numbers_are_replaced_by_those_of_the_run(nowhere, content):
    run = notebook.Run("demo", nowhere, {"profile": "smoke"})
    (nowhere / "numbers.json").write_bytes(content)
    run.numbers(nll=0.3)
    assert json.loads((nowhere / "numbers.json").read_text())["nll"] == 0.3


def test_there_are_a_thousand():
    assert sum(GENERATORS.values()) >= 1000  # each of which the test above has counted
