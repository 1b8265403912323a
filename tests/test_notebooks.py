import ast
import json
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image

from apdlab.__main__ import plan
from apdlab.parameters import resolve
from apdlab.reproduce import run

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PROFILES = sorted(path.stem for path in (FOLDER / "params").glob("*.yaml"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.reads(path.read_text("utf-8"), as_version=nbformat.NO_CONVERT)


def code_of(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


@notebooks
def test_a_notebook_is_valid_and_stored_as_if_never_run(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.metadata.kernelspec.name) == (4, "python3")
    assert "widgets" not in notebook.metadata
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


@notebooks
def test_a_notebook_starts_with_its_title_and_has_one_cell_of_parameters(path):
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    tagged = [cell.cell_type for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == ["code"]


@notebooks
def test_a_notebook_is_short(path):
    lines = [line.strip() for source in code_of(path) for line in source.splitlines()]
    assert 12 <= len(read(path).cells) <= 36
    assert len([line for line in lines if line and not line.startswith("#")]) <= 150


@notebooks
def test_a_notebook_defines_nothing(path):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for source in code_of(path):
        nodes = ast.walk(ast.parse(TransformerManager().transform_cell(source)))
        assert [node.name for node in nodes if isinstance(node, kinds)] == []


@notebooks
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_fits_every_notebook(path, profile, monkeypatch, tmp_path):
    monkeypatch.setenv("APDLAB_NOTEBOOKS", str(FOLDER))
    assert [job.source for job in plan([path.stem], profile, [], tmp_path)] == [path]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def result(request, tmp_path_factory):
    """The folder of one notebook's results, from one execution for all tests."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APDLAB_NOTEBOOKS", str(FOLDER))
        jobs = plan([request.param.stem], "smoke", [], out)
    (outcome,) = run(jobs, workers=1, timeout=300)
    assert outcome.failure is None
    return jobs[0].folder


def numbers_of(result):
    """The numbers of a run, where NaN and infinity are no JSON."""
    return json.loads((result / "numbers.json").read_text("utf-8"), parse_constant=pytest.fail)


@pytest.mark.notebook
def test_a_run_leaves_all_its_files(result):
    figures = numbers_of(result).get("figures", {})
    wanted = {f"{result.name}.ipynb", f"{result.name}.html", "numbers.json"}
    wanted |= {f"figures/{name}.{kind}" for name in figures for kind in ("png", "svg")}
    assert figures
    assert {path.relative_to(result).as_posix() for path in result.rglob("*") if path.is_file()} == wanted


@pytest.mark.notebook
def test_the_numbers_say_what_was_run_and_every_figure_what_it_shows(result):
    numbers = numbers_of(result)
    assert numbers["notebook"] == result.name
    assert numbers["parameters"] == resolve(result.name, {"profile": "smoke", "interactive": False}, FOLDER)
    for name, figure in numbers.get("figures", {}).items():
        assert figure["caption"] and figure["numbers"], name


@pytest.mark.notebook
def test_no_figure_is_empty(result):
    for path in result.glob("figures/*.png"):
        with Image.open(path) as picture:
            darkest, brightest = picture.convert("L").getextrema()
        assert path.stat().st_size > 5000, path.name
        assert darkest < brightest, path.name
