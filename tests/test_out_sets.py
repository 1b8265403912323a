"""Laws of inputs unlike the data: what is made of images, what is brought to their form, and what is left out."""

import importlib

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.ndimage import uniform_filter

from apdlab.data import grey, out_sets, shrunk
from apdlab.types import Data

MODULE = importlib.import_module("apdlab.data.ood")
MADE = ["gaussian", "uniform", "permuted", "inverted", "blurred"]


def images(n=6, side=28, channels=1, seed=0):
    return 2 * torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.parametrize(("old", "new"), [(105, 28), (32, 28), (28, 28), (7, 3), (5, 1)])
def test_a_smaller_image_has_the_means_of_areas(old, new):
    """As when each pixel is first cut into new x new, and old x old of these are then put together."""
    x = images(2, old, 2)
    fine = x.double().numpy().repeat(new, 2).repeat(new, 3)
    wanted = fine.reshape(2, 2, new, old, new, old).mean((3, 5))
    np.testing.assert_allclose(shrunk(x, new), wanted, atol=1e-5)
    np.testing.assert_allclose(shrunk(x, new).mean((2, 3)), x.mean((2, 3)), atol=1e-5)


def test_grey_is_the_luma_and_keeps_what_is_grey():
    x = images(3, 4)
    torch.testing.assert_close(grey(x.expand(-1, 3, -1, -1)), x)
    for colour, weight in enumerate((0.299, 0.587, 0.114)):
        assert grey(torch.eye(3)[colour].view(1, 3, 1, 1)).item() == pytest.approx(weight)


def test_made_sets_are_what_their_names_say():
    x = images(300)
    sets, notes = out_sets(MADE, x, seed=3)
    assert list(sets) == list(notes) == MADE and all(of.shape == x.shape for of in sets.values())
    for name, law in {"gaussian": stats.norm, "uniform": stats.uniform}.items():
        assert stats.kstest(sets[name].flatten()[:20_000].numpy(), law.cdf).pvalue > 1e-3
    assert torch.equal(sets["inverted"], -x)
    assert torch.equal(sets["permuted"].flatten(1).sort(1)[0], x.flatten(1).sort(1)[0])
    order = [int((sets["permuted"].flatten(1)[:, i, None] == x.flatten(1)).all(0).nonzero()) for i in range(0, 784, 50)]
    assert sorted(order) != order
    wanted = uniform_filter(x.numpy(), (1, 1, 3, 3), mode="nearest")
    np.testing.assert_allclose(sets["blurred"], wanted, atol=1e-6)


def test_a_set_depends_on_the_seed_and_not_on_the_others():
    x = images()
    alone, beside = out_sets(["uniform"], x, seed=1)[0], out_sets(MADE, x, seed=1)[0]
    assert torch.equal(alone["uniform"], beside["uniform"])
    assert not torch.equal(alone["uniform"], out_sets(["uniform"], x, seed=2)[0]["uniform"])


@pytest.fixture
def published(monkeypatch):
    """Tiny sets in place of the published ones; Fashion-MNIST is not to be had."""

    def test_images(name):
        if name == "fashion_mnist":
            raise FileNotFoundError("no such file")
        return Data(images(9, seed=1), torch.zeros(9))

    parts = {
        "test_batch": Data(images(2, 32, 3), torch.zeros(2)),
        "data_batch_3": Data(images(3, 32, 3), torch.zeros(3)),
    }
    monkeypatch.setattr(MODULE, "images_test", test_images)
    monkeypatch.setattr(MODULE, "omniglot", lambda: Data(images(11, 105, seed=2).sign(), torch.zeros(11)))
    monkeypatch.setattr(MODULE, "cifar10_parts", lambda n: parts)


def test_published_sets_are_brought_to_the_form_of_the_data(published):
    sets, notes = out_sets(["notmnist", "omniglot", "cifar10"], images(6), seed=0)
    assert {name: tuple(x.shape) for name, x in sets.items()} == {
        "notmnist": (6, 1, 28, 28),
        "omniglot": (6, 1, 28, 28),
        "cifar10": (5, 1, 28, 28),
    }
    assert torch.equal(sets["notmnist"], images(9, seed=1)[:6])
    drawings = shrunk(images(11, 105, seed=2).sign())
    rows = [int((drawings == drawing).flatten(1).all(1).nonzero()) for drawing in sets["omniglot"]]
    assert len(set(rows)) == 6
    assert "the first 2 of test_batch and the first 3 of data_batch_3, grey" in notes["cifar10"]


def test_a_set_that_is_not_to_be_had_is_left_out_and_said(published):
    sets, notes = out_sets(["fashion_mnist", "inverted"], images(), seed=0)
    assert list(sets) == ["inverted"] and notes["fashion_mnist"] == "left out: no such file"


BAD = {
    "unknown": (lambda: out_sets(["svhn"], images(), seed=0), "names has 'svhn'; wanted some of notmnist,"),
    "colour": (lambda: out_sets(MADE, images(channels=3), seed=0), "x has shape (6, 3, 28, 28); wanted grey images"),
    "empty": (lambda: out_sets(MADE, images(0), seed=0), "x has shape (0, 1, 28, 28); wanted grey images"),
    "other size": (lambda: out_sets(["notmnist"], images(side=8), seed=0), "names has 'notmnist', 28 x 28; x is (6, 1"),
    "grey already": (lambda: grey(images()), "x has shape (6, 1, 28, 28); wanted images [N, 3, H, W]"),
    "larger": (lambda: shrunk(images(side=8), 9), "side is 9; wanted [N, K, H, H] with 1 <= side <= H"),
    "oblong": (lambda: shrunk(images()[..., :9], 5), "x has shape (6, 1, 28, 9)"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_wrong_input_is_refused_in_one_line(published, refusal, call, message):
    assert message in refusal(call)
