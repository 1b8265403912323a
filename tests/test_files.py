"""Laws of files: whole or not at all, on the disk before they have their name, and no torch for the command line."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apdlab import files


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail(*_):
    raise OSError("disk full")


@pytest.mark.parametrize("place", ["new", "a/b/new", "old"])
@pytest.mark.parametrize("content", [b"", b"x" * 100_000], ids=["nothing", "much"])
def test_what_is_written_is_read(tmp_path, place, content):
    (tmp_path / "old").write_bytes(b"longer or shorter")
    files.write_whole(tmp_path / place, content)
    assert listing((tmp_path / place).parent)[Path(place).name] == content


@pytest.mark.parametrize(("module", "name"), [(Path, "replace"), (os, "fsync"), (Path, "open")])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, module, name):
    files.write_whole(tmp_path / "file", b"old")
    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):
        broken.setattr(module, name, fail)
        files.write_whole(tmp_path / "file", b"new")
    assert listing(tmp_path) == {"file": b"old"}


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system syncs folders by itself")
def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    events = []

    def fsync(handle, real=os.fsync):
        path = Path(os.readlink(f"/proc/self/fd/{handle}")) if Path("/proc/self/fd").exists() else None
        size = os.fstat(handle).st_size if path is None or path.is_file() else None
        events.append("folder" if size is None else size)
        real(handle)

    def replace(path, target, real=Path.replace):
        events.append("name")
        return real(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    files.write_whole(tmp_path / "deep" / "file", b"12345")
    assert events == ["folder", 5, "name", "folder"]


def test_threads_that_write_the_same_file_do_not_mix(tmp_path):
    contents = [bytes([number]) * 50_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: [files.write_whole(tmp_path / "file", content) for _ in range(5)], contents))
    assert list(listing(tmp_path)) == ["file"] and (tmp_path / "file").read_bytes() in contents


def test_what_killed_writers_left_is_swept(tmp_path):
    for name in (".file-123-456.partial", "file", ".lock", "file.partial"):
        (tmp_path / name).touch()
    files.sweep(tmp_path)
    assert set(listing(tmp_path)) == {"file", ".lock", "file.partial"}


def test_files_and_what_writes_them_load_without_torch():
    code = "import sys, apdlab.files, apdlab.notebook, apdlab.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "safetensors", "filelock"} & set(done.stdout.split()) == set()
