"""Write what networks need into ``scaling.md``, from what ``benchmarks/scaling.py --json`` measured."""

import json
import sys
from pathlib import Path

from apdlab.files import write_whole

PAGE = Path(__file__).parent / "scaling.md"
BENCHMARKS = PAGE.parents[1] / "benchmarks"
RUN = BENCHMARKS / "results" / "scaling.json"
sys.path.insert(0, str(BENCHMARKS))
from table import machine, table  # noqa: E402

BEGIN, END = "<!-- begin: written by docs/scale.py -->\n", "<!-- end -->\n"
LARGE, MEMORY, DRAWS, DIRECTIONS, UNITS, BATCH = 10**8, 16, 1000, 64, 100, 100  # of memory GiB
Line = dict[str, str | float]


def told(page: str, run: dict) -> str:
    """Give the page with its tables as a run has them."""
    lines = {line["name"]: line for line in run["lines"]}
    small = run["weights"]["ResNet-20"]
    head, rest = page.split(BEGIN)
    parts = [machine(run["machine"]), growth(run["lines"]), room(lines, small), seconds(lines, small)]
    return head + BEGIN + "\n".join(parts) + END + rest.split(END, 1)[1]


def growth(lines: list[Line]) -> str:
    """Tabulate what was measured."""
    rows = [["what doubles", "from", "to", "exponent", "ms", "ms", "peak, MiB", "peak, MiB"]]
    for line in lines:
        sizes, times = (line["smallest"], line["largest"]), (line["smallest_ms"], line["largest_ms"])
        peaks = (line["peak_small_MiB"], line["peak_large_MiB"])
        row = [*(f"{n:,}" for n in sizes), f"{line['exponent']:.2f}", *(f"{t:,.1f}" for t in times)]
        rows.append([line["name"], *row, *(f"{p:,.0f}" for p in peaks)])
    return table(rows)


def room(lines: dict[str, Line], small: int) -> str:
    """Tabulate bytes, what meets the memory first in front."""
    sampling, critic, turning = (
        per_weight(lines[f"{name} weights"]) for name in ("SGLD step,", "critic step, raw", "pca,")
    )
    chain = f"one chain of SGLD, fully connected (ResNet-20's own, {BATCH} examples) | {sampling:,.0f} D, measured"
    held = {
        f"training a pair in raw coordinates | {critic:,.0f} D, measured": critic,
        f"keeping the generator of raw coordinates | 4 ({UNITS} + 1) D": 4 * (UNITS + 1),
        f"finding pca({DIRECTIONS}), beside the draws | {turning:,.0f} D, measured": turning,
        f"keeping the generator of pca({DIRECTIONS}) | 4 ({DIRECTIONS} + 1) D": 4 * (DIRECTIONS + 1),
        f"keeping {DRAWS:,} draws in memory | 4 S D": 4 * DRAWS,
        chain: sampling,
        "one draw; what predictions work in, at least | 4 D": 4,
    }
    rows = [["what is held", "bytes", "ResNet-20", f"{LARGE:,} weights", f"weights in {MEMORY} GiB"]]
    for name, each in sorted(held.items(), key=lambda item: -item[1]):
        fits = f"{MEMORY * 2**30 / each:,.0f}" if each > 0 else "-"
        of_small = outputs(lines["SGLD step of ResNet-20, examples"]) if name == chain else each * small
        rows.append([name, size(of_small), size(each * LARGE), fits])
    first = max(held, key=held.get).partition(" |")[0]
    return f"ResNet-20 has {small:,} weights. First to break: {first}.\n\n" + table(rows)


def seconds(lines: dict[str, Line], small: int) -> str:
    """Tabulate seconds, by the fitted powers."""

    def at(name: str, n: float) -> float:
        line = lines[name]
        return line["largest_ms"] / 1e3 * (n / line["largest"]) ** line["exponent"]

    def by_weights(name: str) -> list[str]:
        return [span(at(name, n)) for n in (small, LARGE)]

    turning = [at("pca, draws", DRAWS) * at("pca, weights", n) / at("pca, weights", 79_510) for n in (small, LARGE)]
    step, own = by_weights("SGLD step, weights"), span(at("SGLD step of ResNet-20, examples", BATCH))
    coded = span(at("critic step, directions", DIRECTIONS))
    rows = [
        ["one", "ResNet-20", f"{LARGE:,} weights"],
        [f"step of SGLD of a chain on {BATCH} examples (ResNet-20's own; fully connected)", own, step[1]],
        ["`predict_moments` of 100 draws on 200 inputs, fully connected", *by_weights("predict_moments, weights")],
        [f"`pca` of {DRAWS:,} draws, {DIRECTIONS} directions", *map(span, turning)],
        [f"critic step in {DIRECTIONS} directions", coded, coded],
        ["critic step in raw coordinates", *by_weights("critic step, raw weights")],
    ]
    return table(rows)


def per_weight(line: Line) -> float:
    """Give the bytes that one weight more, or one of what else doubles, takes at the peak."""
    return (line["peak_large_MiB"] - line["peak_small_MiB"]) * 2**20 / (line["largest"] - line["smallest"])


def outputs(line: Line) -> float:
    """Give the bytes of a chain whose outputs are the larger part, on ``BATCH`` examples."""
    return line["peak_small_MiB"] * 2**20 + per_weight(line) * (BATCH - line["smallest"])


def size(number: float) -> str:
    """Write bytes in GiB or MiB."""
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"


def span(value: float) -> str:
    """Write seconds."""
    return f"{value:,.1f} s" if value >= 1 else f"{value:.2g} s"


if __name__ == "__main__":
    write_whole(PAGE, told(PAGE.read_text("utf-8"), json.loads(RUN.read_text("utf-8"))).encode())
