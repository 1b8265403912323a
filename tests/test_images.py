"""Laws of the image sets: which files make one, and where these come from."""

import gzip
import hashlib
import importlib
import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from idx_files import idx

from apdlab.data import images, images_test

SETS = importlib.import_module("apdlab.data.images")  # the package's name `images` is the function
RNG = np.random.default_rng(0)
N, N_TEST = 30, 5
PIXELS = {"train": RNG.integers(0, 256, (N, 28, 28)), "t10k": RNG.integers(0, 256, (N_TEST, 28, 28))}
CLASSES = {"train": RNG.integers(0, 10, N), "t10k": RNG.integers(0, 10, N_TEST)}
FILES = {
    f"{part}-{kind}-ubyte.gz": gzip.compress(idx(values[part]), mtime=0)
    for part in PIXELS
    for kind, values in (("images-idx3", PIXELS), ("labels-idx1", CLASSES))
}


def sums(files):
    return {"mnist": {name: hashlib.md5(content).hexdigest() for name, content in files.items()}}


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put files into the folder that APDLAB_DATA names, as the published ones of a tiny MNIST."""

    def put(files):
        folder = tmp_path / "mnist"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        monkeypatch.setenv("APDLAB_DATA", str(tmp_path))
        monkeypatch.setattr(SETS, "MD5", sums(FILES | files))
        monkeypatch.setattr(SETS, "MIRRORS", {"mnist": ("http://127.0.0.1:1/",)})
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
        return folder

    return put


def check_tiny(made):
    x = np.concatenate([part.x for part in made])
    assert [tuple(part.x.shape) for part in made] == [(n, 1, 28, 28) for n in (25, 5, N_TEST)]
    assert made.train.x.dtype == torch.float32 and made.train.y.dtype == torch.int64
    np.testing.assert_allclose(x[:, 0], np.concatenate(list(PIXELS.values())) / 127.5 - 1, atol=1e-6)
    assert torch.cat([part.y for part in made]).tolist() == np.concatenate(list(CLASSES.values())).tolist()


@pytest.mark.parametrize("packed", ["all", "none", "some"])
def test_a_set_is_its_files_in_order(put, packed):
    keep = {"all": lambda name: True, "none": lambda name: False, "some": lambda name: "labels" in name}[packed]
    put({n if keep(n) else n.removesuffix(".gz"): c if keep(n) else gzip.decompress(c) for n, c in FILES.items()})
    check_tiny(images("mnist"))


def test_test_images_need_no_training_files(put):
    put({name: content for name, content in FILES.items() if name.startswith("t10k")})
    x, y = images_test("mnist")
    np.testing.assert_allclose(x[:, 0], PIXELS["t10k"] / 127.5 - 1, atol=1e-6)
    assert y.tolist() == CLASSES["t10k"].tolist()


BAD_PAIRS = {
    "image size": ("images-idx3", np.ones((N_TEST, 28, 27)), "shape [5, 28, 27]; wanted images [N, 28, 28]"),
    "image rank": ("images-idx3", np.ones((N_TEST, 784)), "shape [5, 784]; wanted images"),
    "images as labels": ("labels-idx1", np.ones((N_TEST, 28, 28)), "shape [5, 28, 28], at most 1; wanted labels [N]"),
    "label range": ("labels-idx1", np.array([0, 1, 10, 2, 3]), "at most 10; wanted labels [N] of 0 to 9"),
    "pairs": ("labels-idx1", CLASSES["train"], "5 images and t10k-labels-idx1-ubyte.gz 30 labels"),
    "no labels": ("labels-idx1", np.ones(0), "is empty"),
    "no images": ("images-idx3", np.ones((0, 28, 28)), "is empty"),
}


@pytest.mark.parametrize(("kind", "values", "seen"), BAD_PAIRS.values(), ids=BAD_PAIRS)
def test_bad_pairs_of_files_are_refused(refusal, put, kind, values, seen):
    folder = put(FILES | {f"t10k-{kind}-ubyte.gz": gzip.compress(idx(values))})
    message = refusal(lambda: images("mnist"))
    assert seen in message and str(folder / "t10k-") in message


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_a_changed_file_is_refused(refusal, put, name):
    folder, changed = put(FILES), FILES[name][:-1]
    (folder / name).write_bytes(changed)
    message = refusal(lambda: images("mnist"))
    for part in (str(folder / name), hashlib.md5(changed).hexdigest(), SETS.MD5["mnist"][name], "take a fresh copy"):
        assert part in message


def test_an_unpacked_file_of_unknown_sum_is_refused(refusal, put):
    folder = put(FILES)
    (folder / "t10k-images-idx3-ubyte.gz").rename(folder / "t10k-images-idx3-ubyte")
    message = refusal(lambda: images_test("mnist"))
    assert "cannot be checked" in message and "t10k-images-idx3-ubyte.gz" in message


def test_a_folder_that_is_none_is_refused(refusal, tmp_path, monkeypatch):
    monkeypatch.setenv("APDLAB_DATA", str(tmp_path / "misspelt"))
    message = refusal(lambda: images("mnist"))
    assert "misspelt" in message and "APDLAB_DATA" in message and "mnist/train-images-idx3-ubyte.gz" in message


BAD_NAMES = {
    "unknown": (images, "cifar", "wanted one of mnist, fashion_mnist, kmnist"),
    "unknown test": (images_test, "MNIST", "wanted one of mnist, fashion_mnist, kmnist, notmnist"),
    "test part only": (images, "notmnist", "use images_test"),
}


@pytest.mark.parametrize(("load", "name", "wanted"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_unknown_sets_are_refused(refusal, load, name, wanted):
    message = refusal(lambda: load(name))
    assert repr(name) in message and wanted in message


@pytest.mark.parametrize("name", sorted(SETS.MD5.keys() - {"cifar10", "omniglot", "omniglot_small"}))
def test_the_tables_of_sources_are_whole(name):
    files, mirrors = SETS.MD5[name], SETS.MIRRORS[name]
    parts = ["t10k"] if name == "notmnist" else ["train", "t10k"]
    packed = {f"{p}-{kind}-ubyte.gz" for p in parts for kind in ("images-idx3", "labels-idx1")}
    assert packed <= set(files) <= packed | {file.removesuffix(".gz") for file in packed}
    assert all(len(md5) == 32 and int(md5, 16) for md5 in files.values())
    assert len(set(files.values())) == len(files)
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in mirrors)


# Downloads, from a server on this machine ----------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Serves FILES under /good/, and fails in a way that the path names."""

    def do_GET(self):
        _, kind, name = self.path.split("/")
        self.server.asked.append(self.path)
        body = {"garbage": b"<html>sign in</html>", "truncated": FILES[name][:-9]}.get(kind, FILES[name])
        self.send_response(404 if kind == "missing" else 200)
        self.send_header("Content-Length", str(len(FILES[name] if kind == "truncated" else body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server, an empty cache and no APDLAB_DATA; `web(kinds)` makes these the mirrors."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("APDLAB_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    monkeypatch.setattr(SETS, "MD5", sums(FILES))

    def mirrors(*kinds):
        ports = {"refused": 1}
        urls = [f"http://127.0.0.1:{ports.get(kind, server.server_port)}/{kind}/" for kind in kinds]
        monkeypatch.setattr(SETS, "MIRRORS", {"mnist": tuple(urls)})
        return server.asked

    yield mirrors
    server.shutdown()
    thread.join()
    server.server_close()


def leftovers(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


FAILURES = {"missing": "status 404", "garbage": "wrong md5", "truncated": "Error", "refused": "ConnectionError"}


@pytest.mark.parametrize("kinds", [("good",), *((bad, "good") for bad in FAILURES)], ids="-".join)
def test_the_first_good_mirror_is_kept(web, tmp_path, kinds):
    asked = web(*kinds)
    check_tiny(images("mnist"))
    assert leftovers(tmp_path) == sorted(FILES)
    assert sum(path.startswith("/good/") for path in asked) == 4
    before = len(asked)
    check_tiny(images("mnist"))
    assert len(asked) == before


def test_downloads_print_nothing_but_warnings(web, monkeypatch):
    logger = logging.Logger("of its own")
    monkeypatch.setattr(pooch, "get_logger", lambda: logger)
    web("good")
    images_test("mnist")
    assert logger.level == logging.WARNING


@pytest.mark.parametrize("kind", FAILURES)
def test_failed_downloads_leave_one_line_and_no_file(refusal, web, tmp_path, kind):
    web("missing", kind)
    message = refusal(lambda: images("mnist"), FileNotFoundError)
    for part in ("mnist/train-images-idx3-ubyte.gz", "status 404", f"/{kind}/: ", FAILURES[kind], "APDLAB_DATA"):
        assert part in message
    assert leftovers(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(web, tmp_path):
    asked = web("good")
    images_test("mnist")
    (tmp_path / "apdlab" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    made = images_test("mnist")
    assert len(asked) == 3 and made.y.tolist() == CLASSES["t10k"].tolist()


def test_a_cache_that_cannot_be_written_is_named(refusal, web, tmp_path):
    web("good")
    (tmp_path / "apdlab").write_text("a file where the folder should be")
    message = refusal(lambda: images("mnist"), FileNotFoundError)
    assert str(tmp_path / "apdlab") in message and "APDLAB_DATA" in message


def test_what_the_folder_lacks_is_downloaded(web, tmp_path, monkeypatch):
    asked = web("good")
    own = tmp_path / "own" / "mnist"
    own.mkdir(parents=True)
    for name in FILES:
        if name.startswith("train"):
            (own / name).write_bytes(FILES[name])
    monkeypatch.setenv("APDLAB_DATA", str(own.parent))
    check_tiny(images("mnist"))
    assert sorted(asked) == ["/good/t10k-images-idx3-ubyte.gz", "/good/t10k-labels-idx1-ubyte.gz"]


# The published files -------------------------------------------------------------------------------------------------

needs_files = pytest.mark.skipif(not os.environ.get("APDLAB_DATA"), reason="APDLAB_DATA names no folder of data")
# Mean and standard deviation of the 60,000 training images in [0, 1], as widely quoted.
QUOTED = {"mnist": (0.1307, 0.3081), "fashion_mnist": (0.2860, 0.3530)}


@needs_files
@pytest.mark.parametrize("name", QUOTED)
def test_published_sets_have_the_quoted_moments(name):
    parts = images(name)
    assert [len(part.y) for part in parts] == [50_000, 10_000, 10_000]
    assert all(part.x.min() == -1 and part.x.max() == 1 and part.y.unique().tolist() == [*range(10)] for part in parts)
    pixels = (torch.cat([parts.train.x, parts.valid.x]) + 1) / 2
    assert (pixels.mean().item(), pixels.std().item()) == pytest.approx(QUOTED[name], abs=1e-4)
    assert torch.equal(images_test(name).y, parts.test.y)


@needs_files
def test_published_notmnist_has_a_thousand_letters_a_class():
    x, y = images_test("notmnist")
    assert x.shape == (10_000, 1, 28, 28) and y.bincount().tolist() == [1000] * 10
