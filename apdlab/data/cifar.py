"""CIFAR-10, read from the archives as they are published: no pickle is run, nothing is unpacked to disk."""

import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from apdlab.data.images import find
from apdlab.data.own import data
from apdlab.data.pickled import read_pickled
from apdlab.types import Data, Split, is_count

FILE = "cifar-10-binary.tar.gz"
_LOCAL = FILE, "cifar-10-python.tar.gz", "cifar-10-batches-bin", "cifar-10-batches-py"
_PARTS = "test_batch", *(f"data_batch_{i}" for i in range(1, 6))
_ROW = 1 + 3 * 32 * 32  # a label, then the red, the green and the blue pixels


def cifar10(*, device: torch.device | str = "cpu") -> Split:
    """Load CIFAR-10: the first 40,000 training images, the last 10,000 for validation, 10,000 for test.

    The archive comes from ``cifar10/`` in the folder named by the environment variable ``APDLAB_DATA``, or from the
    web, once, into the cache folder of the system (170 MB). It is read only if its md5 sum is the published one.
    A. Krizhevsky (2009), Learning multiple layers of features from tiny images,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        device: Where the set shall live.

    Returns:
        ``x [N, 3, 32, 32]`` float32 in [-1, 1], ``y [N]`` int64 in 0..9.

    Raises:
        ValueError: If the archive is not the published one, or lacks a part.
        FileNotFoundError: If it is neither in ``APDLAB_DATA`` nor to be had from the web.

    Example:
        >>> cifar10().train.x.shape  # doctest: +SKIP
        torch.Size([40000, 3, 32, 32])
    """
    path = find("cifar10", FILE)
    with tarfile.open(path) as archive:
        parts = [_part(archive, f"data_batch_{i}") for i in range(1, 6)]
        x, y = data(*map(np.concatenate, zip(*parts, strict=True)))
        test = data(*_part(archive, "test_batch"))
    cut = len(y) - len(y) // 5
    return Split(Data(x[:cut], y[:cut]), Data(x[cut:], y[cut:]), test).to(device)


def cifar10_parts(n: int, *, device: torch.device | str = "cpu") -> dict[str, Data]:
    """Take ``n`` images of CIFAR-10 from whatever parts of it there are: of ``test_batch`` first, then of the others.

    For comparisons that need images of any part, as those with inputs unlike the data. ``cifar10/`` in the folder named
    by ``APDLAB_DATA`` may hold the binary or the Python version, as archive or unpacked, and parts may be missing or
    short: no sum is published for these, so only their form is checked. Where there is none of them, the archive is
    downloaded as by :func:`cifar10`.

    Args:
        n: How many images; fewer where there are fewer.
        device: Where they shall live.

    Returns:
        Under the name of each part that was taken from, ``x [., 3, 32, 32]`` float32 in [-1, 1] and ``y`` in 0..9.

    Raises:
        ValueError: If ``n`` is no count, there is no part, or a part is damaged or asks for more than arrays.
        FileNotFoundError: If there is nothing, and nothing to be had from the web.

    Example:
        >>> {name: len(part.y) for name, part in cifar10_parts(12_000).items()}  # doctest: +SKIP
        {'test_batch': 10000, 'data_batch_1': 2000}
    """
    if not is_count(n):
        raise ValueError(f"n is {n}; wanted 1 image or more, a whole number")
    taken: dict[str, Data] = {}
    path = _local() or find("cifar10", FILE)
    with _files(path) as files:
        there = [part for part in _PARTS if part in files]
        if not there:
            raise ValueError(f"{path} has no part of CIFAR-10; wanted one of {', '.join(_PARTS)}")
        for part in there:
            if left := n - sum(len(of.y) for of in taken.values()):
                with files[part]() as stream:
                    x, y = (_pickled if "py" in path.name else _binary)(stream, f"{path}, {part}")
                taken[part] = data(x[:left], y[:left], device=device)
    return taken


def _local() -> Path | None:
    folder = Path(os.environ.get("APDLAB_DATA", "")).expanduser() / "cifar10"
    return next((folder / name for name in _LOCAL if (folder / name).exists()), None)


@contextmanager
def _files(path: Path) -> Iterator[dict[str, Callable[[], BinaryIO]]]:
    """Give what opens each file of a folder or an archive, under its name without ``.bin``."""
    try:
        if path.is_dir():
            yield {file.name.removesuffix(".bin"): partial(file.open, "rb") for file in path.iterdir()}
        else:
            with tarfile.open(path) as archive:
                found = {Path(member.name).name: member for member in archive if member.isfile()}
                yield {name.removesuffix(".bin"): partial(archive.extractfile, of) for name, of in found.items()}
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path} is not a whole archive ({error}); wanted one, so get a fresh copy") from None


def _pickled(stream: BinaryIO, name: str) -> tuple[np.ndarray, np.ndarray]:
    content = read_pickled(stream, name)
    x, y = content.get(b"data"), np.asarray(content.get(b"labels"))
    if not isinstance(x, np.ndarray) or x.shape != (y.size, _ROW - 1) or y.shape != (len(x),) or y.dtype.kind != "i":
        raise ValueError(f"{name} lacks data [N, {_ROW - 1}] and as many labels; wanted a batch of CIFAR-10")
    return _in_range(x, y, name)


def _binary(stream: BinaryIO, name: str) -> tuple[np.ndarray, np.ndarray]:
    content = stream.read()
    if not content or len(content) % _ROW:
        raise ValueError(f"{name} has {len(content):,} bytes; wanted a multiple of {_ROW:,}, one row an image")
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
    return _in_range(rows[:, 1:], rows[:, 0], name)


def _in_range(x: np.ndarray, y: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    if not 0 <= y.min(initial=0) <= y.max(initial=0) <= 9:
        raise ValueError(f"{name} has the label {y.max() if y.max() > 9 else y.min()}; wanted 0 to 9")
    return x.reshape(-1, 3, 32, 32), y


def _part(archive: tarfile.TarFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    member = f"cifar-10-batches-bin/{name}.bin"
    try:
        return _binary(archive.extractfile(member), member)
    except KeyError:
        raise ValueError(f"{archive.name} lacks {member}; wanted the binary version of CIFAR-10") from None
