"""What the benchmarks share: options, rounds in which all rivals take turns, lines, the machine and its limit."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from apdlab.files import write_whole

SAME = 1e-4  # of the largest value: far above the rounding of float32, far below a mistake
RIVALS = ("posteriors", "blackjax", "jax", "foolbox")
_lines: list[dict[str, float | str | None]] = []
_notes: list[str] = []


def options(description: str, **counts: int) -> argparse.Namespace:
    """Read ``--rounds``, ``--device``, ``--toy`` and ``--json`` from the command line.

    Args:
        description: What the benchmark measures.
        counts: More options that are whole numbers of 1 or more, by name, and what they are by default.

    Returns:
        The options; hand them to ``save`` at the end.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=11, help="timed rounds; all rivals take turns within a round")
    parser.add_argument("--device", default="cpu", help="where to measure, e.g. cuda")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that the script works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all lines and the machine there as well")
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{default} if not given")
    chosen = parser.parse_args()
    for name in ("rounds", *counts):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} is {getattr(chosen, name)}; wanted 1 or more")
    if chosen.json and chosen.json.is_dir():
        parser.error(f"--json is the folder {chosen.json}; wanted a file, e.g. {chosen.json / 'lines.json'}")
    return chosen


def installed(package: str) -> bool:
    """Say whether a rival is there, and note it where it is not."""
    found = find_spec(package) is not None
    if not found:
        note(f"{package} is not installed")
    return found


def rounds(ways: Mapping[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Time all ways in turns, so that what else the machine does meets all of them.

    Args:
        ways: What to time; each is called once before the first round.
        count: How many rounds.

    Returns:
        Milliseconds of each way in each round.
    """
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(count):
        order = list(ways) if turn % 2 == 0 else list(ways)[::-1]
        for name in order:
            times[name].append(_milliseconds(ways[name]))
    return times


def rate(way: Callable[[], object], seconds: float) -> float:
    """Count how often a second something can be done, over so many seconds, after once that is not counted."""
    _milliseconds(way)
    done, spent = 0, 0.0
    while spent < 1e3 * seconds:
        spent += _milliseconds(lambda: [way() for _ in range(10)])
        done += 10
    return 1e3 * done / spent


def check_same(name: str, ours: Tensor, rival: Tensor, within: float = SAME) -> None:
    """Refuse to compare two ways that compute different things.

    Args:
        name: What is compared.
        ours: The result of one way.
        rival: The result of the other, of the same shape.
        within: What part of the largest value they may differ by.

    Raises:
        ValueError: If they differ by more.
    """
    if ours.shape != rival.shape:
        raise ValueError(f"{name}: ours has shape {tuple(ours.shape)} and the rival {tuple(rival.shape)}")
    error = ((ours - rival).abs().max() / rival.abs().max()).item()
    if not error < within:
        raise ValueError(f"{name}: the results differ by {error:.2g} of the largest; wanted less than {within}")


def roof(device: str, dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """Measure the limit of this machine in this process: ``2 size^3`` flops over the median time of a product.

    Args:
        device: Where.
        dtype: Of the two factors, ``[size, size]`` each.
        size: Large enough that the product is bound by arithmetic.

    Returns:
        GFLOP/s.
    """
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    times = rounds({"product": partial(torch.mm, a, a, out=torch.empty_like(a))}, 9)["product"]
    return 2 * size**3 / 1e6 / statistics.median(times)


def reached(flops: float, times: list[float], limit: float) -> float:
    """Say what part of the limit was reached.

    Args:
        flops: What the task needs.
        times: Milliseconds that it took in each round.
        limit: GFLOP/s of ``roof``.
    """
    return flops / 1e6 / statistics.median(times) / limit


def report(name: str, ours: list[float], rival: list[float], share: float | None = None) -> None:
    """Print ``name, ratio, ours_ms, rival_ms, spread, share``, with tabs between.

    The ratio is the median over rounds of ``rival / ours``, above 1 where ours is faster; ``spread`` is the range of
    these ratios as a share of it; the times are medians.

    Args:
        name: What is compared with what.
        ours: Milliseconds of each round.
        rival: Milliseconds of the same rounds.
        share: What part of the measured limit ours reached; None prints ``-``.
    """
    ratios = [b / a for a, b in zip(ours, rival, strict=True)]
    ratio, a, b = statistics.median(ratios), statistics.median(ours), statistics.median(rival)
    spread = (max(ratios) - min(ratios)) / ratio
    _lines.append({"name": name, "ratio": ratio, "ours_ms": a, "rival_ms": b, "spread": spread, "share": share})
    last = "-" if share is None else f"{share:.2f}"
    print(f"{name}\t{ratio:.2f}\t{a:.3f}\t{b:.3f}\t{spread:.2f}\t{last}", flush=True)


def note(text: str) -> None:
    """Print a line that is none of times, ``# text``."""
    _notes.append(text)
    print(f"# {text}", flush=True)


def save(chosen: argparse.Namespace) -> None:
    """Write what was printed so far, the options and the machine to ``--json``: whole, or not at all.

    Args:
        chosen: The options; without ``--json`` nothing is written.
    """
    if chosen.json is None:
        return
    asked = {name: value for name, value in vars(chosen).items() if name != "json"}
    run = {"script": Path(sys.argv[0]).name, "options": asked, "machine": machine(chosen.device)}
    content = json.dumps(run | {"notes": _notes, "lines": _lines}, indent=1, allow_nan=False)
    write_whole(chosen.json.absolute(), content.encode() + b"\n")


def machine(device: str) -> dict[str, int | str | dict[str, str]]:
    """Name what a run was measured on: processor, cores and those it may use, threads, device, versions."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    named = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    found = {rival: metadata.version(rival) for rival in RIVALS if find_spec(rival)}
    return {
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable,
        "threads": torch.get_num_threads(),
        "device": named,
        "versions": {"python": platform.python_version(), "torch": torch.__version__} | found,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in named if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _milliseconds(way: Callable[[], object]) -> float:
    _finish()
    start = time.perf_counter()
    way()
    _finish()
    return 1e3 * (time.perf_counter() - start)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
