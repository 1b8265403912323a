"""What the benchmarks share: options, rounds in which all rivals take turns, and the line that is printed."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

SAME = 1e-4  # of the largest value: far above the rounding of float32, far below a mistake


def options(description: str) -> argparse.Namespace:
    """Read ``--rounds``, ``--device`` and ``--toy`` from the command line.

    Args:
        description: What the benchmark measures.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=11, help="timed rounds; all rivals take turns within a round")
    parser.add_argument("--device", default="cpu", help="where to measure, e.g. cuda")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, to see that the script works")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}; wanted 1 or more")
    return chosen


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


def check_same(name: str, ours: Tensor, rival: Tensor) -> None:
    """Refuse to compare two ways that compute different things.

    Args:
        name: What is compared.
        ours: The result of one way.
        rival: The result of the other, of the same shape.

    Raises:
        ValueError: If they differ by ``SAME`` of the largest value or more.
    """
    if ours.shape != rival.shape:
        raise ValueError(f"{name}: ours has shape {tuple(ours.shape)} and the rival {tuple(rival.shape)}")
    error = ((ours - rival).abs().max() / rival.abs().max()).item()
    if not error < SAME:
        raise ValueError(f"{name}: the results differ by {error:.2g} of the largest; wanted less than {SAME}")


def report(name: str, ours: list[float], rival: list[float]) -> None:
    """Print ``name, ratio, ours_ms, rival_ms, spread``, with tabs between.

    The ratio is the median over rounds of ``rival / ours``, above 1 where ours is faster; ``spread`` is the range of
    these ratios as a share of it; the times are medians.

    Args:
        name: What is compared with what.
        ours: Milliseconds of each round.
        rival: Milliseconds of the same rounds.
    """
    ratios = [b / a for a, b in zip(ours, rival, strict=True)]
    ratio = statistics.median(ratios)
    spread = (max(ratios) - min(ratios)) / ratio
    numbers = f"{ratio:.2f}\t{statistics.median(ours):.3f}\t{statistics.median(rival):.3f}\t{spread:.2f}"
    print(f"{name}\t{numbers}", flush=True)


def _milliseconds(way: Callable[[], object]) -> float:
    _finish()
    start = time.perf_counter()
    way()
    _finish()
    return 1e3 * (time.perf_counter() - start)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
