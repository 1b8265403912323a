import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apdlab import reproduce


def result(folder, text="old"):
    """A result of an earlier run."""
    folder.mkdir(parents=True)
    (folder / "numbers.json").write_text(text)
    return folder


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def code(status="completed", count=1, error=None, tags=(), started="now"):
    outputs = [{"output_type": "error", "ename": "E", "evalue": error}] if error else []
    metadata = {"tags": list(tags), "papermill": {"status": status, "start_time": started}}
    return {"cell_type": "code", "metadata": metadata, "outputs": outputs, "execution_count": count}


TEXT = {"cell_type": "markdown", "metadata": {}}


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ([TEXT, code(), code(count=2)], ("cell 3 (In [2])", None)),
        ([code(), code(error="no\nway", count=2), code("pending")], ("cell 2 (In [2])", "E: no\nway")),
        ([code(), code("pending", None, started=None)], ("cell 2", "did not complete")),
        ([code(), code("running", 2)], ("cell 2", "did not complete")),
        ([code(), code(tags=["injected-parameters"]), code(error="e", count=3)], ("cell 2 (In [3])", "E: e")),
        ([code(), code(count=None), code(count=None, started=None)], ("cell 2 (In [ ])", None)),
        ([], ("before the first cell", None)),
    ],
)
def test_the_cell_at_fault_is_named_as_in_the_source(cells, wanted):
    assert reproduce.find_fault({"cells": cells}) == wanted


@pytest.mark.parametrize(
    ("code", "error", "status", "wanted"),
    [
        (0, None, "completed", None),
        (1, None, "completed", "cell 1 (In [1]): DeadKernelError: Kernel died"),
        (143, "too slow", "pending", "cell 1: too slow"),
        (0, None, None, "before the first cell: DeadKernelError: Kernel died"),
    ],
)
def test_a_run_is_good_only_if_all_of_it_is(tmp_path, code, error, status, wanted):
    job = reproduce.Job(tmp_path / "good.ipynb", "smoke", {}, tmp_path)
    job.partial.mkdir()
    (job.partial / "run.log").write_text("Traceback\nDeadKernelError: Kernel died\n\n")
    if status:
        (job.partial / "good.ipynb").write_text(json.dumps({"cells": [globals()["code"](status)]}))
    assert reproduce.find_failure(job, code, error) == wanted


def test_what_killed_runs_left_is_cleaned_and_an_unfinished_replacement_undone(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone, alive = dead.pid, os.getppid()
    for name in (
        f".good-{gone}",
        f".good-{alive}",
        f".good-{os.getpid()}",
        f".other-{gone}",
        ".good-x",
        f".new-{gone}",
    ):
        result(tmp_path / name)
    result(tmp_path / "new", "new")
    for name in ("good", "new"):
        result(tmp_path / f".{name}-{gone}-old", f"old {name}")
    reproduce.clean(tmp_path, ["good", "new"])
    assert listing(tmp_path) == sorted([".good-x", f".good-{alive}", f".other-{gone}", "good", "new"])
    assert [(tmp_path / name / "numbers.json").read_text() for name in ("good", "new")] == ["old good", "new"]


def test_a_replacement_cut_short_gives_the_old_result_back(tmp_path, monkeypatch):
    def rename(path, target, real=Path.rename):
        if path == job.partial:
            raise KeyboardInterrupt
        return real(path, target)

    job = reproduce.Job(tmp_path / "good.ipynb", "smoke", {}, tmp_path)
    result(job.folder)
    result(job.partial, "new")
    (job.partial / "run.log").touch()
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        reproduce.settle(job, None)
    assert (job.folder / "numbers.json").read_text() == "old"


@pytest.mark.parametrize("workers", [1, 2])
def test_so_many_run_at_a_time_and_none_for_too_long(tmp_path, monkeypatch, workers):
    started = []

    def start(job, _):
        job.partial.mkdir()
        (job.partial / "run.log").touch()
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr(reproduce, "start", start)
    jobs = [reproduce.Job(tmp_path / f"{name}.ipynb", "smoke", {}, tmp_path) for name in "abc"]
    failures = []
    for outcome in reproduce.run(jobs, workers, timeout=0.2):
        failures.append(outcome.failure)
        assert len([process for process in started if process.poll() is None]) < workers
    assert failures == ["before the first cell: the notebook took longer than 0.2 s"] * 3
    assert listing(tmp_path) == ["a.failed", "b.failed", "c.failed"]
