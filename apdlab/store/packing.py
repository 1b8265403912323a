"""Frozen dataclasses, NamedTuples and tuples of tensors as one safetensors file, and back; nothing is pickled.

Tensors lie in the file under dotted names and are opened memory-mapped. The rest is a tree in JSON in the file's
header: classes by name, of which only those that the reader names are made again, and a network as its fingerprint.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from apdlab.networks import Network
from apdlab.store.fingerprint import fingerprint

FORMAT = "apdlab/1"


class Unlisted(ValueError):
    """A file holds a class that its reader did not list."""


def pack(value: Any) -> bytes:
    """Write a value as the bytes of a safetensors file.

    Args:
        value: Tensors, numbers, texts, None and networks; tuples, lists, dicts with texts as keys, NamedTuples and
            frozen dataclasses of these.

    Raises:
        ValueError: If there is something else in it: names the place.

    Example:
        >>> import torch
        >>> from apdlab.draws import Draws
        >>> from apdlab.networks import mlp
        >>> content = pack(Draws(mlp(2, 3), torch.zeros(10, 9)))
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_encode(value, "", tensors), allow_nan=False)
    return save(_unshared(tensors), {"format": FORMAT, "tree": tree})


def unpack(path: Path, network: Network | None, kinds: Sequence[type], device: torch.device | str = "cpu") -> Any:
    """Read what ``pack`` wrote; on the CPU tensors are memory-mapped, so that only what is used is read.

    Args:
        path: The file.
        network: Takes the place of the networks in it, which must be of its architecture.
        kinds: The dataclasses and NamedTuples that may be made again.
        device: Where the tensors shall be.

    Raises:
        ValueError: In one line that names the file: it is missing, cut short, of another program or version, holds
            a kind that is not listed, or belongs to another network.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pair.safetensors"
        >>> _ = path.write_bytes(pack((torch.ones(2), 3)))
        >>> unpack(path, None, kinds=())
        (tensor([1., 1.]), 3)
    """
    tree, tensors = _open(path)
    known = {_name(kind): kind for kind in kinds}
    try:
        return _decode(tree, {name: part.to(device) for name, part in tensors.items()}, network, known)
    except (ValueError, TypeError, KeyError) as error:
        reason = error
        if not isinstance(error, ValueError):
            seen = f"lacks {error}" if isinstance(error, KeyError) else f"does not fit ({error})"
            reason = f"{seen}; wanted a file that apdlab wrote"
        raise (Unlisted if isinstance(error, Unlisted) else ValueError)(f"{path}: {reason}") from error


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    def each(parts: Mapping[Any, Any]) -> list[Any]:
        return [_encode(part, f"{path}.{name}".lstrip("."), tensors) for name, part in parts.items()]

    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, Tensor):
        name = path or "value"
        while name in tensors:  # of {"a.b": one, "a": {"b": another}}
            name += "_"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Network):
        return {"network": fingerprint(value), "shapes": _shapes(value)}
    if (named := _fields(value)) is not None:
        return {"kind": _name(type(value)), "fields": dict(zip(named, each(named), strict=True))}
    if isinstance(value, tuple | list):
        return {"list" if isinstance(value, list) else "tuple": each(dict(enumerate(value)))}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": dict(zip(value, each(value), strict=True))}
    raise ValueError(
        f"{path or 'value'} is of type {_name(type(value))}; wanted tensors, numbers, texts, networks, or tuples, "
        "lists, dicts, NamedTuples and frozen dataclasses of them: nothing else can be stored"
    )


def _fields(value: Any) -> dict[str, Any] | None:
    """Name the parts that a dataclass or NamedTuple is made from; None for anything else."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._asdict()
    if is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen:
        return {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return None


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each tensor memory of its own, as the format wants; only those that share some are copied."""
    own, used = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        own[name] = plain.clone() if plain.untyped_storage().data_ptr() in used else plain
        used.add(plain.untyped_storage().data_ptr())
    return own


def _open(path: Path) -> tuple[Any, dict[str, Tensor]]:
    if not path.exists():
        raise ValueError(f"{path} is missing; wanted a file that apdlab wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _refuse_format(path, metadata.get("format", ""))
            return json.loads(metadata["tree"]), {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        reason = _short(" ".join(str(error).split()))
        raise ValueError(
            f"{path} is cut short, damaged or no safetensors file ({reason}); wanted one that apdlab wrote"
        ) from error


def _refuse_format(path: Path, seen: str) -> None:
    if not seen.startswith("apdlab/"):
        raise ValueError(f"{path} was written by another program; wanted a file of format {FORMAT}")
    if seen != FORMAT:
        raise ValueError(f"{path} is of format {seen}; wanted {FORMAT}: read it with the apdlab that wrote it")


def _decode(tree: Any, tensors: Mapping[str, Tensor], network: Network | None, known: Mapping[str, type]) -> Any:
    def again(part: Any) -> Any:
        return _decode(part, tensors, network, known)

    makers: dict[str, Callable[[Any], Any]] = {
        "float": float,
        "tensor": tensors.__getitem__,
        "tuple": lambda parts: tuple(map(again, parts)),
        "list": lambda parts: list(map(again, parts)),
        "dict": lambda parts: {name: again(part) for name, part in parts.items()},
    }
    if not isinstance(tree, dict):
        return tree
    if "network" in tree:
        return _same_network(tree, network)
    if "kind" in tree:
        if tree["kind"] not in known:
            wanted = _short(", ".join(sorted(known)) or "none")
            raise Unlisted(f"it holds a {tree['kind']}; wanted classes listed in kinds, which are {wanted}")
        return known[tree["kind"]](**{name: again(part) for name, part in tree["fields"].items()})
    kind = next(iter(tree), None)
    return makers[kind](tree[kind])


def _same_network(stored: Mapping[str, Any], network: Network | None) -> Network:
    if network is None:
        raise ValueError("it holds a network; wanted the network to put in its place")
    if fingerprint(network) == stored["network"]:
        return network
    ours, theirs = _shapes(network), stored["shapes"]
    differ = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
    if not differ:
        raise ValueError(
            "it belongs to a network of the same shapes but of other layers, settings or code, e.g. another "
            "activation; wanted that network"
        )
    name = differ[0]
    raise ValueError(
        f"it belongs to another network: {name} is {theirs.get(name, 'not there')} in the file and "
        f"{ours.get(name, 'not there')} in the network given; wanted the network of the file"
    )


def _shapes(network: Network) -> dict[str, str]:
    dtype = str(network.dtype).removeprefix("torch.")
    return {name: f"{dtype} {list(shape)}" for name, shape in network.shapes.items()}


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
