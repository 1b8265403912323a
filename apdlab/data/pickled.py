"""Pickled pixels and labels, read without running anything that a pickle may ask for."""

import pickle
from typing import Any, BinaryIO

import numpy as np


class _Stub:
    """Stands for an array or a dtype: keeps what a pickle says of it, and does nothing."""

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        self.state = state


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


# Python 3 writes bytes, in the protocol of Python 2, as a text to encode.
_KNOWN = {("numpy", "ndarray"): _Stub, ("numpy", "dtype"): _Stub, ("_codecs", "encode"): _latin1} | {
    (f"numpy.{core}.multiarray", "_reconstruct"): _Stub for core in ("core", "_core")
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _KNOWN[module, name]


def read_pickled(stream: BinaryIO, name: str) -> dict[bytes, Any]:
    """Read a pickled dict of plain values and uint8 arrays, as the Python version of CIFAR has them.

    A pickle is a program. This one may build tuples, lists, dicts, numbers, texts and bytes, and describe arrays, which
    are then made here from their bytes; whatever else it names is not looked up, so nothing of it ever runs.

    Args:
        stream: The file.
        name: What to call it in a refusal.

    Returns:
        The dict, its uint8 arrays as arrays; its texts are bytes, as Python 2 wrote them.

    Raises:
        ValueError: If it asks for anything else, is no whole pickle of a dict, or an array is none of bytes.

    Example:
        >>> import io
        >>> content = {b"data": np.arange(4, dtype=np.uint8).reshape(2, 2), b"labels": [7, 3]}
        >>> read_pickled(io.BytesIO(pickle.dumps(content, protocol=2)), "batch")[b"data"].tolist()
        [[0, 1], [2, 3]]
    """
    try:
        content = _Reader(stream, encoding="bytes").load()
    except pickle.UnpicklingError as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"{name} asks for {why}; wanted plain values and arrays of bytes alone, so it was not run; "
            "get a fresh copy from its publisher"
        ) from None
    except (EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError) as error:
        raise _unreadable(name, f"({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise _unreadable(name, f"of a {type(content).__name__}")
    return {key: _array(value, name) if isinstance(value, _Stub) else value for key, value in content.items()}


def _array(stub: _Stub, name: str) -> np.ndarray:
    try:
        _, shape, dtype, by_column, content = stub.state
        if dtype.args[0] not in ("u1", b"u1") or by_column:
            raise TypeError
        return np.frombuffer(content, np.uint8).reshape(shape)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise _unreadable(name, "with an array of another kind") from None


def _unreadable(name: str, why: str) -> ValueError:
    return ValueError(f"{name} is a pickle {why}; wanted a whole one of a dict with uint8 arrays, so get a fresh copy")
