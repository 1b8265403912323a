"""Laws of CIFAR-10: images and labels as they lie in the archive, published whole or in whatever parts there are."""

import hashlib
import io
import pickle
import sys
import tarfile

import numpy as np
import pytest
import torch

from apdlab.data import cifar10, cifar10_parts, images, scale_pixels

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


# Parts ----------------------------------------------------------------------------------------------------------------


def pickled(seed, n=2):
    labels, pixels = rows(seed, n)
    return pickle.dumps({b"data": pixels.reshape(n, -1), b"labels": labels.tolist()}, protocol=2)


def folder(root, parts):
    root.mkdir(parents=True)
    for name, content in parts.items():
        (root / name).write_bytes(content)


def packed(root, parts):
    root.parent.mkdir(parents=True)
    with tarfile.open(root, "w:gz") as tar:
        for name, content in parts.items():
            info = tarfile.TarInfo(f"some/folder/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


BINARY = {f"{name}.bin": content for name, content in contents().items()}
PICKLED = {name: pickled(seed) for seed, name in enumerate(PARTS)}
VERSIONS = {
    "cifar-10-binary.tar.gz": (packed, BINARY),
    "cifar-10-python.tar.gz": (packed, PICKLED),
    "cifar-10-batches-bin": (folder, BINARY),
    "cifar-10-batches-py": (folder, PICKLED),
}
ORDER = ["test_batch", *PARTS[:5]]


@pytest.mark.parametrize("missing", [[], ["data_batch_1", "data_batch_4"], ["test_batch"], PARTS[:5]], ids=len)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_parts_there_are_in_order(tmp_path, monkeypatch, version, missing):
    write, files = VERSIONS[version]
    kept = {name: content for name, content in files.items() if name.removesuffix(".bin") not in missing}
    write(tmp_path / "cifar10" / version, kept | {"batches.meta": b"no part of it"})
    monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
    found = cifar10_parts(100)
    assert list(found) == [part for part in ORDER if part not in missing]
    for part, (x, y) in found.items():
        labels, pixels = rows(PARTS.index(part))
        assert y.tolist() == labels.tolist()
        torch.testing.assert_close(x, scale_pixels(torch.from_numpy(pixels)), rtol=0, atol=0)


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (2, [2]), (3, [2, 1]), (12, [2] * 6), (13, [2] * 6)])
def test_no_more_is_taken_than_asked_for(tmp_path, monkeypatch, n, sizes):
    folder(tmp_path / "cifar10" / "cifar-10-batches-py", PICKLED)
    monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
    assert [len(part.y) for part in cifar10_parts(n).values()] == sizes


X = np.zeros((2, 3072), np.uint8)
BAD_PARTS = {
    "no part": ({"readme": b"x"}, "has no part of CIFAR-10; wanted one of test_batch, data_batch_1"),
    "no pickle": ({"test_batch": b"x"}, "test_batch asks for"),
    "cut": ({"test_batch": pickled(0)[:-50]}, "test_batch "),
    "no labels": ({"test_batch": pickle.dumps({b"data": X}, 2)}, "lacks data [N, 3072] and as many labels"),
    "fewer labels": ({"test_batch": pickle.dumps({b"data": X, b"labels": [1]}, 2)}, "as many labels"),
    "other size": ({"test_batch": pickle.dumps({b"data": X[:, :99], b"labels": [1, 2]}, 2)}, "lacks data"),
    "label 10": ({"test_batch": pickle.dumps({b"data": X, b"labels": [1, 10]}, 2)}, "has the label 10; wanted 0 to 9"),
    "label -1": ({"test_batch": pickle.dumps({b"data": X, b"labels": [-1, 3]}, 2)}, "has the label -1; wanted 0 to 9"),
    "labels are texts": ({"test_batch": pickle.dumps({b"data": X, b"labels": ["1", "2"]}, 2)}, "as many labels"),
}


@pytest.mark.parametrize(("parts", "message"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_of_another_form_are_refused(tmp_path, monkeypatch, refusal, parts, message):
    folder(tmp_path / "cifar10" / "cifar-10-batches-py", parts)
    monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
    assert message in refusal(lambda: cifar10_parts(4))


def test_a_cut_archive_is_refused(tmp_path, monkeypatch, refusal):
    path = tmp_path / "cifar10" / "cifar-10-python.tar.gz"
    packed(path, PICKLED)
    path.write_bytes(path.read_bytes()[:-3000])
    monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
    assert "is not a whole archive" in refusal(lambda: cifar10_parts(4))
    assert "n is 0; wanted 1 image or more" in refusal(lambda: cifar10_parts(0))
