"""What lies in a folder of the store, in words: ``manifest.json``, and the lock that one job at a time holds."""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from apdlab import __version__
from apdlab.files import make_folder, sweep, write_whole
from apdlab.store.packing import FORMAT


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a folder, or None where nothing was stored yet.

    Raises:
        ValueError: If it is none of this version and of this folder.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON ({error}): {remedy(folder)}") from error
    seen = (manifest.get("format"), manifest.get("hash")) if isinstance(manifest, dict) else (None, None)
    if seen != (FORMAT, folder.name):
        raise ValueError(f"{path} has format {seen[0]} and hash {seen[1]}; wanted {FORMAT} and {folder.name}: "
                         f"{remedy(folder)}")  # fmt: skip
    return manifest


def write_manifest(folder: Path, settings: Any, **more: Any) -> None:
    """Write what was asked for, and more."""
    manifest = {"format": FORMAT, "hash": folder.name, **more, "settings": settings}
    write_whole(folder / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())


def versions() -> dict[str, str]:
    """Name the versions that results may depend on."""
    return {"apdlab": __version__, "torch": torch.__version__, "python": platform.python_version()}


def remedy(folder: Path) -> str:
    """Say what to do with a folder that is damaged."""
    return f"delete the folder {folder} and run again"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold it alone; the system frees it when a job is killed, and a second one waits.

    Raises:
        ValueError: If nothing can be written there.
    """
    try:
        make_folder(folder)
        lock = FileLock(folder / ".lock")
        lock.acquire()
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}); wanted a folder for results that can: "
                         "set APDLAB_STORE, or Store(another folder)") from error  # fmt: skip
    try:
        sweep(folder)
        yield
    finally:
        lock.release()
