"""Laws of CIFAR-10: images and labels as they lie in the archive, and only in the archive that was published."""

import hashlib
import io
import sys
import tarfile

import numpy as np
import pytest
import torch

from apdlab.data import cifar10, images, scale_pixels

FILES = sys.modules["apdlab.data.images"]  # the function of that name hides the module
PARTS = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
FILE = "cifar-10-binary.tar.gz"


def rows(seed, n=2):
    dice = np.random.default_rng(seed)
    return dice.integers(0, 10, n, np.uint8), dice.integers(0, 256, (n, 3, 32, 32), np.uint8)


def contents():
    """Six parts of two images, red before green before blue, row by row, each behind its label."""
    made = {}
    for seed, part in enumerate(PARTS):
        pairs = zip(*rows(seed), strict=True)
        made[part] = b"".join(bytes([label]) + image.tobytes() for label, image in pairs)
    return made


@pytest.fixture
def archive(tmp_path, monkeypatch):
    def write(parts):
        path = tmp_path / "cifar10" / FILE
        path.parent.mkdir()
        with tarfile.open(path, "w:gz") as tar:
            for name, content in parts.items():
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
        monkeypatch.setattr(FILES, "MD5", {"cifar10": {FILE: hashlib.md5(path.read_bytes()).hexdigest()}})
        return path

    return write


def test_images_and_labels_are_those_of_the_parts_in_order(archive):
    archive(contents())
    train, valid, test = cifar10()
    assert [len(part.y) for part in (train, valid, test)] == [8, 2, 2]
    for part, seeds in ((train, range(4)), (valid, [4]), (test, [5])):
        labels, pixels = map(np.concatenate, zip(*map(rows, seeds), strict=True))
        assert part.y.tolist() == labels.tolist()
        torch.testing.assert_close(part.x, scale_pixels(torch.from_numpy(pixels)), rtol=0, atol=0)


BROKEN = {
    "cut": ({"data_batch_3": contents()["data_batch_3"][:-1]}, r"data_batch_3.bin has 6,145 bytes; wanted a multiple"),
    "empty": ({"test_batch": b""}, "test_batch.bin has 0 bytes"),
    "label": ({"data_batch_1": b"\x0a" + contents()["data_batch_1"][1:]}, "has the label 10; wanted 0 to 9"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_part_is_refused(archive, change, message):
    archive(contents() | change)
    with pytest.raises(ValueError, match=message):
        cifar10()


def test_a_missing_part_is_refused(archive):
    archive({name: content for name, content in contents().items() if name != "data_batch_5"})
    with pytest.raises(ValueError, match=r"lacks cifar-10-batches-bin/data_batch_5\.bin; wanted the binary version"):
        cifar10()


def test_another_archive_is_refused(archive):
    path = archive(contents())
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"has md5 .*; wanted .*, the published file"):
        cifar10()


def test_the_loader_of_grey_images_names_this_one():
    with pytest.raises(ValueError, match=r"name is 'cifar10'; wanted one of mnist, .*; use cifar10"):
        images("cifar10")
