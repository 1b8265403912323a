import importlib.metadata
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from apdlab import notebook
from apdlab.exercises import Exercise, markdown, show
from apdlab.figures import uncertainty_maps
from apdlab.moments import moments
from apdlab.notebook import render
from apdlab.parameters import COMMON, RESERVED
from apdlab.types import Data

SCIENCE = {"steps": 4000, "step_size": 1e-3, "widths": [8, 16], "rates": [1, 0.5], "method": "sgld", "warm": True}
TOY = Exercise("How many?", "Count.", "Three.", lambda n: None if n > 2 else f"{n} is too few")
SMOKE = """
demo: {steps: 4000, step_size: 1.0e-3, widths: [8, 16], rates: [1, 0.5], method: sgld, warm: true}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("APDLAB_NOTEBOOKS", "APDLAB_RUN_DIR"):
        monkeypatch.delenv(name, raising=False)
    params = tmp_path / "notebooks" / "params"
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text(SMOKE)
    (params / "paper.yaml").write_text("other: {steps: 1}\n")
    return params.parent


def cell(**changes):
    """What the globals of a notebook hold after its parameters cell."""
    return {**COMMON, **dict.fromkeys(SCIENCE), **changes}


def start(folder, **changes):
    return notebook.parameters("demo", cell(**changes), notebooks=folder)


def test_the_profile_fills_in_what_is_none(folder):
    run = start(folder, steps=7)
    assert dict(run.values) == {**COMMON, **SCIENCE, "steps": 7}
    assert (run.steps, run.step_size, run.name, run.folder) == (7, 1e-3, "demo", folder.parent / "runs" / "demo")


def test_a_run_gives_what_another_notebook_has_in_its_profile(folder, monkeypatch):
    monkeypatch.setenv("APDLAB_NOTEBOOKS", str(folder))
    (folder / "params" / "smoke.yaml").write_text(SMOKE + "other: {steps: 70, long: 3}\n")
    other = start(folder, seed=5, steps=7).of("other")
    assert vars(other) == {**COMMON, "seed": 5, "steps": 70, "long": 3}
    with pytest.raises(ValueError, match="unknown notebook in profile smoke 'another'; did you mean 'other'"):
        start(folder).of("another")


def test_no_parameter_can_hide_what_a_run_has(folder):
    run = notebook.Run("demo", folder, {})
    assert {word for word in dir(run) if not word.startswith("_")} == RESERVED


def test_results_go_where_the_runner_says(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("APDLAB_RUN_DIR", str(tmp_path / "elsewhere"))
    assert start(folder).folder == tmp_path / "elsewhere"


PARAMETERS = "\n".join(f"{name} = {value!r}" for name, value in cell().items())


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["", PARAMETERS, "n = 3; x = [1]"], None),
        (["", PARAMETERS, "# Parameters\nsteps = 5"], None),
        (["# Parameters\nstepz = 5", PARAMETERS], None),
        (["", PARAMETERS, "def broken("], None),
        (["", PARAMETERS, "# Parameters\nstepz = 5\n"], "unknown parameter of demo 'stepz'; did you mean 'steps'"),
        (["", PARAMETERS + "\nwidth: int | None = None"], "unknown parameter of demo 'width'"),
        (["", PARAMETERS.replace("warm = None", "")], "the parameters cell of demo lacks 'warm'"),
    ],
    ids=["others", "injected", "stale", "broken", "injected-unknown", "extra", "missing"],
)
def test_names_come_from_the_cells_that_set_them(folder, cells, words):
    namespace = {**cell(), "stepz": 5, "width": None, "n": 3, "In": cells}
    if words is None:
        assert notebook.parameters("demo", namespace, notebooks=folder).steps == 4000
    else:
        with pytest.raises(ValueError, match=words):
            notebook.parameters("demo", namespace, notebooks=folder)


def test_a_run_shows_itself_and_names_what_it_lacks(folder):
    run = start(folder, method="<b>")
    assert "steps        4000" in repr(run)
    assert "<th>method</th><td>&lt;b&gt;</td>" in run._repr_html_()
    assert {"steps", "figure"} <= set(dir(run))
    with pytest.raises(AttributeError, match="did you mean 'steps'"):
        _ = run.step


def line(slope=1.0):
    fig = Figure((2, 1))
    fig.subplots().plot([0, 1], [0, slope])
    return fig


def numbers_of(run):
    return json.loads((run.folder / "numbers.json").read_text())


def test_a_figure_is_saved_with_its_numbers(folder):
    run, fig = start(folder), line()
    assert run.figure(fig, "a-line_1", numbers={"y": torch.tensor([0.0, 0.5])}, caption="A line.") is fig
    run.figure(line(2), "steep")
    run.numbers(rows=[{"nll": np.float32(0.5)}])
    assert sorted(path.name for path in run.folder.rglob("*.*")) == [
        "a-line_1.png", "a-line_1.svg", "numbers.json", "steep.png", "steep.svg"
    ]  # fmt: skip
    assert numbers_of(run)["figures"] == {
        "a-line_1": {"caption": "A line.", "numbers": {"y": [0.0, 0.5]}},
        "steep": {"caption": "", "numbers": None},
    }
    assert numbers_of(run)["rows"] == [{"nll": 0.5}]
    assert numbers_of(run)["parameters"] == dict(run.values)
    assert numbers_of(run)["versions"]["torch"] == importlib.metadata.version("torch")


def test_equal_runs_write_equal_files(folder, monkeypatch, tmp_path):
    contents = []
    for place in ("one", "two"):
        monkeypatch.setenv("APDLAB_RUN_DIR", str(tmp_path / place))
        run = start(folder)
        run.figure(line(), "line", numbers=[1])
        contents.append({path.name: path.read_bytes() for path in run.folder.rglob("*.*")})
    assert contents[0] == contents[1]


def test_what_the_cell_shows_is_what_the_file_holds(folder):
    run = start(folder)
    data, axis = Data(torch.zeros(2, 2), torch.tensor([0, 1])), torch.linspace(-5, 5, 3)
    said = moments(torch.full((2, 9, 2), 0.5).log())
    fig = uncertainty_maps(axis, data, dict.fromkeys(("sgd", "sgld", "apd"), said), {})
    run.figure(fig, "maps")
    assert render(fig, "png") == (run.folder / "figures/maps.png").read_bytes()


def test_numbers_of_another_run_are_dropped(folder):
    start(folder, seed=0).numbers(rows=[0])
    again = start(folder, seed=0)
    again.numbers(more=1)
    assert numbers_of(again)["rows"] == [0]
    other = start(folder, seed=1)
    other.numbers(more=2)
    assert "rows" not in numbers_of(other)
    assert numbers_of(other)["parameters"]["seed"] == 1


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a.b", "a b", "line\n", "/etc", "..", "é"])
def test_a_name_that_is_no_plain_file_name_is_refused(folder, name):
    run = start(folder)
    with pytest.raises(ValueError, match="wanted a plain file name"):
        run.figure(line(), name)
    assert not run.folder.exists()


@pytest.mark.parametrize(
    "act",
    [
        lambda run: run.figure(line(), "line", numbers=object()),
        lambda run: run.figure("line", "line"),
        lambda run: run.numbers(figures=1),
        lambda run: run.numbers(rows=[{"a": 1j}]),
    ],
)
def test_what_cannot_be_written_leaves_nothing(folder, act):
    run = start(folder)
    with pytest.raises(ValueError):
        act(run)
    assert not run.folder.exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(path, target):
        raise OSError("disk full")

    path = tmp_path / "deep" / "file"
    notebook.write_whole(path, b"old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        notebook.write_whole(path, b"new")
    assert [(item.name, item.read_bytes()) for item in path.parent.iterdir()] == [("file", b"old")]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (torch.tensor([[1.0, math.nan]], requires_grad=True), [[1.0, None]]),
        (torch.tensor(3), 3),
        (np.float64(-math.inf), None),
        (np.arange(2), [0, 1]),
        (np.bool_(True), True),
        ({1: (None, "a")}, {"1": [None, "a"]}),
        (TOY.check(3), {"right": True, "text": "Right!"}),
    ],
    ids=str,
)
def test_numbers_become_plain(value, wanted):
    assert json.dumps(notebook.plain(value, "it")) == json.dumps(wanted)


@pytest.mark.parametrize(("value", "where"), [(object(), "it"), ({"a": [0, 1j]}, r"it\.a\[1\]"), ([{1}], r"it\[0\]")])
def test_what_is_not_plain_is_refused_by_place(value, where):
    with pytest.raises(ValueError, match=f"^{where} is of type"):
        notebook.plain(value, "it")


@pytest.mark.parametrize(
    ("value", "right", "text"),
    [
        ((3,), True, "Right!"),
        ((1,), False, "Not yet: 1 is too few"),
        (("x",), False, "kind of value"),
        ((), False, "kind"),
    ],
)
def test_an_answer_gets_a_verdict_and_never_a_traceback(value, right, text):
    verdict = TOY.check(*value)
    assert bool(verdict) == right
    assert text in repr(verdict)
    assert "\n" not in repr(verdict)


def test_an_exercise_folds_its_answer(capsys):
    folded = markdown(TOY).split("<details>")
    assert ["How many?" in folded[0], "Count." in folded[1], "Three." in folded[2]] == [True] * 3
    assert all("</details>" in part for part in folded[1:])
    show(TOY)
    assert "Markdown" in capsys.readouterr().out
