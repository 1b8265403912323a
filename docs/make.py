"""Write what runs measured into the pages: ``python docs/make.py runs/00_start_here`` copies a run here and tells it.

``RUN=large`` keeps a run as ``large.json`` beside those of the profiles, without its pictures. The README's tables and
pictures come from ``docs/<notebook>/``; a test holds them against each other.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from apdlab.figures import NAMES as METHODS
from apdlab.files import write_whole

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
END = "<!-- end -->\n"
NAMES = METHODS | {"sghmc": "SGHMC", "apd_raw": "APD, the paper's GAN"}
SCORES = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "ece": "ECE",
    "mutual_information": "mutual information",
    "tv": "total variation to the chain",
    "correlation": "correlation of log mutual information",
}
COSTS = {"bytes": "bytes", "gradient_evaluations": "gradient evaluations", "seconds": "seconds"}


class Page(NamedTuple):
    """What is told of a notebook: kept runs in this order, columns, and the profile whose pictures are kept."""

    runs: tuple[str, ...]
    columns: dict[str, str]
    pictures: str


PAGES = {
    "00_start_here": Page(("smoke", "quick"), SCORES, "smoke"),
    "01_predictive_performance": Page(("quick", "large"), SCORES | {"brier": "Brier"} | COSTS, "quick"),
}


def keep(run: Path, name: str | None = None) -> None:
    """Copy a run's numbers here under a name or its profile, and those of its pictures that the README shows."""
    place = DOCS / run.name
    profile = json.loads((run / "numbers.json").read_text("utf-8"))["parameters"]["profile"]
    write_whole(place / f"{name or profile}.json", (run / "numbers.json").read_bytes())
    if name is None and profile == (PAGES[run.name].pictures if run.name in PAGES else "quick"):
        readme = README.read_text("utf-8")
        for file in (run / "figures").glob("*.png"):
            if f"docs/{run.name}/{file.name}" in readme:
                write_whole(place / file.name, file.read_bytes())


def table(numbers: dict, columns: dict[str, str]) -> str:
    """Tabulate a comparison of methods for each network: the range over the repeats of a run, of costs the mean."""
    asked, networks = numbers["parameters"], {}
    for row in numbers["rows"]:
        networks.setdefault(row.get("network", ""), {}).setdefault(row["method"], []).append(row)
    lines = []
    for network, rows in networks.items():
        name = network if "networks" in asked else ""
        lines += [f"| {name} | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
        for method, repeats in rows.items():
            values = {column: [row[column] for row in repeats] for column in columns}
            cells = [mean(value) if column in COSTS else span(value) for column, value in values.items()]
            lines.append("| " + " | ".join([NAMES[method], *cells]) + " |")
        mixing = {row["name"]: row["r_hat_max"] for row in numbers["mixing"] if row.get("network", network) == network}
        lines.append(
            f"\nLowest to highest of {len(repeats)} repeats. "
            f"Largest R-hat: {mixing['functions']:.3f} of functions, {mixing['weights']:.2f} of weights.\n"
        )
    lines[-1] += f"Profile `{asked['profile']}`, step size {asked['step_size']:g}, {asked['steps']:,} steps, "
    return "\n".join(lines) + f"seed {asked['seed']}.\n"


def span(values: list[float | None]) -> str:
    """Write lowest to highest with three digits; a dash where there is nothing to measure."""
    if any(value is None for value in values):
        return "-"
    low, high = (f"{value + 0.0:.3f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def mean(values: list[float]) -> str:
    """Write a mean without digits after the point, in groups of three."""
    return f"{sum(values) / len(values):,.0f}"


def told(readme: str) -> str:
    """Give the README with its tables as the kept runs have them."""
    for notebook, page in PAGES.items():
        begin = f"<!-- begin: {notebook}, written by docs/make.py -->\n"
        runs = [json.loads((DOCS / notebook / f"{run}.json").read_text("utf-8")) for run in page.runs]
        head, rest = readme.split(begin)
        readme = head + begin + "\n".join(table(run, page.columns) for run in runs) + END + rest.split(END, 1)[1]
    return readme


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        folder, _, name = argument.partition("=")
        keep(Path(folder), name or None)
    write_whole(README, told(README.read_text("utf-8")).encode())
