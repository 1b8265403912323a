"""The first and the last lines of a notebook: its checked parameters, and its results on disk.

The parameters cell of a notebook declares as None the names whose values its profile has; who runs it may set them.
"""

import importlib.metadata
import io
import json
import math
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from apdlab import __version__
from apdlab.files import write_whole
from apdlab.parameters import declared, notebooks_folder, require, resolve, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apdlab.store import Store

# torch, matplotlib and IPython are imported where they are used: `apdlab --list` and a refusal must not wait for them.

STAMP = ("notebook", "parameters", "versions")


@dataclass(frozen=True, repr=False)
class Run:
    """What a notebook runs with, and where its results go: every parameter is an attribute.

    Args:
        name: The notebook, without its ending.
        folder: Where figures and numbers are written; made when needed.
        values: The resolved parameters.

    Example:
        >>> p = Run("00_start_here", Path("runs"), {"profile": "smoke", "steps": 4000})
        >>> p.steps
        4000
        >>> p
        profile  smoke
        steps    4000
    """

    name: str
    folder: Path
    values: Mapping[str, Any]

    def __getattr__(self, parameter: str) -> Any:
        values = self.__dict__.get("values", {})
        if parameter in values:
            return values[parameter]
        raise AttributeError(str(unknown("parameter", parameter, values)))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.values]

    def __repr__(self) -> str:
        width = max(map(len, self.values), default=0)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.values.items())

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in self.values.items())
        return f"<table><caption>{escape(self.name)}</caption>{''.join(rows)}</table>"

    @property
    def store(self) -> "Store":
        """Where chains and fits lie for all notebooks: ``$APDLAB_STORE``, or the folder ``store`` beside the runs."""
        from apdlab.store import Store

        return Store(Path(os.environ.get("APDLAB_STORE") or self.folder.parent / "store"))

    def of(self, name: str) -> SimpleNamespace:
        """Give what another notebook has in this profile, with this seed and device, e.g. to open the chains it keeps.

        Args:
            name: The other notebook, without its ending.

        Returns:
            Its parameters, each an attribute.

        Raises:
            ValueError: If the profile has no such notebook.
        """
        asked = {word: self.values[word] for word in ("profile", "seed", "device")}
        return SimpleNamespace(**resolve(name, asked, notebooks_folder()))

    def figure(self, fig: "Figure", name: str, numbers: Any = None, caption: str = "") -> "Figure":
        """Save a figure as ``figures/<name>.png`` and ``.svg``, and its caption and numbers in ``numbers.json``.

        Two equal runs write equal files. Nothing is shown by this: end the cell with this call to see the figure.

        Args:
            fig: The figure, made without pyplot.
            name: Its file name without ending: letters, digits, ``_`` and ``-``.
            numbers: What it shows: numbers, tensors, arrays, lists and dicts of them; NaN and infinity become null.
            caption: One sentence on what is to be seen.

        Returns:
            The same figure.

        Raises:
            ValueError: If the name is not a plain file name, ``fig`` is no figure, or a number has no plain form.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"name is {name!r}; wanted a plain file name of letters, digits, _ and -")
        if not hasattr(fig, "savefig"):
            raise ValueError(f"fig is of type {type(fig).__name__}; wanted a matplotlib Figure, e.g. ax.figure")
        entry = {"caption": caption, "numbers": plain(numbers, name)}
        files = {"png": render(fig, "png")}
        fig.set_layout_engine("none")  # solved once: to solve it again, here and in the cell, is a third of the drawing
        files["svg"] = render(fig, "svg")
        for kind, content in files.items():
            write_whole(self.folder / "figures" / f"{name}.{kind}", content)
        self._merge({"figures": {**self._stored().get("figures", {}), name: entry}})
        return fig

    def numbers(self, **values: Any) -> None:
        """Merge entries into ``numbers.json``, e.g. ``p.numbers(rows=[{"method": "sgld", "nll": 0.31}])``.

        Entries of a run with other parameters or versions are dropped, so that the file never mixes two runs.

        Args:
            values: Numbers, tensors, arrays, texts, lists and dicts of them; NaN and infinity become null.

        Raises:
            ValueError: If a name is taken by the file itself, or a value has no plain form.
        """
        for name in {"figures", *STAMP} & set(values):
            raise ValueError(f"{name!r} is written by numbers.json itself; wanted another name for this entry")
        self._merge({name: plain(value, name) for name, value in values.items()})

    def _stamp(self) -> dict[str, Any]:
        versions = {"apdlab": __version__, "torch": importlib.metadata.version("torch")}
        versions["python"] = platform.python_version()
        return dict(zip(STAMP, (self.name, plain(self.values, "parameters"), versions), strict=True))

    def _stored(self) -> dict[str, Any]:
        try:
            stored = json.loads((self.folder / "numbers.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):  # none yet, or damaged
            return {}
        return (
            stored
            if isinstance(stored, dict) and all(stored.get(key) == value for key, value in self._stamp().items())
            else {}
        )

    def _merge(self, entries: dict[str, Any]) -> None:
        content = {**self._stored(), **entries, **self._stamp()}
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_whole(self.folder / "numbers.json", text.encode())


def parameters(name: str, namespace: Mapping[str, Any], *, notebooks: Path | None = None) -> Run:
    """Check the parameters of a notebook and fill in what its profile sets.

    The cell after the parameters cell is ``p = notebook.parameters("00_start_here", globals())``.

    Args:
        name: The notebook, without its ending.
        namespace: The notebook's globals, after its ``parameters`` cell ran.
        notebooks: The folder that holds ``params/``; else see :func:`apdlab.parameters.notebooks_folder`.

    Returns:
        The run; its folder is ``$APDLAB_RUN_DIR``, or ``runs/<name>`` beside the folder of the notebooks.

    Raises:
        ValueError: In one line, for an unknown profile or name, a wrong type, an impossible value, a missing device.
    """
    folder = notebooks_folder(notebooks)
    names = _declared(namespace)
    values = resolve(name, {word: namespace[word] for word in names}, folder)
    require(name, names, values)
    _show_figures()
    return Run(name, Path(os.environ.get("APDLAB_RUN_DIR") or folder.parent / "runs" / name), values)


def plain(value: Any, name: str) -> Any:
    """Turn numbers, tensors, arrays, tuples and dicts into what JSON holds; NaN and infinity become None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    value = value._asdict() if hasattr(value, "_asdict") else value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    raise ValueError(f"{name} is of type {type(value).__name__}; wanted numbers, texts, tensors, lists or dicts")


_KINDS: dict[str, dict] = {
    "png": {"pil_kwargs": {"compress_level": 1}},  # a sixth larger, but drawn in two thirds of the time
    "svg": {"metadata": {"Date": None}},
}


def render(fig: "Figure", kind: str) -> bytes:
    """Draw a figure as the bytes of a PNG or SVG file, equal for equal figures."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "apdlab"}):
        fig.savefig(buffer, format=kind, dpi=144, **_KINDS[kind])
    return buffer.getvalue()


def _declared(namespace: Mapping[str, Any]) -> list[str]:
    """Names of the last parameters cell, and of the cell that papermill put after it: it only warns of unknown ones."""
    names: list[str] = []
    for source in namespace.get("In", []):
        if source.startswith("# Parameters"):
            names += declared(source)
        elif {"profile", "seed"} <= set(declared(source)):
            names = declared(source)
    if names:
        return names
    simple = bool | int | float | str | list | None
    return [name for name, value in namespace.items() if isinstance(value, simple) and not name.startswith("_")]


def _show_figures() -> None:
    """Let Jupyter show a Figure that pyplot never saw: the formatter for it comes with pyplot only."""
    from IPython import get_ipython

    def picture(fig: "Figure") -> tuple[bytes, dict[str, float]]:
        width, height = 96 * fig.get_size_inches()
        return render(fig, "png"), {"width": round(width), "height": round(height)}

    if shell := get_ipython():
        shell.display_formatter.formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", picture)
