"""One table of laws for all that gives draws of weights: stored, in a plane, a point, distilled."""

from functools import cache

import pytest
import torch

from apdlab.chains import Chains
from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.distill import flow, gan, gaussian, mixture, pca, raw, standardised
from apdlab.draws import Draws
from apdlab.likelihoods import categorical
from apdlab.metrics import mutual_information
from apdlab.networks import mlp
from apdlab.posterior import dropout, mean_of_weights, point, sgd, swag
from apdlab.predict import predict, predict_moments
from apdlab.priors import gaussian_prior
from apdlab.types import Data

NETWORK = mlp(2, 4, 3)  # 27 weights
WIDE = dropout.mlp(2, 30, 3)  # 183 weights, of more masks than are drawn
X = torch.randn(15, 2, generator=torch.Generator().manual_seed(9))
TOY = gan.Recipe(hidden=(8,), batch=10, checkpoints=2)
PAPER = gan.PAPER._replace(hidden=(8, 8, 8), batch=10)
FLOW = flow.Recipe(hidden=4, blocks=1, batch=10, moves=5)


@cache
def blocks():
    theta = torch.randn(2, 60, 27, generator=torch.Generator().manual_seed(0))
    train, held_out = Chains(NETWORK, theta, torch.arange(60), torch.zeros(2, 60)).split(0.7)
    return train, held_out, pca(train.theta, NETWORK, 4)


def weights(coordinates):
    train, held_out, _ = blocks()
    return train, held_out, coordinates(train.theta, NETWORK)


def in_a_plane():
    train, _, coordinates = blocks()
    return Draws(NETWORK, coordinates.encode(train.theta)[0], coordinates.basis[0], coordinates.mean[0])


def descended(fit, start, network=NETWORK, **settings):
    """The posterior of a fit by descent; ``start [C, D]`` or ``[D]``."""
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), len(X))
    draw = batches(Data(X, torch.arange(15) % 3), 5, seed=0, chains=len(torch.atleast_2d(start)))
    return fit(log_posterior, start, draw, learning_rate=0.1, **settings)[0]


# The posterior, how many bytes it holds at least, and whether its draws differ.
POSTERIORS = {
    "stored draws": (lambda: blocks()[0].thin(), 4 * 84 * 27, True),
    "draws in a plane": (in_a_plane, 4 * (42 * 4 + 5 * 27), True),
    "a point": (lambda: point(NETWORK, blocks()[0].theta[0, 0]), 4 * 27, False),
    "the mean of weights": (lambda: mean_of_weights(blocks()[0].thin()), 4 * 27, False),
    "a point found by descent": (lambda: descended(sgd.fit, blocks()[0].theta[0, :1], steps=3), 4 * 27, False),
    "a deep ensemble": (lambda: descended(sgd.fit, blocks()[0].theta[0, :41], steps=3), 4 * 41 * 27, True),
    "dropout": (lambda: descended(dropout.fit, WIDE.init(torch.Generator().manual_seed(0)), WIDE, steps=3, seed=0),
                4 * 183, True),
    "SWAG": (lambda: descended(swag.fit, blocks()[0].theta[0, 0], steps=9, every=3, rank=3), 4 * 5 * 27, True),
    "a Gaussian": (lambda: gaussian.fit(*blocks(), X, seed=0)[0], 4 * 2 * 5 * 27, True),
    "one chain's Gaussian": (lambda: gaussian.fit(*blocks(), X, seed=0)[0][:1], 4 * 5 * 27, True),
    "a Gaussian without noise": (lambda: gaussian.fit(*blocks(), X, seed=0)[0].with_noise(torch.zeros(2)),
                                 4 * 2 * 5 * 27, True),
    "a generator": (lambda: gan.fit(*blocks(), X, steps=4, seed=0, recipe=TOY)[0], 4 * 2 * 5 * 27, True),
    "a mixture": (lambda: mixture.fit(*blocks(), X, seed=0, components=3)[0], 4 * 2 * 5 * 27, True),
    "a flow": (lambda: flow.fit(*blocks(), X, steps=4, seed=0, recipe=FLOW)[0], 4 * 2 * 5 * 27, True),
    "a generator of weights": (lambda: gan.fit(*weights(raw), X, steps=2, seed=0, recipe=PAPER)[0], 4 * 2 * 9 * 27,
                               True),
    "a generator of scaled weights": (lambda: gan.fit(*weights(standardised), X, steps=2, seed=0, recipe=PAPER)[0],
                                      4 * 2 * 11 * 27, True),
}  # fmt: skip
MADE = cache(lambda name: POSTERIORS[name][0]())
EVERY = pytest.mark.parametrize("name", POSTERIORS)


def sample(name, n, seed=0):
    return MADE(name).sample(n, generator=torch.Generator().manual_seed(seed))


def sizes(name):
    return (1, 2, 7, 40) if POSTERIORS[name][2] else (1,)


@EVERY
def test_as_many_finite_draws_as_asked_for_of_the_width_of_the_network(name):
    for n in sizes(name):
        draws = sample(name, n)
        assert isinstance(draws, Draws) and draws.network is MADE(name).network in (NETWORK, WIDE)
        assert len(draws) == n and draws.theta.shape == (n, draws.network.size) and draws.theta.isfinite().all()


@EVERY
def test_draws_depend_on_their_generator_and_on_nothing_else(name):
    torch.manual_seed(0)
    first = sample(name, sizes(name)[-1]).theta
    torch.manual_seed(1)
    assert torch.equal(first, sample(name, sizes(name)[-1]).theta)
    assert torch.equal(first, sample(name, sizes(name)[-1], seed=1).theta) != POSTERIORS[name][2]


@EVERY
def test_a_generator_moves_on(name):
    generator = torch.Generator().manual_seed(0)
    one, two = (MADE(name).sample(sizes(name)[-1], generator=generator).theta for _ in range(2))
    assert torch.equal(one, two) != POSTERIORS[name][2]


@EVERY
def test_no_two_draws_are_one(name):
    draws = sample(name, sizes(name)[-1])
    assert len(draws.theta.unique(dim=0)) == len(draws)


@EVERY
def test_what_it_weighs_counts_what_it_holds(name):
    held = POSTERIORS[name][1]
    assert held <= MADE(name).nbytes < held + 4000


@EVERY
def test_no_draws_are_refused(name, refusal):
    assert "n is 0; wanted 1" in refusal(lambda: sample(name, 0))


@EVERY
def test_predictions_are_log_probabilities(name):
    draws = sample(name, sizes(name)[-1])
    log_probs = predict(draws, X)
    assert log_probs.shape == (len(draws), len(X), 3) and (log_probs <= 0).all()
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(len(draws), len(X)))


@EVERY
def test_only_a_point_does_not_disagree_with_itself(name):
    information = mutual_information(predict_moments(sample(name, sizes(name)[-1]), X))
    assert (information > 0).all() if POSTERIORS[name][2] else (information == 0).all()
