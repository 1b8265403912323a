"""CIFAR-10 in its binary version, read from the archive as it is published: no pickle, nothing unpacked to disk."""

import tarfile

import numpy as np
import torch

from apdlab.data.images import find
from apdlab.data.own import data
from apdlab.types import Data, Split

FILE = "cifar-10-binary.tar.gz"
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


def _part(archive: tarfile.TarFile, name: str) -> tuple[np.ndarray, np.ndarray]:
    member = f"cifar-10-batches-bin/{name}.bin"
    try:
        content = archive.extractfile(member).read()
    except KeyError:
        raise ValueError(f"{archive.name} lacks {member}; wanted the binary version of CIFAR-10") from None
    if not content or len(content) % _ROW:
        raise ValueError(f"{member} has {len(content):,} bytes; wanted a multiple of {_ROW:,}, one row an image")
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW)
    if (top := rows[:, 0].max()) > 9:
        raise ValueError(f"{member} has the label {top}; wanted 0 to 9")
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
