"""Laws of the toy sets: each belongs to its generator and follows the law that it states."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from apdlab.data import cubic, digits, two_clusters, two_moons


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


TOYS = {"two_clusters": two_clusters, "two_moons": two_moons, "cubic": cubic}


@pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS)
def test_a_toy_set_belongs_to_its_generator(toy):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = toy(seeded(0)), toy(seeded(0)), toy(seeded(1))
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y) and not torch.equal(first.x, other.x)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS)
def test_a_toy_set_is_float32(toy, default):
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        made = toy(seeded(), 5)
    finally:
        torch.set_default_dtype(before)
    assert made.x.dtype == torch.float32 and made.y.dtype == (torch.float32 if toy is cubic else torch.int64)
    assert len(made.x) == len(made.y) == (5 if toy is cubic else 10)


@pytest.mark.parametrize("centre, variance", [(2.0, 0.3), (1.0, 2.0)])
def test_two_clusters_have_the_stated_moments(centre, variance):
    n = 20_000
    x, y = two_clusters(seeded(), n, centre=centre, variance=variance)
    assert y.bincount().tolist() == [n, n]
    for label, side in ((0, -1), (1, 1)):
        cluster = x[y == label].double()
        covariance = torch.cov(cluster.T)
        # Standard errors: mean sqrt(v/n), variance v sqrt(2/n), covariance v / sqrt(n).
        assert (cluster.mean(0) - side * centre).abs().max() < 5 * (variance / n) ** 0.5
        assert (covariance.diagonal() - variance).abs().max() < 5 * variance * (2 / n) ** 0.5
        assert covariance[0, 1].abs() < 5 * variance / n**0.5


def test_two_moons_lie_on_half_circles():
    x, y = two_moons(seeded(), 100, noise=0.0)
    upper, lower = x[y == 0], x[y == 1] - torch.tensor([1.0, 0.5])
    assert len(upper) == len(lower) == 100
    torch.testing.assert_close(upper.norm(dim=1), torch.ones(100))
    torch.testing.assert_close(lower.norm(dim=1), torch.ones(100))
    assert upper[:, 1].min() > -1e-6 and lower[:, 1].max() < 1e-6


def test_two_moons_have_the_stated_noise():
    n, noise = 20_000, 0.2
    # The same moons plus noise: the mean squared radius of a moon grows by noise^2 for each coordinate,
    # with a standard error of at most sqrt(4 noise^2 + 4 noise^4) / sqrt(n).
    x, y = two_moons(seeded(), n, noise=noise)
    excess = (x[y == 0] ** 2).sum(1).mean() - 1
    assert abs(excess - 2 * noise**2) < 5 * (4 * noise**2 + 4 * noise**4) ** 0.5 / n**0.5


@pytest.mark.parametrize("noise", [3.0, 0.5])
def test_cubic_has_the_stated_law(noise):
    n = 20_000
    x, y = cubic(seeded(), n, noise=noise)
    residuals = (y - x**3).double()
    assert x.shape == y.shape == (n, 1) and x.abs().max() <= 4 and x.abs().max() > 3.99
    # U(-4, 4) has mean 0, variance 16/3 and fourth moment 256/5.
    assert x.mean().abs() < 5 * (16 / 3 / n) ** 0.5
    assert (x.var() - 16 / 3).abs() < 5 * ((256 / 5 - (16 / 3) ** 2) / n) ** 0.5
    assert residuals.mean().abs() < 5 * noise / n**0.5
    assert (residuals.var() - noise**2).abs() < 5 * noise**2 * (2 / n) ** 0.5


BAD_TOYS = {
    "clusters n": (partial(two_clusters, n=0), "n is 0"),
    "clusters variance": (partial(two_clusters, variance=0.0), "variance is 0.0"),
    "moons n": (partial(two_moons, n=-1), "n is -1"),
    "moons noise": (partial(two_moons, noise=-0.1), "noise is -0.1"),
    "cubic n": (partial(cubic, n=0), "n is 0"),
    "cubic noise": (partial(cubic, noise=float("nan")), "noise is nan"),
}


@pytest.mark.parametrize(("toy", "seen"), BAD_TOYS.values(), ids=BAD_TOYS)
def test_bad_toys_are_refused(refusal, toy, seen):
    message = refusal(lambda: toy(seeded()))
    assert seen in message and "wanted" in message


def test_digits_are_the_published_ones_cut_by_class():
    parts = digits()
    assert [tuple(part.x.shape) for part in parts] == [(n, 1, 8, 8) for n in (1000, 297, 500)]
    x, y = load_digits(return_X_y=True)
    seen = np.concatenate([np.c_[(part.x.flatten(1) + 1) * 8, part.y] for part in parts])
    assert sorted(map(tuple, seen)) == sorted(map(tuple, np.c_[x, y]))
    for part in parts:
        share = np.bincount(y) * len(part.y) / len(y)
        assert np.abs(np.bincount(part.y) - share).max() < 1.5


def test_digits_are_scaled_mixed_and_always_the_same():
    first, again = digits(), digits()
    assert first.train.x.dtype == torch.float32 and first.train.y.dtype == torch.int64
    assert first.train.x.min() == -1 and first.train.x.max() == 1
    assert all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(first, again, strict=True))
    head = torch.as_tensor(load_digits().images[:1000], dtype=torch.float32).sum(0)
    assert not torch.equal(((first.train.x[:, 0] + 1) * 8).sum(0), head)
