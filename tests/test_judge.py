"""Laws of the judge: identical predictions are at distance 0, and noise is matched to within its bisection."""

import pytest
import torch

from apdlab.chains import Chains
from apdlab.distill import Coordinates, Distilled, judge, raw
from apdlab.distill.gaussian import Normal
from apdlab.metrics import mutual_information
from apdlab.networks import mlp
from apdlab.predict import predict_moments

NETWORK = mlp(2, 6, 3)  # 39 weights in four tensors
X = torch.randn(20, 2, generator=torch.Generator().manual_seed(9))
RIGHT = torch.tensor([0.3, 0.7])


def rng(seed):
    return torch.Generator().manual_seed(seed)


def posterior():
    """Two chains with two directions each, and as much spread left out as they hold."""
    basis = torch.linalg.qr(torch.randn(2, 39, 2, generator=rng(0)))[0].mT
    mean = torch.randn(2, 1, generator=rng(1)) + torch.randn(2, 39, generator=rng(2))
    coordinates = Coordinates(mean, basis, torch.ones(2, 2), torch.full((2, 4), 0.8))
    return Distilled(NETWORK, coordinates, Normal(torch.ones(2, 2)))


def chains_from(distilled, each, seed):
    theta = distilled.sample(2 * each, generator=rng(seed)).theta.view(each, 2, -1).transpose(0, 1)
    return Chains(NETWORK, theta, torch.arange(each), torch.zeros(2, each))


@pytest.mark.parametrize("halvings", [1, 3, 5])
def test_matched_noise_makes_draws_disagree_as_held_out_ones_do(halvings):
    held_out = chains_from(posterior().with_noise(RIGHT), 100, seed=3)
    found = judge.match_disagreement(posterior(), judge.of_chains(held_out, X), X, seed=0, halvings=halvings)
    wanted, half = judge.disagreement(judge.of_chains(held_out, X, 100)), 2.0 ** -(halvings + 1)

    def disagreement(s):
        return judge.disagreement(judge.of_distilled(posterior().with_noise(s), X, 0))

    assert (disagreement(found.noise - half) < wanted).all() and (wanted <= disagreement(found.noise + half)).all()
    assert (found.noise.remainder(2 * half) == half).all()


def test_matched_noise_is_the_noise_that_was_there():
    held_out = chains_from(posterior().with_noise(RIGHT), 600, seed=3)
    found = judge.match_disagreement(posterior(), judge.of_chains(held_out, X, 600), X, seed=0, n=600)
    assert (found.noise - RIGHT).abs().max() < 0.06


@pytest.mark.parametrize("right", [0.0, 3.0])
def test_noise_that_is_out_of_reach_ends_at_the_border(right):
    held_out = chains_from(posterior().with_noise(torch.full((2,), right)), 100, seed=3)
    if right == 0:
        held_out = Chains(NETWORK, held_out.theta[:, :1].expand(-1, 100, -1), held_out.steps, held_out.log_posterior)
    found = judge.match_disagreement(posterior(), judge.of_chains(held_out, X), X, seed=0, halvings=4).noise
    assert (found == (2**-5 if right == 0 else 1 - 2**-5)).all()


def test_predictions_are_of_each_chain_alone():
    held_out = chains_from(posterior(), 30, seed=3)
    of_chains, drawn = judge.of_chains(held_out, X, 1000), judge.of_distilled(posterior(), X, 0, 50)
    assert [m.draws for m in of_chains] == [30, 30] and [m.draws for m in drawn] == [50, 50]
    for c, m in enumerate(of_chains):
        alone = predict_moments(held_out[c : c + 1].thin(), X)
        assert torch.equal(m.mean, alone.mean)
        assert judge.disagreement(of_chains)[c] == mutual_information(alone).mean()
        assert judge.between(drawn, of_chains)[c] < judge.between(drawn, of_chains[::-1])[c]


def test_identical_predictions_are_at_distance_0():
    held_out = chains_from(posterior(), 30, seed=3)
    a, b = judge.of_chains(held_out, X, 20), judge.of_distilled(posterior(), X, 0, 20)
    assert judge.between(a, a).tolist() == [0, 0] and (judge.between(a, b) > 0).all()
    assert not torch.equal(judge.between(b, a), judge.between(judge.of_distilled(posterior(), X, 1, 20), a))


def test_there_is_no_noise_where_nothing_is_left_out():
    held_out = chains_from(posterior(), 30, seed=3)
    weights = raw(held_out.theta, NETWORK)
    complete = Distilled(NETWORK, weights, Normal(torch.ones(2, 39)))
    found = judge.match_disagreement(complete, judge.of_chains(held_out, X), X, seed=0)
    assert found.noise.tolist() == [0, 0]
