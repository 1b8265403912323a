"""Laws of augmentation: each image is one of its changed versions, a batch depends on seed, chain and step alone."""

import pytest
import torch
from torch.nn.functional import pad

from apdlab.data import augmented, batches, flips, shifts
from apdlab.types import Data

X = torch.randn(40, 2, 4, 5, generator=torch.Generator().manual_seed(0))
DATA = Data(X, torch.arange(40) % 3)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(image, most):
    """All crops of the image padded by its edge."""
    wide = pad(image[None], (most,) * 4, mode="replicate")[0]
    size = range(2 * most + 1)
    return [wide[:, i : i + image.shape[1], j : j + image.shape[2]] for i in size for j in size]


@pytest.mark.parametrize("most", [1, 2])
def test_a_shifted_image_is_a_window_of_the_image_and_all_windows_come(most):
    seen = set()
    for seed in range(20):
        for image, shifted in zip(X, shifts(most)(X, rng(seed)), strict=True):
            (which,) = [i for i, window in enumerate(windows(image, most)) if window.equal(shifted)]
            seen.add(which)
    assert seen == set(range((2 * most + 1) ** 2))


def test_half_of_the_images_are_mirrored():
    changed = torch.cat([flips(X, rng(seed)) for seed in range(20)])
    mirrored = [bool(c.equal(x.flip(-1))) for c, x in zip(changed, X.repeat(20, 1, 1, 1), strict=True)]
    same = [bool(c.equal(x)) for c, x in zip(changed, X.repeat(20, 1, 1, 1), strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert abs(sum(mirrored) - 400) < 5 * 200**0.5  # of Binomial(800, 1/2)


def test_a_chain_is_changed_alike_in_any_company_and_otherwise_in_another_step():
    few, many = (augmented(batches(DATA, 8, seed=0, chains=c), shifts(1), seed=3) for c in (2, 5))
    assert few(6).x.equal(many(6).x[:2])
    assert few(6).y.equal(many(6).y[:2])
    alike = augmented(batches(Data(X[:1].expand(8, -1, -1, -1), DATA.y[:8]), 8, seed=0, chains=2), shifts(1), seed=3)(0)
    assert not alike.x[0].equal(alike.x[1])
    whole = augmented(batches(DATA, None, seed=0), shifts(1), seed=3)
    assert whole(0).y.equal(DATA.y[None]) and not whole(0).x.equal(whole(1).x)
    assert not whole(0).x.equal(augmented(batches(DATA, None, seed=0), shifts(1), seed=4)(0).x)


@pytest.mark.parametrize("most", [0, -1, 1.5])
def test_no_shift_is_refused(most):
    with pytest.raises(ValueError, match=r"most is .*; wanted a whole number of pixels"):
        shifts(most)


@pytest.mark.parametrize("change", [flips, shifts(1)])
def test_what_are_no_images_is_refused(change):
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\); wanted images"):
        change(torch.zeros(3, 5), rng())
