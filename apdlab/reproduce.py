"""Run notebooks headlessly, each in a process of its own, and keep of each run all or nothing.

A run fills ``OUT/.NAME-<pid>``. When every code cell has completed, that folder takes the place of ``OUT/NAME``, which
holds the executed notebook, the same as HTML, ``figures/`` and ``numbers.json``; else it becomes ``OUT/NAME.failed``.
"""

import base64
import copy
import json
import mimetypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import psutil

from apdlab.series import read_notebook

WIDGET = "application/vnd.jupyter.widget-view+json"


class Job(NamedTuple):
    """A notebook to run: its file, what is set in it, and where its results go."""

    source: Path
    profile: str
    given: dict[str, Any]
    out: Path

    @property
    def name(self) -> str:
        """The notebook, without its ending."""
        return self.source.stem

    @property
    def folder(self) -> Path:
        """Where the results of a good run lie."""
        return self.out / self.name

    @property
    def partial(self) -> Path:
        """Where this process collects them until then."""
        return self.out / f".{self.name}-{os.getpid()}"


class Outcome(NamedTuple):
    """How a job ended: the seconds it took, and why it failed or None."""

    job: Job
    seconds: float
    failure: str | None


def run(jobs: Sequence[Job], workers: int, timeout: float | None = None) -> Iterator[Outcome]:
    """Run jobs, so many at a time, and yield how each ended as it ends. However this is left, nothing partial stays.

    Args:
        jobs: What to run, checked.
        workers: How many run at a time; they share the cores.
        timeout: Seconds that one notebook may take.

    Raises:
        OSError: If the results cannot be written.
    """
    waiting, running = list(jobs), []
    try:
        clean(jobs[0].out, [path.stem for path in jobs[0].source.parent.glob("*.ipynb")])
        while waiting or running:
            while waiting and len(running) < workers:
                running.append((waiting[0], start(waiting.pop(0), workers), time.monotonic()))
            for entry in running.copy():
                job, process, started = entry
                seconds = time.monotonic() - started
                late = process.poll() is None and timeout is not None and seconds > timeout
                if process.poll() is not None or late:
                    stop([process])
                    running.remove(entry)
                    error = f"the notebook took longer than {timeout:g} s" if late else None
                    failure = find_failure(job, process.returncode, error)
                    settle(job, failure)
                    yield Outcome(job, seconds, failure)
            time.sleep(0.05)
    finally:
        stop([process for _, process, _ in running])
        for job in jobs:
            shutil.rmtree(job.partial, ignore_errors=True)


def start(job: Job, workers: int) -> subprocess.Popen:
    """Start the process that executes a notebook. It ends when its standard input does, so it cannot outlive this one.

    A kernelspec of its own makes the kernel run this Python, whatever another Python has installed in the user's home.
    """
    jupyter = job.partial / ".jupyter"
    spec = jupyter / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"}), "utf-8")
    own = {"APDLAB_RUN_DIR": job.partial, "APDLAB_NOTEBOOKS": job.source.parent}
    own |= {"JUPYTER_PATH": jupyter, "JUPYTER_RUNTIME_DIR": jupyter / "runtime", "IPYTHONDIR": jupyter / "ipython"}
    own |= {"OMP_NUM_THREADS": max(1, (os.cpu_count() or 1) // workers)} if workers > 1 else {}
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").exists():
        own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    command = [
        sys.executable,
        "-m",
        "apdlab.reproduce",
        job.source,
        job.partial / job.source.name,
        json.dumps(job.given),
    ]
    with (job.partial / "run.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {name: str(value) for name, value in own.items()},
            start_new_session=True,
        )


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """End processes, first gently."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()


def execute(source: str, target: str, given: str) -> None:
    """Execute a notebook with papermill, and write it and its HTML: the work of the process of :func:`start`."""
    import nbformat
    import papermill

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=lambda: os.read(0, 1) or os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
    # papermill reads braces in a path as fields to fill in
    paths = [path.replace("{", "{{").replace("}", "}}") for path in (source, target)]
    folder = str(Path(source).parent)
    notebook = papermill.execute_notebook(
        *paths, json.loads(given), kernel_name="python3", progress_bar=False, cwd=folder
    )
    notebook.metadata.papermill.update(input_path=Path(source).name, output_path=Path(target).name)
    nbformat.write(notebook, target)
    Path(target).with_suffix(".html").write_text(to_html(notebook, Path(source)), "utf-8")


def to_html(notebook: Any, source: Path) -> str:
    """Write an executed notebook as one HTML page whose figures need no network, without widgets, which do."""
    from nbconvert import HTMLExporter

    page = copy.deepcopy(notebook)
    page.metadata.pop("widgets", None)
    for cell in page.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    exporter = HTMLExporter(require_js_url="data:text/javascript,")
    return embed_images(exporter.from_notebook_node(page, {"metadata": {"name": source.stem}})[0], source.parent)


def embed_images(page: str, folder: Path) -> str:
    """Put the local images of a page into it: nbconvert's own way closes ``<details>`` before what it should fold."""

    def embedded(match: re.Match) -> str:
        path = folder / unquote(match[2])
        if not path.is_file():
            return match[0]
        kind = mimetypes.guess_type(path.name)[0] or "image/png"
        return f"{match[1]}data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    return re.sub(r'(<img\b[^>]*?\ssrc=")([^":]+)', embedded, page)


def find_failure(job: Job, code: int, error: str | None = None) -> str | None:
    """Tell in one line where and why a run failed, or None: it is good only if every code cell has completed."""
    path = job.partial / job.source.name
    where, fault = find_fault(read_notebook(path) if path.exists() else {"cells": []})
    log = (job.partial / "run.log").read_text("utf-8", "replace").splitlines()
    last = next((line for line in reversed(log) if line.strip()), f"ended with code {code}")
    reason = error or fault or (last if code != 0 or not path.exists() else None)
    return reason and one_line(f"{where}: {reason}")


def find_fault(notebook: dict[str, Any]) -> tuple[str, str | None]:
    """Name the first code cell that failed or never ran, and its error; else the last one that started, and None."""
    where, number = "before the first cell", 0
    for cell in notebook["cells"]:
        number += not {"injected-parameters", "papermill-error-cell-tag"} & set(cell["metadata"].get("tags", []))
        if cell["cell_type"] != "code":
            continue
        record = cell["metadata"].get("papermill", {})
        if record.get("start_time"):
            where = f"cell {number} (In [{cell['execution_count'] or ' '}])"
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return where, f"{output['ename']}: {output['evalue']}"
        if record.get("status") != "completed":
            return f"cell {number}", "did not complete"
    return where, None


def one_line(text: str) -> str:
    """Fold a message into one line of at most 300 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:299]}..."


def settle(job: Job, failure: str | None) -> None:
    """Give the folder of a run its name. An earlier good result is replaced by a good one only, and then as a whole."""
    shutil.rmtree(job.partial / ".jupyter", ignore_errors=True)
    failed = job.out / f"{job.name}.failed"
    if failed.exists():
        shutil.rmtree(failed)
    if failure:
        job.partial.rename(failed)
        return
    (job.partial / "run.log").unlink()
    aside = job.partial.with_name(f"{job.partial.name}-old")
    try:
        if job.folder.exists():
            job.folder.rename(aside)
        job.partial.rename(job.folder)
    finally:
        restore(aside, job.folder)


def restore(aside: Path, folder: Path) -> None:
    """End a replacement that may have been cut short: the old result comes back, unless the new one is in place."""
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def clean(out: Path, names: Sequence[str]) -> None:
    """Remove what runs that were killed have left of these notebooks; what living ones write is left alone."""
    pattern = re.compile(rf"\.({'|'.join(map(re.escape, names))})-(\d+)(-old)?")
    for path in list(out.iterdir()) if out.exists() else ():
        match = pattern.fullmatch(path.name)
        if match is None or (psutil.pid_exists(int(match[2])) and int(match[2]) != os.getpid()):
            continue
        if match[3]:
            restore(path, out / match[1])
        else:
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    execute(*sys.argv[1:])
