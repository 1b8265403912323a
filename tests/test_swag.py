"""Laws of SWAG: the moments of the states that it collects, as the obvious loop has them, and draws that have them."""

from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.posterior import sgd, swag
from apdlab.priors import gaussian_prior
from apdlab.types import Data

NETWORK = mlp(3, 5, 4, activation=torch.nn.Tanh, dtype=torch.float64)  # 44 weights
SMALL = mlp(2, 2, dtype=torch.float64)  # 6 weights
RATES = {"learning_rate": 0.3, "momentum": 0.9}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def problem():
    data = Data(normal(20, 3, seed=2), torch.randint(4, (20,), generator=seeded(1)))
    return LogDensity(NETWORK, categorical(), gaussian_prior(NETWORK, 1.0), 20), batches(data, 4, seed=0)


def fitted(steps=60, every=3, rank=5, start=None):
    log_posterior, draw = problem()
    start = normal(NETWORK.size) if start is None else start
    return swag.fit(log_posterior, start, draw, steps=steps, every=every, rank=rank, **RATES)


def walked(steps):
    """All states of descent at a constant rate, ``[steps, D]``: its formula has a test of its own."""
    (log_posterior, draw), still = problem(), partial(ConstantLR, factor=1.0)
    path = sgd.descend(log_posterior, normal(1, NETWORK.size), draw, n=20, steps=steps, decay=still, **RATES)
    return torch.cat([theta.clone() for theta in path])


def test_the_rate_stays():
    """A bowl, without momentum: ``theta_t = (1 - eta)^t theta_0``."""
    bowl, still = (lambda theta, batch: -theta.square().sum(-1) / 2), partial(ConstantLR, factor=1.0)
    start, rate = normal(1, 3), 0.1
    path = sgd.descend(
        bowl, start, lambda t: None, n=1, steps=9, learning_rate=rate, momentum=0, decay=still
    )  # fmt: skip
    for t, theta in enumerate(path, 1):
        torch.testing.assert_close(theta, (1 - rate) ** t * start, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("steps", "every", "rank"), [(60, 3, 5), (62, 3, 20), (7, 1, 2), (40, 20, 2)], ids="{}".format)
def test_what_is_collected_is_what_the_obvious_loop_collects(steps, every, rank):
    posterior, cost = fitted(steps, every, rank)
    kept = walked(steps)[every - 1 :: every]
    deviations = torch.stack([kept[t] - kept[: t + 1].mean(0) for t in range(len(kept))])[-rank:]
    torch.testing.assert_close(posterior.mean, kept.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(posterior.variance, kept.var(0, correction=0), rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(posterior.deviations, deviations, rtol=1e-11, atol=1e-13)
    assert cost.gradient_evaluations == steps and cost.seconds > 0


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_a_small_spread_far_from_0_is_not_cancelled(offset):
    """The mean of squares less the square of the mean would have no correct digit left."""
    states = (offset + normal(200, 6)).to(torch.float32)
    mean, variance, _ = swag._collect(iter(states), 5)
    torch.testing.assert_close(
        variance.double(), states.double().var(0, correction=0), rtol=1e-4 + 1e-7 * offset, atol=0
    )
    torch.testing.assert_close(mean.double(), states.double().mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3, 20])
def test_draws_have_the_stated_mean_and_covariance(k):
    """``diag(variance) / 2 + A^T A / (2 (K - 1))``; a moment of ``n`` draws is off by five standard errors at most."""
    variance, deviations, n = torch.linspace(0.1, 4, 6).double(), normal(k, 6), 200_000
    posterior = swag.Swag(SMALL, 10 * normal(6, seed=1), variance, deviations)
    theta = posterior.sample(n, generator=seeded(3)).theta - posterior.mean
    wanted = torch.diag(variance) / 2 + deviations.T @ deviations / (2 * (k - 1))
    spread = wanted.diag()
    assert (theta.mean(0).abs() < 5 * (spread / n).sqrt()).all()
    error = ((spread[:, None] * spread + wanted.square()) / n).sqrt()
    assert ((theta.T @ theta / n - wanted).abs() < 5 * error).all()
    assert (theta.pow(4).mean(0) / spread.square() - 3).abs().max() < 5 * (96 / n) ** 0.5


def test_it_weighs_its_moments_and_keeps_their_dtype():
    posterior = swag.Swag(mlp(2, 2), torch.zeros(6), torch.ones(6), torch.ones(4, 6))
    assert posterior.nbytes == 4 * 6 * (2 + 4)
    assert posterior.sample(3, generator=seeded()).theta.dtype == torch.float32


def made(mean=6, variance=6, deviations=(3, 6)):
    return swag.Swag(SMALL, torch.zeros(mean), torch.zeros(variance), torch.zeros(deviations))


REFUSED = {
    "rank of 1": ("rank is 1, every 3; wanted a rank of 2", lambda: fitted(rank=1)),
    "every of 0": ("every 0", lambda: fitted(every=0)),
    "too few steps": ("steps is 14, every 3: 4 states; wanted at least rank = 5 of them: take 15 steps",
                      lambda: fitted(steps=14)),
    "a stack of starts": ("start has shape (1, 44); wanted [D]", lambda: fitted(start=normal(1, 44))),
    "no draws": ("n is 0; wanted 1", lambda: made().sample(0, generator=seeded())),
    "mean too short": ("mean has shape (5,); wanted (6,)", lambda: made(mean=5)),
    "variance too long": ("variance has shape (7,); wanted (6,)", lambda: made(variance=7)),
    "one deviation": ("deviations has shape (1, 6); wanted [K, 6], K 2", lambda: made(deviations=(1, 6))),
    "deviations of another network": ("deviations has shape (3, 5)", lambda: made(deviations=(3, 5))),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_swag_is_refused(said, call, refusal):
    assert said in refusal(call)
