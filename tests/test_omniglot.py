"""Laws of Omniglot: strokes are white on black, in the order of alphabets, and only of the published archives."""

import hashlib
import importlib
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from apdlab.data import omniglot

FILES = importlib.import_module("apdlab.data.images")
NAME = "images_background_small1"
DRAWINGS = {
    f"{NAME}/{alphabet}/character0{c}/000{c}_0{drawer}.png": np.random.default_rng(97 * c + drawer).random((105, 105))
    > 0.1
    for alphabet in ("Greek", "Balinese")
    for c in (1, 2)
    for drawer in (1, 2, 3)
}


def png(paper):
    buffer = io.BytesIO()
    Image.fromarray(paper).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    def write(files):
        path = tmp_path / "omniglot_small" / f"{NAME}.zip"
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(f"{NAME}/", b"")
            for name, content in files.items():
                made.writestr(name, content)
        monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
        sums = FILES.MD5["omniglot_small"] | {f"{NAME}.zip": hashlib.md5(path.read_bytes()).hexdigest()}
        monkeypatch.setitem(FILES.MD5, "omniglot_small", sums)
        return path

    return write


def test_strokes_are_white_on_black_and_characters_are_counted(archive):
    archive({name: png(paper) for name, paper in DRAWINGS.items()})
    x, y = omniglot()
    ordered = sorted(DRAWINGS)
    assert ordered[0].startswith(f"{NAME}/Balinese") and y.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    for drawing, name in zip(x, ordered, strict=True):
        np.testing.assert_array_equal(drawing[0], np.where(DRAWINGS[name], -1, 1))


@pytest.mark.parametrize(
    ("picture", "message"),
    [(np.ones((28, 28), bool), "(28, 28) of mode 1"), (np.ones((105, 105), np.uint8), "of mode L; wanted 105 x 105")],
    ids=["size", "grey"],
)
def test_pictures_of_another_form_are_refused(archive, refusal, picture, message):
    archive({f"{NAME}/a/b/c.png": png(picture)})
    assert message in refusal(omniglot)


def test_other_archives_are_refused(archive, refusal):
    path = archive({name: png(paper) for name, paper in DRAWINGS.items()})
    path.write_bytes(path.read_bytes() + b"\0")
    assert "the published file" in refusal(omniglot)
    assert "wanted one of images_background_small1, images_background_small2, images_background, images_evaluation" in (
        refusal(lambda: omniglot("greek"))
    )


@pytest.mark.skipif("APDLAB_DATA" not in os.environ, reason="APDLAB_DATA names no folder of data")
@pytest.mark.parametrize(("name", "drawings", "characters"), [(NAME, 2720, 136), (f"{NAME[:-1]}2", 3120, 156)])
def test_the_small_archives_hold_what_was_published(name, drawings, characters):
    x, y = omniglot(name)
    assert x.shape == (drawings, 1, 105, 105) and x.unique().tolist() == [-1, 1]
    assert y.bincount().tolist() == [20] * characters
    assert -1 < x.mean() < -0.8  # thin strokes on black
