import math

import pytest
import torch

from apdlab.parameters import COMMON, RESERVED, notebooks_folder, resolve

SCIENCE = {"steps": 4000, "step_size": 1e-3, "widths": [8, 16], "rates": [1, 0.5], "method": "sgld", "warm": True}
SMOKE = """
demo: {steps: 4000, step_size: 1.0e-3, widths: [8, 16], rates: [1, 0.5], method: sgld, warm: true}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("APDLAB_NOTEBOOKS", raising=False)
    params = tmp_path / "notebooks" / "params"
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text(SMOKE)
    (params / "paper.yaml").write_text("other: {steps: 1}\n")
    return params.parent


def test_what_is_none_or_absent_is_as_the_profile_says(folder):
    given = {**COMMON, **dict.fromkeys(SCIENCE), "steps": 7}
    assert resolve("demo", given, folder) == resolve("demo", {"steps": 7}, folder) == {**COMMON, **SCIENCE, "steps": 7}


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("step_size", "1e-3", 0.001),
        ("step_size", 2, 2.0),
        ("steps", "3000", 3000),
        ("steps", "1e4", 10000),
        ("steps", 3.0, 3),
        ("seed", "1152921504606846977", 1152921504606846977),
        ("seed", 0, 0),
        ("warm", "true", True),
        ("warm", "False", False),
        ("interactive", "True", True),
        ("widths", "[4, 4.0]", [4, 4]),
        ("widths", [4, "5"], [4, 5]),
        ("rates", [2], [2.0]),
        ("method", "3", "3"),
        ("device", "auto", "cuda" if torch.cuda.is_available() else "cpu"),
    ],
)
def test_a_value_is_read_as_its_profile_has_it(folder, name, given, wanted):
    value = resolve("demo", {name: given}, folder)[name]
    assert value == wanted
    assert type(value) is type(wanted)
    assert not isinstance(wanted, list) or [type(item) for item in value] == [type(item) for item in wanted]


REFUSED = [
    ("steps", "abc", "steps is 'abc'; wanted a whole number"),
    ("steps", 3.5, "steps is 3.5; wanted a whole number"),
    ("steps", True, "steps is True"),
    ("steps", 0, "steps is 0; wanted more than 0"),
    ("steps", "1e999", "steps is '1e999'"),
    ("steps", [1], "steps is [1]"),
    ("step_size", "nan", "step_size is 'nan'; wanted a finite number"),
    ("step_size", math.inf, "step_size is inf"),
    ("step_size", 10**400, "step_size is 1000"),
    ("step_size", -1e-3, "step_size is -0.001; wanted more than 0"),
    ("step_size", "1e-400", "step_size is 0.0; wanted more than 0"),
    ("step_size", False, "step_size is False"),
    ("widths", "8", "widths is '8'; wanted a list"),
    ("widths", [], "widths is []"),
    ("widths", [8, 0], "widths is [8, 0]; wanted more than 0"),
    ("widths", "[1, [", "widths is '[1, ['"),
    ("method", 3, "method is 3; wanted a text"),
    ("warm", "maybe", "warm is 'maybe'; wanted true or false"),
    ("warm", 1, "warm is 1"),
    ("seed", -1, "seed is -1; wanted a whole number of 0 or more"),
    ("seed", "1.5", "seed is '1.5'"),
    ("device", "gpu", "unknown device 'gpu'"),
    ("device", "meta", "unknown device 'meta'"),
    ("device", "cpu:7", "device is 'cpu:7'"),
    ("interactive", "no", "interactive is 'no'"),
    ("profile", "smoky", "unknown profile 'smoky'; did you mean 'smoke'? known: paper, smoke"),
    ("profile", "../smoke", "unknown profile"),
    ("profile", 3, "unknown profile 3"),
    ("profile", "paper", "unknown notebook in profile paper 'demo'"),
    ("stepz", 1, "unknown parameter of demo 'stepz'; did you mean 'steps'?"),
]


@pytest.mark.parametrize(
    ("name", "given", "words"), REFUSED, ids=[f"{name}={str(given)[:9]}" for name, given, _ in REFUSED]
)
def test_an_impossible_value_is_refused_in_one_line(folder, name, given, words):
    with pytest.raises(ValueError) as caught:
        resolve("demo", {name: given}, folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "count", "wanted"), [("cuda:1", 2, "cuda:1"), ("cuda", 1, "cuda"), ("auto", 1, "cuda")]
)
def test_a_device_that_is_there_is_taken(folder, monkeypatch, name, count, wanted):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    assert resolve("demo", {"device": name}, folder)["device"] == wanted


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:1", 1)])
def test_a_device_that_is_not_there_is_refused(folder, monkeypatch, name, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=f"device is '{name}'; torch sees {count}.*use 'cpu' or 'auto'"):
        resolve("demo", {"device": name}, folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("demo: {step_size: 1e-3}", "step_size of demo in params/smoke.yaml is '1e-3', which YAML reads as a text"),
        ("demo: {rates: [1e5]}", "rates of demo .* is '1e5'"),
        ("demo: {steps: null}", "steps of demo .* is None"),
        ("demo: {steps: {a: 1}}", "steps of demo"),
        ("demo: {widths: []}", "widths of demo .* empty"),
        ("demo: {steps: .nan}", "steps is nan"),
        ("demo: {steps: -1}", "steps is -1"),
        ("demo: {seed: 1}", "'seed' of demo .* meaning of its own"),
        *((f"demo: {{{word}: 1}}", f"'{word}' of demo") for word in sorted(RESERVED)),
        ("demo: {_merge: 1}", "'_merge' of demo"),
        ("demo: [", "params/smoke.yaml is not YAML"),
        ("demo", "unknown notebook in profile smoke 'demo'"),
        ("", "unknown notebook in profile smoke 'demo'"),
        ("demo:", "unknown notebook in profile smoke 'demo'"),
    ],
)
def test_a_broken_profile_is_refused_in_one_line(folder, text, words):
    (folder / "params" / "smoke.yaml").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        resolve("demo", {}, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["argument", "environment", "inside", "beside"])
def test_the_notebooks_are_found(folder, tmp_path, monkeypatch, place):
    monkeypatch.chdir({"inside": folder, "beside": folder.parent}.get(place, tmp_path.parent))
    if place == "environment":
        monkeypatch.setenv("APDLAB_NOTEBOOKS", str(folder))
    assert notebooks_folder(folder if place == "argument" else None) == folder.resolve()


def test_a_folder_without_profiles_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no params/\*.yaml in .*APDLAB_NOTEBOOKS"):
        notebooks_folder(tmp_path)
    monkeypatch.setenv("APDLAB_NOTEBOOKS", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="missing"):
        notebooks_folder()
