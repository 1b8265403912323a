"""What the parameters of a notebook are, and how they are checked: one check for notebooks and command line.

Every number of the science has one home, ``notebooks/params/{smoke,quick,paper}.yaml``, which maps a notebook to its
``{parameter: value}``. The value there is also the type: what is given instead must be of that kind.
"""

import ast
import contextlib
import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

# torch is imported where it is used: `apdlab reproduce --list` and a refusal must not wait for it.

COMMON = {"profile": "smoke", "seed": 0, "device": "cpu", "interactive": True}
RESERVED = {"name", "folder", "values", "figure", "numbers", "of", "store"}  # what a Run has besides its parameters


def notebooks_folder(folder: Path | None = None) -> Path:
    """Find the folder that holds the notebooks and ``params/*.yaml``.

    It is the argument or ``$APDLAB_NOTEBOOKS``; else the current folder, its ``notebooks/``, or the source checkout's.

    Raises:
        ValueError: If there is none, or the one asked for has no profiles.
    """
    asked = folder or os.environ.get("APDLAB_NOTEBOOKS")
    checkout = Path(__file__).resolve().parents[1] / "notebooks"
    for place in [Path(asked)] if asked else [Path.cwd(), Path.cwd() / "notebooks", checkout]:
        if any((place / "params").glob("*.yaml")):
            return place.resolve()
    where = asked or "the current folder or its notebooks/"
    raise ValueError(
        f"no params/*.yaml in {where}; wanted the folder of the notebooks: run there or set APDLAB_NOTEBOOKS"
    )


def resolve(name: str, given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Check what is given for a notebook and fill in what is None or absent: one check for notebooks and runner.

    Args:
        name: The notebook, without its ending.
        given: Values by parameter; a text is read as what the profile has there (``"1e-3"`` as 0.001).
        folder: The folder that holds ``params/``.

    Returns:
        Every parameter with its value: profile, seed, device and interactive, then those of the profile.

    Raises:
        ValueError: In one line, for an unknown profile or name, a wrong type, an impossible value, a missing device.
    """
    asked = {word: value for word, value in given.items() if value is not None}
    table = _profile(name, asked.get("profile", COMMON["profile"]), folder)
    examples = COMMON | table
    for word in given:
        if word not in examples:
            raise unknown(f"parameter of {name}", word, examples)
    values = {word: coerce(word, asked.get(word, example), example) for word, example in examples.items()}
    for word in table:
        items = values[word] if isinstance(values[word], list) else [values[word]]
        if any(type(item) in (int, float) and item <= 0 for item in items):
            raise ValueError(f"{word} is {values[word]}; wanted more than 0")
    if values["seed"] < 0:
        raise ValueError(f"seed is {values['seed']}; wanted a whole number of 0 or more")
    return values | {"device": _device(values["device"])}


def require(name: str, declared: Iterable[str], wanted: Mapping[str, Any]) -> None:
    """Refuse a notebook whose parameters cell lacks a name."""
    for word in wanted:
        if word not in declared:
            raise ValueError(f"the parameters cell of {name} lacks {word!r}; wanted a line '{word} = None'")


def coerce(name: str, value: Any, example: Any) -> Any:
    """Read a value as what the example is, without loss: a whole number, a number, a flag, a text, or a list of these.

    Example:
        >>> coerce("step_size", "1e-3", 0.5), coerce("steps", 3.0, 10), coerce("widths", "[8, 16]", [1])
        (0.001, 3, [8, 16])
    """
    try:
        return _read(value, example)
    except (TypeError, ValueError, KeyError, OverflowError, yaml.YAMLError):
        kind = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text", list: "a list"}
        raise ValueError(f"{name} is {_short(value)}; wanted {kind[type(example)]} like {example!r}") from None


def declared(source: str) -> list[str]:
    """List the names that a cell assigns at its top level; none if it is not Python."""
    try:
        nodes = ast.parse(source).body
    except SyntaxError:
        return []
    targets = [target for node in nodes for target in getattr(node, "targets", [getattr(node, "target", None)])]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def unknown(what: str, seen: Any, known: Iterable[str]) -> ValueError:
    """Make the error for a word that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(str(seen), known := list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ValueError(f"unknown {what} {_short(seen)}; {hint}known: {', '.join(known) or 'none'}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _profile(name: str, profile: str, folder: Path) -> dict[str, Any]:
    known = sorted(path.stem for path in (folder / "params").glob("*.yaml"))
    if profile not in known:
        raise unknown("profile", profile, known)
    path = folder / "params" / f"{profile}.yaml"
    try:
        tables = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"params/{path.name} is not YAML ({reason}); wanted a table of values for each notebook"
        ) from None
    if not isinstance(tables, dict) or not isinstance(tables.get(name), dict):
        raise unknown(f"notebook in profile {profile}", name, map(str, tables) if isinstance(tables, dict) else ())
    for word, value in tables[name].items():
        if word in {*COMMON, *RESERVED} or not str(word).isidentifier() or word.startswith("_"):
            where = f"{word!r} of {name} in params/{path.name}"
            raise ValueError(f"{where} is no name, or one with a meaning of its own; wanted another name")
        _check_example(f"{word} of {name} in params/{path.name}", value)
    return tables[name]


def _check_example(where: str, value: Any) -> None:
    """Refuse in a profile what gives no type: null, a dict, an empty list, and ``1e-3``, which YAML reads as a text."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, str) and re.fullmatch(r"[-+.\d_]*\d[eE][-+]?\d+", item):
            raise ValueError(f"{where} is {item!r}, which YAML reads as a text; wanted a dot in it, e.g. 1.0e-3")
        if not isinstance(item, bool | int | float | str):
            raise ValueError(f"{where} is {item!r}; wanted a number, true, false, a text, or a list of these")
    if not items:
        raise ValueError(f"{where} is an empty list; wanted at least one value")


def _read(value: Any, example: Any) -> Any:
    if isinstance(example, list):
        items = yaml.safe_load(value) if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items:
            raise TypeError
        kind = next((item for item in example if isinstance(item, float)), example[0])
        return [_read(item, kind) for item in items]
    if isinstance(value, str) and isinstance(example, bool):
        return {"true": True, "false": False}[value.strip().lower()]
    if isinstance(example, bool | str) or isinstance(value, bool):
        if type(value) is not type(example):
            raise TypeError
        return value
    if isinstance(example, int) and isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    number = float(value)
    if not math.isfinite(number) or (isinstance(example, int) and not number.is_integer()):
        raise ValueError
    if isinstance(example, float):
        return number
    return value if isinstance(value, int) else int(number)


def _device(name: str) -> str:
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    with contextlib.suppress(RuntimeError):
        device = torch.device(name)
        if device.type in present and (device.index or 0) < present[device.type]:
            return name
        if device.type in present:
            seen = f"device is {name!r}; torch sees {present[device.type]} of that kind"
            raise ValueError(f"{seen}; wanted one of them: use 'cpu' or 'auto'")
    raise unknown("device", name, ["auto", *present])
