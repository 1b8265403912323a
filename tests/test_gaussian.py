"""Laws of the low-rank Gaussian: it has the mean and the variances of the draws, and no other shape."""

import pytest
import torch

from apdlab.chains import Chains
from apdlab.distill import gaussian, judge, pca
from apdlab.networks import mlp

NETWORK = mlp(2, 4, 3)  # 27 weights
X = torch.randn(15, 2, generator=torch.Generator().manual_seed(9))


def chains(draws=100):
    generator = torch.Generator().manual_seed(0)
    scale = 0.85 ** torch.arange(27)
    theta = torch.randn(2, draws, 27, generator=generator) * scale + torch.randn(2, 1, 27, generator=generator)
    return Chains(NETWORK, theta, torch.arange(draws), torch.zeros(2, draws))


@pytest.mark.parametrize("whitening", [0, 0.5, 1])
def test_codes_have_mean_0_and_the_variances_of_the_draws(whitening):
    train, held_out = chains().split(0.7)
    coordinates = pca(train.theta, NETWORK, 4, whitening)
    posterior, _ = gaussian.fit(train, held_out, coordinates, X, seed=0)
    n = 20000
    z = posterior.codes.sample(n, torch.Generator().manual_seed(0)) / coordinates.encode(train.theta).std(1)[:, None]
    assert z.mean(1).abs().max() < 5 / n**0.5
    assert (z.mT @ z / n - torch.eye(4)).abs().max() < 5 * (2 / n) ** 0.5
    assert (z.pow(4).mean(1) - 3).abs().max() < 5 * (96 / n) ** 0.5  # the kurtosis of a normal variable


def test_draws_have_the_mean_and_covariance_of_the_draws_in_their_directions():
    train, held_out = chains().split(0.7)
    coordinates = pca(train.theta, NETWORK, 4)
    posterior, _ = gaussian.fit(train, held_out, coordinates, X, seed=0)
    n = 20000
    theta = posterior.with_noise(torch.zeros(2)).sample(2 * n, generator=torch.Generator().manual_seed(0)).theta
    for c in range(2):
        wanted = torch.cov((train.theta[c] @ coordinates.basis[c].T).T)
        got = torch.cov((theta[c::2] @ coordinates.basis[c].T).T)
        assert (got - wanted).abs().max() < 6 * wanted.max() * (2 / n) ** 0.5
        assert (theta[c::2].mean(0) - train.theta[c].mean(0)).abs().max() < 6 * (wanted.max() / n) ** 0.5


def test_noise_is_matched_on_what_was_held_out():
    train, held_out = chains().split(0.7)
    posterior, cost = gaussian.fit(train, held_out, pca(train.theta, NETWORK, 4), X, seed=5)
    predicted = judge.of_chains(held_out, X, 100)
    assert torch.equal(posterior.noise, judge.match_disagreement(posterior, predicted, X, seed=5).noise)
    assert cost.gradient_evaluations == 0 and cost.seconds > 0
    assert posterior.nbytes == posterior.coordinates.nbytes + 4 * 2 * 4 + 4 * 2
