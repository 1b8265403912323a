"""What functions and classes do, read from themselves: bytecode, and the variables, globals and members they use."""

import dis
import hashlib
import sys
import sysconfig
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from functools import cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import Tensor

_BY_NAME = ("torch", "apdlab")
_INSTALLED = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
_CONSTANTS = (bool, int, float, str, tuple, list, dict, Tensor, partial)
# What Python writes into dataclasses and NamedTuples follows from their fields.
_GENERATED = {"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__replace__", "__getnewargs__"}
_GENERATED |= {"__lt__", "__le__", "__gt__", "__ge__", "__getstate__", "__setstate__", "__new__"}
_GENERATED |= {"_make", "_replace", "_asdict"}


def is_by_name(module: str) -> bool:
    """Say whether a name is enough for what comes from this module: manifests tell the versions of these."""
    return module.partition(".")[0] in _BY_NAME


def is_installed(module: str) -> bool:
    """Say whether a module is of Python or of an installed library, not of a notebook, a script or a project."""
    if module == "__main__":
        return False
    if is_by_name(module) or module in sys.builtin_module_names:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and any(Path(file).is_relative_to(folder) for folder in _INSTALLED)


def digest_code(code: CodeType) -> str:
    """Hash what a code does, not where it is written: lines and files are left out.

    Example:
        >>> one, two = compile("f(x)", "a.py", "eval"), compile("f( x )", "b.py", "eval")
        >>> digest_code(one) == digest_code(two)
        True
    """
    return hashlib.sha256(repr(_bytecode(code)).encode()).hexdigest()[:20]


def closure(function: FunctionType) -> dict[str, Any]:
    """Name the variables that a function closes over."""
    named = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            named[name] = cell.cell_contents
        except ValueError:  # not filled yet: the function is read before its maker has ended
            named[name] = None
    return named


def defaults(function: FunctionType) -> dict[str, Any]:
    """Name the defaults of a function's arguments."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    last = zip(reversed(names), reversed(function.__defaults__ or ()), strict=False)
    return dict(last) | (function.__kwdefaults__ or {})


def reads(function: FunctionType) -> dict[str, Any]:
    """Name the globals that a function reads, and of modules that are no library's what it may take from them.

    Example:
        >>> sorted(reads(is_installed))
        ['Path', '_INSTALLED', 'is_by_name']
    """
    codes = list(_nested(function.__code__))
    loads = [op for code in codes for op in dis.get_instructions(code) if op.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    words = {word for code in codes for word in code.co_names}
    return dict(_take(function.__globals__, {op.argval for op in loads}, words))


def members(kind: type) -> dict[str, Any]:
    """Name the methods and constants of a class, inherited ones too; none for a class of a library."""
    named: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if not is_installed(base.__module__):
            named |= {name: _unwrapped(part) for name, part in vars(base).items() if name not in _GENERATED}
    skipped = {"__init__"} if is_dataclass(kind) else set()
    return {name: part for name, part in named.items() if _is_read(name, part) and name not in skipped}


def _unwrapped(part: Any) -> Any:
    if isinstance(part, staticmethod | classmethod):
        return part.__func__
    if isinstance(part, property):
        return part.fget
    return part.func if isinstance(part, cached_property) else part


def _is_read(name: str, part: Any) -> bool:
    constant = isinstance(part, _CONSTANTS) and not name.startswith("__")
    nested = isinstance(part, type) and not name.startswith("_")  # torch puts private ones into autograd functions
    return constant or nested or isinstance(part, FunctionType)


def _take(named: dict[str, Any], names: Collection[str], words: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name in sorted(names & named.keys()):
        part = named[name]
        if not isinstance(part, ModuleType):
            yield name, part
        elif not is_installed(part.__name__):
            inner = {key: value for key, value in vars(part).items() if _is_within(value, part)}
            yield from ((f"{name}.{key}", value) for key, value in _take(inner, words, words))


def _is_within(value: Any, module: ModuleType) -> bool:
    return not isinstance(value, ModuleType) or value.__name__.startswith(f"{module.__name__}.")


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _bytecode(code: CodeType) -> tuple:
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return code.co_code, code.co_exceptiontable, names, shape, [_constant(part) for part in code.co_consts]


def _constant(part: Any) -> Any:
    if isinstance(part, CodeType):
        return _bytecode(part)
    if isinstance(part, tuple):
        return tuple(map(_constant, part))
    return sorted(map(repr, part)) if isinstance(part, frozenset) else part  # a set has another order elsewhere
