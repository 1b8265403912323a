"""The series of notebooks: what there is, what each reproduces, how long it takes."""

import json
from pathlib import Path
from typing import Any

from apdlab.parameters import notebooks_folder


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook as the dict that it is.

    Raises:
        ValueError: If the file is not one.
    """
    try:
        notebook = json.loads(path.read_text("utf-8"))
    except ValueError:
        notebook = {}
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    parts = {"cell_type", "metadata"}
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and parts <= cell.keys() for cell in cells):
        raise ValueError(f"{path.name} is not a notebook of format 4; wanted one that Jupyter has written")
    return notebook


def series(folder: Path | None = None) -> str:
    """Tabulate the notebooks of a folder, what each reproduces, and the minutes that each profile takes."""
    folder = folder or notebooks_folder()
    profiles = ("smoke", "quick", "paper")
    rows = [("notebook", "reproduces", *profiles)]
    for path in sorted(folder.glob("*.ipynb")):
        about = read_notebook(path).get("metadata", {}).get("apdlab", {})
        minutes = about.get("minutes", {})
        rows.append(
            (path.stem, str(about.get("reproduces", "-")), *(str(minutes.get(profile, "-")) for profile in profiles))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
