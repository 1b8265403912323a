"""Write what the benchmarks ask and measured into ``benchmarks/README.md``, from the files in ``results/``."""

import ast
import json
from pathlib import Path

from apdlab.files import write_whole

FOLDER = Path(__file__).parent
PAGE, RESULTS = FOLDER / "README.md", FOLDER / "results"
BEGIN, END = "<!-- begin: {}, written by benchmarks/table.py -->\n", "<!-- end -->\n"
HEAD = ["what over what", "ratio", "ours, ms", "rival, ms", "spread", "share of the limit"]


def told(page: str, results: Path) -> str:
    """Give the page with its two tables: what each script asks, and all lines of the kept runs."""
    runs = [json.loads(file.read_text("utf-8")) for file in sorted(results.glob("*.json"))]
    runs = [run for run in runs if run["lines"] and "ratio" in run["lines"][0]]
    for name, content in {"scripts": table([["script", "question"], *questions()]), "lines": lines(runs)}.items():
        head, rest = page.split(BEGIN.format(name))
        page = head + BEGIN.format(name) + content + END + rest.split(END, 1)[1]
    return page


def questions() -> list[list[str]]:
    """List the scripts, each with the question that its docstring begins with."""
    texts = {file.name: file.read_text("utf-8") for file in sorted(FOLDER.glob("*.py"))}
    asked = {name: ast.get_docstring(ast.parse(text)) for name, text in texts.items() if "__main__" in text}
    first = {name: text.partition("?")[0].replace("``", "`") for name, text in asked.items() if "?" in text}
    return [[f"`{name}`", " ".join(text.split()) + "?"] for name, text in first.items()]


def lines(runs: list[dict]) -> str:
    """Tabulate all lines, run by run, and say of which scripts there is none on an accelerator."""
    parts = [f"### `{run['script']}`\n\n{machine(run['machine'], run['options'])}\n{one(run)}" for run in runs]
    elsewhere = {run["script"] for run in runs if run["machine"]["device"] != "cpu"}
    missing = ", ".join(f"`{name}`" for name in dict.fromkeys(run["script"] for run in runs) if name not in elsewhere)
    return "\n".join([*parts, *([f"On a GPU, {missing}: not measured.\n"] if missing else [])])


def one(run: dict) -> str:
    """Tabulate one run, its notes below."""
    notes = "".join(f"- {note}\n" for note in run["notes"])
    return table([HEAD, *map(row, run["lines"])]) + ("\n" + notes if notes else "")


def row(line: dict) -> list[str]:
    """Write one line."""
    share = "-" if line["share"] is None else f"{line['share']:.2f}"
    times = (f"{line[key]:,.1f}" for key in ("ours_ms", "rival_ms"))
    return [line["name"], f"{line['ratio']:.2f}", *times, f"{line['spread']:.2f}", share]


def machine(seen: dict, options: dict | None = None) -> str:
    """Name the machine, what ran on it, and how many rounds there were."""
    where = "" if seen["device"] == "cpu" else f", {seen['device']}"
    count = f", {options['rounds']} rounds" if options else ""
    versions = ", ".join(f"{name} {version}" for name, version in seen["versions"].items())
    usable, threads = f"{seen['usable_cores']} of {seen['cores']} vCPUs {seen['cpu']}", seen["threads"]
    return f"Measured on {usable}{where}, {threads} thread{'s' * (threads > 1)}{count}; {versions}.\n"


def table(rows: list[list[str]]) -> str:
    """Write rows in Markdown; the first is the heading."""
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *others]) + "\n"


if __name__ == "__main__":
    write_whole(PAGE, told(PAGE.read_text("utf-8"), RESULTS).encode())
