"""The IDX format, in which MNIST and its relatives are published."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np


def read_idx(path: str | Path) -> np.ndarray:
    """Read unsigned bytes from an IDX file, unpacked with gzip when its name ends in ``.gz``.

    The file is ``00 00 08 d``, then ``d`` sizes as big-endian 32-bit integers, then the values in row-major order.
    Y. LeCun, C. Cortes and C. Burges (1998), http://yann.lecun.com/exdb/mnist/. Memory follows the bytes that the
    file has, not the sizes that it claims.

    Args:
        path: The file.

    Returns:
        A new uint8 array of 1 to 4 dimensions.

    Raises:
        ValueError: If the file is not whole gzip, not IDX of unsigned bytes, empty, or shorter or longer than its
            header says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels-idx1-ubyte"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
        ...     read_idx(path)
        array([7, 3], dtype=uint8)
    """
    path = Path(path)
    unpack = gzip.open if path.suffix == ".gz" else open
    try:
        with unpack(path, "rb") as stream:
            shape = _shape(stream, path)
            values = _at_most(math.prod(shape) + 1, stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file ({error}); wanted one, so get a fresh copy") from None
    if len(values) != math.prod(shape):
        seen = "more" if len(values) > math.prod(shape) else f"{len(values):,}"
        raise ValueError(
            f"{path} holds {seen} values; wanted {math.prod(shape):,} for the shape {list(shape)} in its header, so "
            "get a fresh copy"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def _shape(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 4:
        raise ValueError(
            f"{path} starts with {magic.hex(' ') or 'nothing'}; wanted 00 00 08 and 01 to 04, an IDX file of unsigned "
            "bytes (a gzip file must have .gz in its name)"
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(f"{path} ends within its header; wanted {magic[3]} sizes, so get a fresh copy")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise ValueError(f"{path} is empty, shape {list(shape)}; wanted at least one value")
    return shape


def _at_most(count: int, stream: BinaryIO) -> bytearray:
    values = bytearray()
    while chunk := stream.read(min(count - len(values), 1 << 20)):
        values += chunk
    return values
