"""Laws of adversarial distillation: gradients against autograd, moments that are exact, shapes no Gaussian has."""

import math

import pytest
import torch

from apdlab.chains import Chains
from apdlab.distill import gan, gaussian, judge, pca, raw
from apdlab.networks import mlp
from apdlab.streams import stream

NETWORK = mlp(1, 2)  # 4 weights
X = torch.linspace(-2, 2, 9)[:, None]
TINY = gan.Recipe(hidden=(16, 16), batch=20, checkpoints=3)
SHAPED = gan.Recipe(
    latent=gan.curve(6, 2), hidden=(32, 32, 32), penalty=1.0, learning_rate=2e-3, average=0.98, checkpoints=1
)


def toys(draws, seed, blur=0.0):
    """Two chains of weights in a plane of their space: one goes round a ring, one has two clusters."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(draws, generator=generator)
    side = torch.randint(2, (draws,), generator=generator) * 4 - 2.0
    centres = torch.stack([torch.stack([2 * angle.cos(), angle.sin()], -1), torch.stack([side, 0 * side], -1)])
    codes = centres + 0.15 * torch.randn(2, draws, 2, generator=generator)
    plane = torch.linalg.qr(torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(7)))[0].mT
    theta = codes @ plane + 0.3 + blur * torch.randn(2, draws, 4, generator=generator)
    return Chains(NETWORK, theta, torch.arange(draws), torch.zeros(2, draws))


def fitted(steps, seed, recipe=TINY, blur=0.0):
    train, held_out = toys(600, 0, blur).split(0.8)
    coordinates = pca(train.theta, NETWORK, 2)
    return train, held_out, gan.fit(train, held_out, coordinates, X, steps=steps, seed=seed, recipe=recipe)


def energy_distance(a, b):
    """``2 E|a - b| - E|a - a'| - E|b - b'|``, pair by pair: 0 only for equal distributions (Szekely, 2002)."""

    def mean_gap(p, q):
        return sum((p - row).norm(dim=-1).sum() for row in q) / (len(p) * len(q))

    return (2 * mean_gap(a, b) - mean_gap(a, a) - mean_gap(b, b)).item()


def covariance(y):
    return torch.stack([torch.cov(chain.double().T, correction=0) for chain in y])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_critic_measures_how_far_draws_must_be_moved(seed):
    recipe = TINY._replace(critic_steps=600, learning_rate=2e-3, last_rate=1, smoothing=0, checkpoints=1)
    train, _, (posterior, _, trace) = fitted(1, seed, recipe)
    far = posterior.coordinates.encode(train.theta).norm(dim=-1).mean(1)  # a new generator is a heap at the origin
    assert (-trace.critic_cost[0] / far - 1).abs().max() < 0.15


@pytest.mark.parametrize("steps", [3, 12])
def test_codes_have_the_mean_and_covariance_of_the_draws(steps):
    train, _, (posterior, _, _) = fitted(steps, seed=1)
    real = posterior.coordinates.encode(train.theta)
    same, n = posterior.codes.sample(4000, stream(1, "moments")), 20000  # the latents that they were matched on
    torch.testing.assert_close(same.mean(1), real.mean(1), rtol=0, atol=1e-4)
    torch.testing.assert_close(covariance(same), covariance(real), rtol=1e-3, atol=1e-4)
    fresh = posterior.codes.sample(n, stream(2, "moments"))
    assert (covariance(fresh) - covariance(real)).abs().max() < 0.1 and fresh.mean(1).abs().max() < 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_shapes_are_learned_that_a_gaussian_with_the_same_moments_has_not(seed):
    train, held_out, (posterior, _, _) = fitted(steps=300, seed=seed, recipe=SHAPED)
    baseline, _ = gaussian.fit(train, held_out, posterior.coordinates, X, seed=seed)
    fresh = posterior.coordinates.encode(toys(400, seed=100 + seed).theta)
    ours, normals = (p.codes.sample(400, stream(seed, "test")) for p in (posterior, baseline))
    for c in range(2):
        assert energy_distance(ours[c], fresh[c]) < 0.5 * energy_distance(normals[c], fresh[c])


def test_a_fit_is_made_of_its_seed():
    first, again, other = (fitted(6, seed) for seed in (0, 0, 1))
    draws = [p.sample(10, generator=stream(0, "test")).theta for _, _, (p, _, _) in (first, again, other)]
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])
    assert all(torch.equal(a, b) for a, b in zip(first[2][2], again[2][2], strict=True))


def test_the_checkpoint_kept_is_the_nearest_to_what_was_held_out():
    train, held_out, (posterior, cost, trace) = fitted(30, seed=1, blur=1.0)  # something left out, for noise
    assert trace.critic_cost.shape == (30, 2) and trace.distance.shape == (3, 2) and cost.gradient_evaluations == 0
    assert (trace.distance.std(0) > 0).all()
    predicted = judge.of_chains(held_out, X)
    assert torch.equal(judge.between(judge.of_distilled(posterior, X, 1), predicted), trace.distance.min(0).values)
    assert torch.equal(trace.floor, judge.between(judge.of_chains(train, X), predicted))


def test_a_generator_weighs_what_its_layers_hold():
    _, _, (posterior, _, _) = fitted(3, seed=0)
    weights = (32 + 1) * 16 + (16 + 1) * 16 + (16 + 1) * 2
    assert posterior.nbytes == posterior.coordinates.nbytes + 4 * 2 * weights + 4 * 2


@pytest.mark.parametrize("steps", [0, 2])
def test_fewer_steps_than_checkpoints_are_refused(steps, refusal):
    assert f"steps is {steps}, checkpoints 3; wanted 1 <= checkpoints <= steps" in refusal(
        lambda: fitted(steps, seed=0)
    )


@pytest.mark.parametrize("steps", [3, 7, 13])
def test_there_are_as_many_checkpoints_as_asked_for_whatever_the_steps(steps):
    assert len(fitted(steps, seed=0)[2][2].distance) == 3


def test_the_pair_of_the_paper_works_on_the_weights_themselves():
    train, held_out = toys(600, 0).split(0.8)
    recipe = gan.PAPER._replace(hidden=(16, 16, 16), learning_rate=1e-3)
    weights = raw(train.theta, NETWORK)
    posterior, _, trace = gan.fit(train, held_out, weights, X, steps=400, seed=0, recipe=recipe)
    started, _, _ = gan.fit(train, held_out, weights, X, steps=1, seed=0, recipe=recipe)
    assert trace.distance.shape == (1, 2) and posterior.coordinates.basis is None
    fresh = toys(400, seed=100).theta
    for c in range(2):
        first, last = (p[c : c + 1].sample(400, generator=stream(0, "test")).theta for p in (started, posterior))
        assert energy_distance(last, fresh[c]) < 0.2 * energy_distance(first, fresh[c])


def test_weights_of_the_paper_start_as_he_s():
    network = mlp(200, 300, 100)
    for name, leaf in network.unravel(gan.he(network, stream(0, "test"))).items():
        if name.endswith("bias"):
            assert not leaf.any()
        else:
            z = leaf * (leaf.shape[1] / 2) ** 0.5
            assert abs(z.mean()) < 5 / z.numel() ** 0.5
            assert abs(z.square().mean() - 1) < 5 * (2 / z.numel()) ** 0.5
