"""Write what runs measured into the pages: ``python docs/make.py runs/00_start_here`` copies a run here and tells it.

The README's table and picture come from ``docs/<notebook>/``; a test holds them against each other.
"""

import json
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- begin: written by docs/make.py -->\n", "<!-- end -->\n"
COLUMNS = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "ece": "ECE",
    "mutual_information": "mutual information",
    "tv": "total variation to SGLD",
    "correlation": "correlation of log mutual information",
}
NAMES = {"sgld": "SGLD", "apd": "APD", "gaussian": "low-rank Gaussian", "mean": "mean of the weights"}


def keep(run: Path) -> None:
    """Copy a run's numbers here under its profile, and the pictures of profile smoke."""
    place = DOCS / run.name
    place.mkdir(exist_ok=True)
    profile = json.loads((run / "numbers.json").read_text("utf-8"))["parameters"]["profile"]
    shutil.copy(run / "numbers.json", place / f"{profile}.json")
    if profile == "smoke":
        for file in (run / "figures").glob("*.png"):
            shutil.copy(file, place / file.name)


def table(numbers: dict) -> str:
    """Tabulate a comparison of methods: the range over the repeats of a run."""
    rows: dict[str, list[dict]] = {}
    for row in numbers["rows"]:
        rows.setdefault(row["method"], []).append(row)
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for method, repeats in rows.items():
        cells = [span([row[column] for row in repeats]) for column in COLUMNS]
        lines.append("| " + " | ".join([NAMES[method], *cells]) + " |")
    mixing = {row["name"]: row["r_hat_max"] for row in numbers["mixing"]}
    asked = numbers["parameters"]
    lines.append(
        f"\nProfile `{asked['profile']}` (step size {asked['step_size']:g}, {asked['steps']:,} steps), "
        f"seed {asked['seed']}. "
        f"Lowest to highest of {len(repeats)} repeats. "
        f"Largest R-hat: {mixing['functions']:.3f} of functions, {mixing['weights']:.2f} of weights."
    )
    return "\n".join(lines) + "\n"


def span(values: list[float | None]) -> str:
    """Write lowest to highest with three digits; a dash where there is nothing to measure."""
    if any(value is None for value in values):
        return "-"
    low, high = (f"{value + 0.0:.3f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def told(readme: str) -> str:
    """Give the README with its tables as the kept runs have them."""
    runs = [DOCS / "00_start_here" / f"{profile}.json" for profile in ("smoke", "quick")]
    tables = "\n".join(table(json.loads(run.read_text("utf-8"))) for run in runs)
    head, rest = readme.split(BEGIN)
    return head + BEGIN + tables + END + rest.split(END)[1]


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        keep(Path(folder))
    README.write_text(told(README.read_text("utf-8")), "utf-8")
