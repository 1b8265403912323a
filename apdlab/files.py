"""Files that are there whole or not at all, also after a kill or a power cut."""

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and its folder where there is none; on return it is on the disk.

    Args:
        path: The file; what was there before stays until the new content is complete.
        content: All of it.

    Raises:
        OSError: If it cannot be written; nothing partial is left.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "new" / "numbers.json"
        >>> write_whole(path, b"[1, 2]")
        >>> path.read_bytes()
        b'[1, 2]'
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, on the disk; one that is there stays."""
    if not folder.is_dir():
        if folder.parent != folder:
            make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder: for who holds its lock, since living ones lose theirs too."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk; Windows does so by itself and cannot open one."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
