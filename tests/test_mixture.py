"""Laws of the mixture: it finds the heaps that are there, samples what it says, and matches the noise."""

import pytest
import torch

from apdlab.chains import Chains
from apdlab.distill import judge, mixture, pca, raw
from apdlab.networks import mlp

NETWORK = mlp(1, 2)  # 4 weights
X = torch.linspace(-2, 2, 9)[:, None]
CENTRES = torch.tensor([[[-3.0, 0, 0, 0], [0, 3, 0, 0]], [[5.0, 5, 0, 0], [0, 0, 4, 0]]])


def chains(draws=2000):
    """Two chains with two heaps each, one of them of a quarter of the draws."""
    generator = torch.Generator().manual_seed(0)
    heap = (torch.rand(2, draws, generator=generator) < 0.25).long()
    theta = CENTRES[torch.arange(2)[:, None], heap] + 0.3 * torch.randn(2, draws, 4, generator=generator)
    return Chains(NETWORK, theta, torch.arange(draws), torch.zeros(2, draws))


def test_heaps_are_found_with_their_share_place_and_width():
    train, held_out = chains().split(0.8)
    posterior, cost = mixture.fit(train, held_out, raw(train.theta, NETWORK), X, seed=0, components=2)
    codes, n = posterior.codes, train.theta.shape[1]
    order = codes.weights.argsort(descending=True)
    assert (codes.weights.gather(1, order)[:, 1] - 0.25).abs().max() < 5 * (0.19 / n) ** 0.5
    means = codes.means.gather(1, order[..., None].expand(-1, -1, 4))
    assert (means - CENTRES).abs().max() < 5 * 0.3 / (0.25 * n) ** 0.5
    assert (codes.sd - 0.3).abs().max() < 5 * 0.3 / (8 * 0.25 * n) ** 0.5
    assert cost.gradient_evaluations == 0 and cost.seconds > 0


def test_samples_have_the_moments_of_the_mixture():
    weights, n = torch.tensor([[0.25, 0.75]]), 40000
    codes = mixture.Mixture(weights, CENTRES[:1], torch.tensor([[0.5, 2.0]]))
    y = codes.sample(n, torch.Generator().manual_seed(0))[0].double()
    mean = (weights[0, :, None] * CENTRES[0]).sum(0)
    square = (weights[0, :, None] * (CENTRES[0] ** 2 + torch.tensor([0.25, 4.0])[:, None])).sum(0)
    assert ((y.mean(0) - mean).abs() < 5 * (square / n) ** 0.5).all()
    assert (y.square().mean(0) / square - 1).abs().max() < 5 * (3 / n) ** 0.5


def test_noise_is_matched_and_all_is_weighed():
    train, held_out = chains().split(0.8)
    posterior, _ = mixture.fit(train, held_out, pca(train.theta, NETWORK, 2), X, seed=3, components=4)
    predicted = judge.of_chains(held_out, X, 100)
    assert torch.equal(posterior.noise, judge.match_disagreement(posterior, predicted, X, seed=3).noise)
    assert posterior.nbytes == posterior.coordinates.nbytes + 4 * 2 * 4 * (1 + 2 + 1) + 4 * 2
    assert posterior[:1].nbytes * 2 == posterior.nbytes


@pytest.mark.parametrize("components", [0, 1601])
def test_more_heaps_than_draws_are_refused(components, refusal):
    train, held_out = chains().split(0.8)
    weights = raw(train.theta, NETWORK)
    assert f"components is {components}; wanted 1 to 1600" in refusal(
        lambda: mixture.fit(train, held_out, weights, X, seed=0, components=components)
    )
