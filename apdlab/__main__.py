"""The command line: ``python -m apdlab reproduce all --profile smoke``."""

import argparse
import contextlib
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from apdlab import __version__
from apdlab.parameters import declared, notebooks_folder, require, resolve, unknown
from apdlab.reproduce import Job, run
from apdlab.series import read_notebook, series


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        """Raise what :func:`main` prints."""
        raise ValueError(f"{message}; wanted what {self.prog} --help shows")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; else those of the process.

    Returns:
        0, 1 if a notebook failed, 2 if the request was refused or nothing can be written there, 130 if interrupted.
    """
    try:
        arguments = parser().parse_args(argv)
        if arguments.list:
            print(series())
            return 0
        return reproduce(arguments)
    except (ValueError, OSError) as error:
        print(f"apdlab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("apdlab: stopped; nothing partial is left", file=sys.stderr)
        return 130


def parser() -> Parser:
    """Build the parser of the command line."""
    top = Parser(prog="apdlab", description="Bayesian deep learning in notebooks.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"apdlab {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    command = commands.add_parser("reproduce", help="run notebooks headlessly and keep their figures and numbers")
    command.add_argument("names", nargs="*", metavar="NAME", help="notebooks, with or without .ipynb, or all")
    command.add_argument("--profile", default="smoke", help="smoke (default), quick or paper")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="set a parameter; may be repeated"
    )
    command.add_argument("--jobs", type=int, default=1, metavar="J", help="notebooks at a time (default 1)")
    command.add_argument("--out", type=Path, default=Path("runs"), help="folder of the results (default runs)")
    command.add_argument("--timeout", type=float, metavar="S", help="seconds that one notebook may take")
    command.add_argument("--list", action="store_true", help="list the notebooks and what they reproduce")
    return top


def plan(names: Sequence[str], profile: str, settings: Sequence[str], out: Path) -> list[Job]:
    """Check all that can be checked before anything runs or is written, and make one job a notebook.

    Args:
        names: Notebooks, with or without their ending, or ``all``.
        profile: The profile that sets what is not set here.
        settings: ``name=value`` texts.
        out: The folder of the results.

    Returns:
        One job a notebook.

    Raises:
        ValueError: In one line, for an unknown notebook, profile or parameter, a wrong type, an unusable ``out``.
    """
    folder = notebooks_folder()
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    chosen = list(dict.fromkeys(name.removesuffix(".ipynb") for name in names))
    chosen = list(known) if "all" in chosen else chosen
    if not known:
        raise ValueError(f"{folder} holds no notebooks; wanted some: set APDLAB_NOTEBOOKS to their folder")
    given = parse(settings)
    jobs = []
    for name in chosen:
        if name not in known:
            raise unknown("notebook", name, [*known, "all"])
        values = resolve(name, given | {"profile": profile, "interactive": False}, folder)
        require(name, parameter_names(known[name]), values)
        set_here = {word: values[word] for word in (*given, "profile", "interactive")}
        jobs.append(Job(known[name], profile, set_here, out.resolve()))
        check_target(jobs[-1].folder)
    return jobs


def parse(settings: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` texts.

    Raises:
        ValueError: If one is not of that form, comes twice, or sets what is not to be set so.

    Example:
        >>> parse(["steps=4000", "step_size=1e-3"])
        {'steps': '4000', 'step_size': '1e-3'}
    """
    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not (name.isidentifier() and equals and value):
            raise ValueError(f"--set {setting}: wanted name=value, e.g. --set steps=4000")
        if name in given:
            raise ValueError(f"--set {setting}: {name} is set twice")
        if name in ("profile", "interactive"):
            raise ValueError(
                f"--set {setting}: {name} is not set so; wanted another name: use --profile, and a headless run is "
                "never interactive"
            )
        given[name] = value
    return given


def parameter_names(path: Path) -> list[str]:
    """List the names that the parameters cell of a notebook declares.

    Raises:
        ValueError: If the file is no notebook or has no such cell.
    """
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", []):
            return declared("".join(cell.get("source", "")))
    raise ValueError(f"{path.name} has no cell with the tag 'parameters'; wanted one that declares them")


def check_target(folder: Path) -> None:
    """Refuse to replace what is not the result of a run: an ``out`` chosen by mistake must not cost files."""
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise ValueError(f"{parent} is a file; wanted a folder for the results")
    ours = any((folder / name).exists() for name in (f"{folder.name}.ipynb", "numbers.json", "figures"))
    if folder.exists() and not ours and any(folder.iterdir()):
        raise ValueError(f"{folder} is not the result of an earlier run; wanted another --out, or move it away")


def reproduce(arguments: argparse.Namespace) -> int:
    """Check the request, run it, and print one line a notebook."""
    if not arguments.names:
        raise ValueError("no notebook is named; wanted some, or all: see --list")
    if arguments.jobs < 1:
        raise ValueError(f"--jobs is {arguments.jobs}; wanted 1 or more")
    if arguments.timeout is not None and not 0 < arguments.timeout < math.inf:
        raise ValueError(f"--timeout is {arguments.timeout}; wanted a number of seconds above 0")
    jobs = plan(arguments.names, arguments.profile, arguments.set, arguments.out)
    failures = 0
    with terminated_like_interrupted(), contextlib.closing(run(jobs, arguments.jobs, arguments.timeout)) as outcomes:
        for job, seconds, failure in outcomes:
            if failure:
                failures += 1
                print(f"apdlab: {job.name}: {failure}; see {arguments.out / job.name}.failed", file=sys.stderr)
            else:
                print(f"{job.name}  {job.profile}  {seconds:.1f} s  {arguments.out / job.name}", flush=True)
    return 1 if failures else 0


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
