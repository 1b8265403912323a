import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

import apdlab

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
TESTS = [Requirement(line) for line in PROJECT["optional-dependencies"]["test"]]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
CONDA = [item for item in ENVIRONMENT["dependencies"] if isinstance(item, str)]
PYPI_NAME = {"pytorch": "torch", "matplotlib-base": "matplotlib", "seaborn-base": "seaborn"}
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")
]

# A room may use those before it, and never one after it.
ROOMS = (
    "types files streams stacks tapes networks resnet likelihoods priors density tempering targets schedules draws "
    "chains data samplers moments metrics predict predictor attacks fidelity posterior distill diagnostics "
    "temperatures playground store scoreboard ood paired cold paths shared toys paper maps atlas active robustness "
    "figures widgets parameters exercises lessons notebook series reproduce __main__"
).split()
MODULES = sorted((ROOT / "apdlab").rglob("*.py"))


def conda_bounds():
    return {spec.name.normalized: str(spec.version) for spec in map(MatchSpec, CONDA)}


@pytest.mark.parametrize("line", CONDA)
def test_every_conda_line_is_a_spec(line):
    assert MatchSpec(line).name.normalized == re.match(r"[\w-]+", line)[0]


def test_the_conda_environment_has_the_dependencies_of_the_project_and_their_bounds():
    bounds = conda_bounds()
    python = bounds.pop("python")
    assert bounds.pop("pip") == "None"
    assert python.split(",")[0] == PROJECT["requires-python"]
    assert {PYPI_NAME.get(name, name): bound for name, bound in bounds.items()} == {
        requirement.name: str(requirement.specifier) for requirement in RUNTIME
    }


@pytest.mark.parametrize("name", ["torch", "jupyterlab", "ipywidgets", "matplotlib", "seaborn", "papermill"])
def test_what_every_notebook_needs_is_named(name):
    assert name in {PYPI_NAME.get(conda, conda) for conda in conda_bounds()}


def test_the_conda_environment_comes_from_conda_forge_and_ends_with_this_checkout():
    assert set(ENVIRONMENT) == {"name", "channels", "dependencies"}
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]
    assert ENVIRONMENT["dependencies"][-2:] == ["pip", {"pip": ["-e ."]}]


def test_a_constraint_is_one_exact_public_version():
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[\w.-]+==[0-9][0-9a-z.]*", line)] == []


@pytest.mark.parametrize("requirement", [*RUNTIME, *TESTS], ids=lambda requirement: requirement.name)
def test_the_constraints_fix_what_the_project_asks_for(requirement):
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in CONSTRAINTS)}
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_torch_is_fixed_to_the_version_whose_default_build_is_small():
    assert "torch==2.13.0" in CONSTRAINTS


def test_all_files_tell_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["version"] == apdlab.__version__
    assert citation["license"] == PROJECT["license"]
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] in ("Unreleased", PROJECT["version"])


def imported(source):
    """The full names of what a module imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(ROOT / "apdlab").with_suffix("").parts[0]


def test_every_module_is_in_a_room():
    assert {room(path) for path in MODULES} - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = room(path)
    allowed = {"__version__", *ROOMS[: ROOMS.index(own) + 1]} if own in ROOMS else {"__version__"}
    names = [name for name in imported(path.read_text("utf-8")) if name.startswith(("apdlab.", "."))]
    assert {name.split(".")[1] for name in names} <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path):
    """At most 300 lines; a function, less its docstring, at most 40."""
    source = path.read_text("utf-8")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    bodies = {node.name: node.body[ast.get_docstring(node) is not None :] for node in functions}
    lengths = {name: body[-1].end_lineno - body[0].lineno + 1 for name, body in bodies.items() if body}
    assert source.count("\n") <= 300 and not {name for name, length in lengths.items() if length > 40}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("apdlab", {"numpy", "torch", "matplotlib", "pandas", "sklearn", "IPython"}),
        ("apdlab.__main__", {"torch", "matplotlib", "pandas", "sklearn", "IPython", "papermill"}),
        ("apdlab.data", {"matplotlib", "pandas", "sklearn", "IPython"}),
    ],
)
def test_an_import_brings_no_more_than_it_needs(module, heavy):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.skipif(not list((ROOT / "notebooks").glob("*.ipynb")), reason="there is no notebook yet")
def test_notebooks_are_in_style():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "notebooks"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
