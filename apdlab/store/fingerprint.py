"""What a result depends on, as a tree that JSON holds, and its hash: nobody keeps lists of settings by hand.

Samplers, densities and schedules are closures and frozen dataclasses, so they can be read: their functions by name,
their settings by value. What was written outside torch, apdlab and the installed libraries, in a notebook say, is read
by its bytecode and by the globals that it uses, so that an edited ``forward`` is another network.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial, singledispatch
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from apdlab.networks import Network
from apdlab.store.bytecode import closure, defaults, digest_code, is_by_name, is_installed, members, reads

Go = Callable[[Any, str], Any]

_BARE = nn.Module()
_PLAIN = (bool, int, float, str, tuple, Tensor, torch.dtype, FunctionType, BuiltinFunctionType, MethodType, partial)


def describe(value: Any, name: str = "") -> Any:
    """Write down everything that a value is made of, as a tree of lists, dicts, texts and numbers.

    Tensors become a hash of their content wherever they live, networks their architecture without weights, functions
    their name with the variables that they close over, frozen dataclasses and NamedTuples their fields.

    Args:
        value: Settings: numbers, texts, tensors, functions, modules; tuples, dicts, frozen dataclasses of these.
        name: What to call it in an error.

    Returns:
        A tree for ``json.dumps``, the same in every process.

    Raises:
        ValueError: If there is something in it that cannot be read so, or a ``torch.Generator``: names the place.

    Example:
        >>> from apdlab.schedules import constant
        >>> describe(constant(0.1))
        {'function': 'apdlab.schedules.constant.<locals>.<lambda>', 'with': {'step_size': 0.1}}
    """
    seen: dict[int, tuple[Any, Any]] = {}

    def go(part: Any, path: str) -> Any:
        if id(part) not in seen:
            seen[id(part)] = part, {"again": path}  # what is met inside itself
            seen[id(part)] = part, _tree(part, path, go)
        return seen[id(part)][1]

    return go(value, name)


def fingerprint(value: Any) -> str:
    """Hash what ``describe`` reads: the same for equal settings in every process, another for any other settings.

    Raises:
        ValueError: As ``describe`` does.

    Example:
        >>> fingerprint((0.1, "sgld")) == fingerprint((0.1, "sgld")), fingerprint(0.1) == fingerprint(0.2)
        (True, False)
    """
    return digest(describe(value))


def digest(tree: Any) -> str:
    """Give the first 20 hexadecimal digits of SHA-256 of a tree as canonical JSON."""
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@singledispatch
def _tree(value: Any, path: str, go: Go) -> Any:
    if is_dataclass(value) and value.__dataclass_params__.frozen:
        settings = {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
        return {**go(type(value), path), "with": _named(settings, path, go)}
    raise ValueError(
        f"{_place(path)} is of type {_name(type(value))}; wanted numbers, texts, tensors, functions, modules, or "
        "tuples, dicts and frozen dataclasses of them, which can be read: pass or use those instead"
    )


@_tree.register
def _(value: bool | int | str | None, path: str, go: Go) -> Any:
    return value


@_tree.register
def _(value: float, path: str, go: Go) -> Any:
    return float(value) if math.isfinite(value) else {"float": repr(float(value))}


@_tree.register
def _(value: torch.dtype | torch.device, path: str, go: Go) -> Any:
    return {type(value).__name__: str(value)}


@_tree.register
def _(value: list, path: str, go: Go) -> Any:
    return [go(part, f"{path}[{i}]") for i, part in enumerate(value)]


@_tree.register
def _(value: tuple, path: str, go: Go) -> Any:
    if names := getattr(value, "_fields", None):
        return {**go(type(value), path), "with": _named(dict(zip(names, value, strict=True)), path, go)}
    return {"tuple": [go(part, f"{path}[{i}]") for i, part in enumerate(value)]}


@_tree.register
def _(value: torch.Size, path: str, go: Go) -> Any:
    return {"size": list(value)}


@_tree.register
def _(value: dict, path: str, go: Go) -> Any:
    if all(isinstance(key, str) for key in value):
        return {"dict": _named(value, path, go)}
    pairs = [[go(key, f"{path} key"), go(part, f"{path}[{key!r}]")] for key, part in value.items()]
    return {"dict": sorted(pairs, key=json.dumps)}


@_tree.register
def _(value: Tensor, path: str, go: Go) -> Any:
    if value.layout != torch.strided:
        raise ValueError(f"{_place(path)} is a tensor of layout {value.layout}; wanted a dense one: .to_dense()")
    dense = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    content = dense.reshape(-1).view(torch.uint8).numpy()  # the same memory; NumPy has no bfloat16
    return {"tensor": f"{_short(value.dtype)} {list(value.shape)}", "sha256": hashlib.sha256(content).hexdigest()}


@_tree.register
def _(value: np.ndarray | np.generic, path: str, go: Go) -> Any:
    if value.dtype.hasobject:
        raise ValueError(f"{_place(path)} is an array of Python objects; wanted one of numbers")
    content = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return {"array": f"{value.dtype.str} {list(value.shape)}", "sha256": hashlib.sha256(content).hexdigest()}


@_tree.register
def _(value: Network, path: str, go: Go) -> Any:
    tree = {"network": go(value.module, path), "leaves": list(value.shapes)}
    return tree if value.products == value.dtype else tree | {"products": _short(value.products)}


@_tree.register
def _(value: nn.Module, path: str, go: Go) -> Any:
    """Read all of a module but the values of its weights; the children in their order, which may be what is run."""
    own = {name: part for name, part in vars(value).items() if _is_setting(name, part)}
    own |= dict(value.named_buffers(recurse=False))
    weights = {name: f"{_short(leaf.dtype)} {list(leaf.shape)}" for name, leaf in value.named_parameters(recurse=False)}
    children = [[name, tree] for name, tree in _named(value._modules, path, go).items()]
    return {**go(type(value), path), "with": _named(own, path, go), "weights": weights, "children": children}


def _is_setting(name: str, part: Any) -> bool:
    if name in vars(_BARE) or isinstance(part, nn.Parameter):
        return False
    return isinstance(part, _PLAIN) or not name.startswith("_")


@_tree.register
def _(value: torch.Generator, path: str, go: Go) -> Any:
    raise ValueError(
        f"{_place(path)} is a torch.Generator, whose state changes as it is used; wanted a seed: pass an integer "
        "and make the generator inside"
    )


@_tree.register(torch.no_grad | torch.enable_grad | torch.inference_mode | torch.set_grad_enabled)
def _(value: Any, path: str, go: Go) -> Any:
    return {**go(type(value), path), "mode": getattr(value, "mode", None)}  # what decorated functions close over


@_tree.register
def _(value: partial, path: str, go: Go) -> Any:
    return {
        "partial": go(value.func, path),
        "args": [go(part, f"{path}[{i}]") for i, part in enumerate(value.args)],
        "with": _named(value.keywords, path, go),
    }


@_tree.register
def _(value: MethodType, path: str, go: Go) -> Any:
    return {"method": go(value.__func__, path), **_named({"of": value.__self__}, path, go)}


@_tree.register
def _(value: BuiltinFunctionType, path: str, go: Go) -> Any:
    owner = value.__self__
    named = {"builtin": _name(value)}
    return named if isinstance(owner, ModuleType | type | None) else named | _named({"of": owner}, path, go)


@_tree.register
def _(value: MethodDescriptorType | np.ufunc, path: str, go: Go) -> Any:
    return {"builtin": f"{_name(getattr(value, '__objclass__', type(value)))}.{value.__name__}"}


@_tree.register
def _(value: FunctionType, path: str, go: Go) -> Any:
    """Read a function: what it closes over, its defaults, and for one that is no library's what it does."""
    home = value.__globals__.get("__name__") or ""
    parts = {"with": closure(value), "defaults": defaults(value)}
    tree = {"function": _name(value)}
    if not is_by_name(home):
        tree["code"] = digest_code(value.__code__)
        parts["reads"] = {} if is_installed(home) else reads(value)
    return tree | {kind: _named(named, path, go) for kind, named in parts.items() if named}


@_tree.register
def _(value: type, path: str, go: Go) -> Any:
    return {"class": _name(value)} | ({"members": _named(own, path, go)} if (own := members(value)) else {})


def _named(parts: Mapping[str, Any], path: str, go: Go) -> dict[str, Any]:
    return {name: go(part, f"{path}.{name}" if path else name) for name, part in parts.items()}


def _place(path: str) -> str:
    return path if path and path[0] != "[" else f"value{path}"


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}".removeprefix("builtins.")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
