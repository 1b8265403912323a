import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from apdlab import reproduce
from apdlab.__main__ import main
from apdlab.parameters import COMMON, resolve

PARAMETERS = """from apdlab import notebook
profile: str = "smoke"
seed: int = 0
device: str = "cpu"
interactive: bool = True
steps: int | None = None
step_size: float | None = None"""
FIGURE = """from matplotlib.figure import Figure
fig = Figure((2, 1))
_ = fig.subplots().plot([0, p.steps])
p.figure(fig, "line", numbers={"y": [0, p.steps]}, caption="A line.")"""
WIDGET = """import ipywidgets, sys
from apdlab.exercises import Exercise, show
show(Exercise("How many?", "Count.", "**Three.**", lambda n: None))
display(ipywidgets.IntSlider())
p.numbers(python=sys.executable, step_size=p.step_size, interactive=p.interactive)"""
MARK = "import pathlib; pathlib.Path('started').touch()"
CELLS = {
    "good": [FIGURE, WIDGET],
    "bad": ["1 / 0", "2"],
    "gone": ["import sys; sys.exit(0)", "2"],
    "slow": [MARK, "while True: pass"],
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with notebooks beside it, where an alien kernel called python3 lies in wait."""
    monkeypatch.delenv("APDLAB_NOTEBOOKS", raising=False)
    monkeypatch.chdir(tmp_path)
    params = tmp_path / "notebooks" / "params"
    params.mkdir(parents=True)
    (params / "smoke.yaml").write_text("".join(f"{name}: {{steps: 3, step_size: 1.0e-3}}\n" for name in CELLS))
    (params / "paper.yaml").write_text("good: {steps: 9, step_size: 1.0e-3}\n")
    (tmp_path / "notebooks" / "dot.png").write_bytes(b"\x89PNG")
    for name, cells in CELLS.items():
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", cells)
    alien = tmp_path / "alien" / "kernels" / "python3" / "kernel.json"
    alien.parent.mkdir(parents=True)
    alien.write_text('{"argv": ["false", "{connection_file}"], "display_name": "alien", "language": "python"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "alien"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "alien"))
    return tmp_path


def write_notebook(path, cells, parameters=PARAMETERS):
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# A notebook\n\n![dot](dot.png)"),
            new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            new.new_code_cell(f"p = notebook.parameters({path.stem!r}, globals())"),
            *map(new.new_code_cell, cells),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    if path.stem == "good":
        notebook.metadata.apdlab = {"title": "Good", "reproduces": "Figure 1", "minutes": {"smoke": 0.1, "paper": 90}}
    nbformat.write(notebook, path)


def result(folder, text="old"):
    """A result of an earlier run."""
    folder.mkdir(parents=True)
    (folder / "numbers.json").write_text(text)
    return folder


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_good_runs_are_kept_whole_and_bad_ones_aside(place, capsys):
    out = place / "out {x}"
    result(out / "good"), result(out / "bad"), result(out / "bad.failed")
    assert main(["reproduce", "good", "bad.ipynb", "--jobs", "2", "--out", str(out), "--set", "steps=4"]) == 1
    printed = capsys.readouterr()
    assert re.fullmatch(rf"good  smoke  [\d.]+ s  {re.escape(str(out))}/good\n", printed.out)
    assert re.fullmatch(r"apdlab: bad: cell 4 \(In \[4\]\): ZeroDivisionError: division by zero; see .*\n", printed.err)
    assert listing(out) == ["bad", "bad.failed", "good"]
    assert (out / "bad" / "numbers.json").read_text() == "old"
    assert "ZeroDivisionError" in (out / "bad.failed" / "bad.ipynb").read_text()
    assert listing(out / "good") == ["figures", "good.html", "good.ipynb", "numbers.json"]
    assert listing(out / "good" / "figures") == ["line.png", "line.svg"]
    check_numbers(json.loads((out / "good" / "numbers.json").read_text()))
    check_notebook(nbformat.read(out / "good" / "good.ipynb", 4))
    check_page((out / "good" / "good.html").read_text())


def check_numbers(numbers):
    assert (numbers["python"], numbers["step_size"], numbers["interactive"]) == (sys.executable, 1e-3, False)
    assert numbers["parameters"] == {**COMMON, "interactive": False, "steps": 4, "step_size": 1e-3}
    assert numbers["figures"] == {"line": {"caption": "A line.", "numbers": {"y": [0, 4]}}}


def check_notebook(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.metadata.papermill.status for cell in code] == ["completed"] * 5
    assert [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code] == [0, 0, 0, 1, 0]
    assert notebook.metadata.papermill.output_path == "good.ipynb"


def check_page(page):
    images = re.findall(r'<img[^>]*\ssrc="([^"]{22})', page)
    assert images == ["data:image/png;base64,"] * 2
    assert re.search(r"<summary>Answer</summary>\s*<p><strong>Three.</strong></p>\s*</details>", page)
    assert reproduce.WIDGET not in page
    assert "IntSlider(value" not in page
    assert "require.js" not in page


def test_sys_exit_is_a_failure_and_a_new_run_replaces_the_old(place, capsys):
    result(place / "runs" / "good")
    (place / "runs" / "good" / "stale.txt").touch()
    result(place / "runs" / "good.failed")
    assert main(["reproduce", "gone", "good", "--profile", "smoke", "--jobs", "2"]) == 1
    assert "apdlab: gone: cell 4 (In [4]): SystemExit: 0" in capsys.readouterr().err
    assert listing(place / "runs") == ["gone.failed", "good"]
    assert listing(place / "runs" / "good") == ["figures", "good.html", "good.ipynb", "numbers.json"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_a_terminated_run_leaves_nothing_behind(place):
    result(place / "runs" / "slow")
    process = subprocess.Popen([sys.executable, "-m", "apdlab", "reproduce", "slow"], stderr=subprocess.PIPE)
    while not (place / "notebooks" / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == b"apdlab: stopped; nothing partial is left\n"
    assert (process.returncode, listing(place / "runs")) == (130, ["slow"])
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []


REFUSED = [
    ("good --set steps=abc", "steps is 'abc'; wanted a whole number like 3"),
    ("good --set steps=0", "steps is 0; wanted more than 0"),
    ("good --set step=3", "unknown parameter of good 'step'; did you mean 'steps'?"),
    ("good --set steps", "--set steps: wanted name=value"),
    ("good --set =3", "--set =3: wanted name=value"),
    ("good --set steps=", "--set steps=: wanted name=value"),
    ("good --set steps=1 --set steps=2", "steps is set twice"),
    ("good --set profile=paper", "use --profile"),
    ("good --set interactive=True", "never interactive"),
    ("good --set seed=-1", "seed is -1"),
    ("good --set device=gpu", "unknown device 'gpu'"),
    ("good --profile smoky", "unknown profile 'smoky'; did you mean 'smoke'?"),
    ("all --profile paper", "unknown notebook in profile paper 'bad'"),
    ("goof", "unknown notebook 'goof'; did you mean 'good'?"),
    ("good ../good", "unknown notebook '../good'"),
    ("lacking", "the parameters cell of lacking lacks 'step_size'"),
    ("untagged", "untagged.ipynb has no cell with the tag 'parameters'"),
    ("broken", "broken.ipynb is not a notebook of format 4"),
    ("good --jobs 0", "--jobs is 0; wanted 1 or more"),
    ("good --jobs two", "invalid int value: 'two'"),
    ("good --timeout 0", "--timeout is 0.0"),
    ("good --timeout nan", "--timeout is nan"),
    ("good --out file", "file is a file; wanted a folder"),
    ("good --out file/deeper", "file is a file; wanted a folder"),
    ("good --out mine", "is not the result of an earlier run"),
    ("good --proffile smoke", "unrecognized arguments: --proffile"),
    ("", "no notebook is named"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[arguments or "nothing" for arguments, _ in REFUSED])
def test_a_bad_request_is_refused_before_anything_is_written(place, capsys, arguments, words):
    notebooks = place / "notebooks"
    write_notebook(notebooks / "lacking.ipynb", [], PARAMETERS.replace("step_size", "_"))
    (notebooks / "untagged.ipynb").write_text((notebooks / "good.ipynb").read_text().replace('"parameters"', '"other"'))
    (notebooks / "broken.ipynb").write_text("{")
    with (notebooks / "params" / "smoke.yaml").open("a") as file:
        file.writelines(f"{name}: {{steps: 3, step_size: 1.0e-3}}\n" for name in ("lacking", "untagged", "broken"))
    (place / "file").touch()
    (place / "mine" / "good").mkdir(parents=True)
    (place / "mine" / "good" / "thesis.tex").touch()
    before = sorted(place.rglob("*"))
    assert main(["reproduce", *arguments.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"apdlab: [^\n]*\n", printed.err)
    assert words in printed.err
    assert sorted(place.rglob("*")) == before


def test_the_command_line_and_the_notebook_refuse_in_the_same_words(place, capsys):
    with pytest.raises(ValueError) as caught:
        resolve("good", {"step_size": "fast"}, place / "notebooks")
    main(["reproduce", "good", "--set", "step_size=fast"])
    assert capsys.readouterr().err == f"apdlab: {caught.value}\n"


def test_no_notebooks_at_all_is_refused(place, monkeypatch, capsys):
    for path in (place / "notebooks").glob("*.ipynb"):
        path.unlink()
    assert main(["reproduce", "all"]) == 2
    assert "holds no notebooks" in capsys.readouterr().err


def test_the_list_tells_what_is_reproduced(place, capsys):
    assert main(["reproduce", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["notebook", "reproduces", "smoke", "quick", "paper"]
    assert lines[1].split() == ["bad", "-", "-", "-", "-"]
    assert lines[3].split() == ["good", "Figure", "1", "0.1", "-", "90"]
    assert [line.index("-" if "-" in line else "quick") for line in lines[1:3]] == [lines[0].index("reproduces")] * 2


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert re.fullmatch(r"apdlab \d+\.\d+\.\d+\n", capsys.readouterr().out)
