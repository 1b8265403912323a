"""Laws of flow matching: the best velocity of a Gaussian in closed form, moments, heaps, and a solver of order two."""

import math
from dataclasses import replace

import pytest
import torch

from apdlab.chains import Chains
from apdlab.distill import flow, gaussian, judge, pca, raw
from apdlab.networks import mlp
from apdlab.store import Store
from apdlab.streams import stream

NETWORK = mlp(1, 2)  # 4 weights
X = torch.linspace(-2, 2, 9)[:, None]
TINY = flow.Recipe(hidden=8, blocks=1, batch=20, moves=5)
SHAPED = flow.Recipe(hidden=32, blocks=2, learning_rate=3e-3, average=0.99, checkpoints=1)


def toys(draws, seed, blur=0.0):
    """Two chains of weights in a plane of their space: a ring, and two heaps, one of a quarter of the draws."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(draws, generator=generator)
    side = (torch.rand(draws, generator=generator) < 0.25) * 4 - 2.0
    centres = torch.stack([torch.stack([2 * angle.cos(), angle.sin()], -1), torch.stack([side, 0 * side], -1)])
    codes = centres + 0.15 * torch.randn(2, draws, 2, generator=generator)
    plane = torch.linalg.qr(torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(7)))[0].mT
    theta = codes @ plane + 0.3 + blur * torch.randn(2, draws, 4, generator=generator)
    return Chains(NETWORK, theta, torch.arange(draws), torch.zeros(2, draws))


def fitted(steps, seed=0, recipe=TINY, blur=0.0):
    train, held_out = toys(600, 0, blur).split(0.8)
    coordinates = pca(train.theta, NETWORK, 2)
    return train, held_out, flow.fit(train, held_out, coordinates, X, steps=steps, seed=seed, recipe=recipe)[0]


def energy_distance(a, b):
    """``2 E|a - b| - E|a - a'| - E|b - b'|``, pair by pair: 0 only for equal distributions (Szekely, 2002)."""

    def mean_gap(p, q):
        return sum((p - row).norm(dim=-1).sum() for row in q) / (len(p) * len(q))

    return (2 * mean_gap(a, b) - mean_gap(a, a) - mean_gap(b, b)).item()


def covariance(y):
    return torch.stack([torch.cov(chain.double().T, correction=0) for chain in y])


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_the_velocity_of_a_gaussian_is_found(smoothing):
    """``E[z_1 - l z_0 | z_t] = (t - l (1 - l t)) / ((1 - l t)^2 + t^2) z_t``, with ``l = 1 - sigma``."""
    recipe = SHAPED._replace(smoothing=smoothing)
    y = 3 + 2 * torch.randn(1, 20000, 2, generator=torch.Generator().manual_seed(0))
    training = flow._Training(y, recipe, 800, stream(0, "test"))
    for _ in range(800):
        training.step()
    left, z = 1 - smoothing, torch.randn(1, 500, 2, generator=torch.Generator().manual_seed(1))
    for t in (0.0, 0.3, 0.8, 1.0):
        width = ((1 - left * t) ** 2 + t**2) ** 0.5
        exact = (t - left * (1 - left * t)) / width * z
        with torch.no_grad():
            found = flow._at(training.network, training.network.unravel(training.averaged), width * z, t)
        assert (found - exact).square().mean().sqrt() < 0.15, t


def test_noise_is_moved_for_a_time_of_one_and_then_turned_and_shifted():
    """With all weights 0 but the last bias, the velocity is that bias."""
    network = flow._velocity(2, 8, 1, dtype=torch.float64)
    theta = torch.zeros(2, network.size, dtype=torch.float64)
    list(network.unravel(theta).values())[-1].copy_(torch.tensor([[1.0, 2.0], [-3.0, 0.0]]))
    turn = torch.tensor([[[1.0, 2.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 4.0]]], dtype=torch.float64)
    shift = torch.tensor([[5.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    y = flow.Flow(theta, turn, shift, 8, 1, 7).sample(6, torch.Generator().manual_seed(0))
    z = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for c, bias in enumerate(([1.0, 2.0], [-3.0, 0.0])):
        for row, noise in zip(y[c], z[c], strict=True):
            torch.testing.assert_close(row, (noise + torch.tensor(bias, dtype=torch.float64)) @ turn[c] + shift[c])


def test_halving_the_moves_makes_four_times_the_error():
    network = flow._velocity(2, 8, 1, dtype=torch.float64)
    theta = network.init(torch.Generator().manual_seed(0))[None]
    still = flow.Flow(theta, torch.eye(2).double()[None], torch.zeros(1, 2).double(), 8, 1, 1)
    at = [replace(still, moves=m).sample(50, torch.Generator().manual_seed(0)) for m in (400, 800, 1600)]
    assert ((at[0] - at[1]).norm() / (at[1] - at[2]).norm()).item() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("steps", [2, 12])
def test_codes_have_the_mean_and_covariance_of_the_draws(steps):
    train, _, posterior = fitted(steps, recipe=TINY._replace(checkpoints=1))
    real = posterior.coordinates.encode(train.theta)
    same = posterior.codes.sample(2000, stream(0, "moments"))  # the noise that they were matched on
    torch.testing.assert_close(same.mean(1), real.mean(1), rtol=0, atol=1e-4)
    torch.testing.assert_close(covariance(same), covariance(real), rtol=1e-3, atol=1e-4)
    fresh = posterior.codes.sample(20000, stream(1, "test"))
    assert (covariance(fresh) - covariance(real)).abs().max() < 0.1 and fresh.mean(1).abs().max() < 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_shapes_are_learned_that_a_gaussian_with_the_same_moments_has_not(seed):
    train, held_out, posterior = fitted(400, seed, SHAPED)
    baseline, _ = gaussian.fit(train, held_out, posterior.coordinates, X, seed=seed)
    fresh = posterior.coordinates.encode(toys(400, seed=100 + seed).theta)
    ours, normals = (p.codes.sample(400, stream(seed, "test")) for p in (posterior, baseline))
    for c in range(2):
        assert energy_distance(ours[c], fresh[c]) < 0.5 * energy_distance(normals[c], fresh[c])


def test_two_heaps_stay_two_with_their_shares():
    train, _, posterior = fitted(400, 2, SHAPED)
    long = posterior.coordinates.encode(train.theta)[1, :, 0]
    real, made = long / long.std(), posterior.codes.sample(2000, stream(3, "test"))[1, :, 0] / long.std()
    middle = (real.max() + real.min()) / 2
    assert ((made > middle).float().mean() - (real > middle).float().mean()).abs() < 0.06
    assert ((made - middle).abs() < 0.5).float().mean() < 0.05 and not ((real - middle).abs() < 0.5).any()


def test_a_fit_is_made_of_its_seed():
    first, again, other = (fitted(6, seed)[2].sample(10, generator=stream(0, "test")).theta for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_of_each_chain_the_checkpoint_nearest_to_what_was_held_out_is_kept():
    _, held_out, first = fitted(4, 1, blur=1.0)
    second = fitted(40, 2, blur=1.0)[2]
    kept = [first, second, first.with_noise(torch.ones(2))]
    predicted = judge.of_chains(held_out, X)
    best, each = judge.best(kept, predicted, X, seed=1)
    found = judge.between(judge.of_distilled(best, X, 1), predicted)
    assert torch.equal(found, each.min(0).values) and (each.std(0) > 0).all()
    assert torch.equal(first.noise, judge.match_disagreement(first, predicted, X, seed=1).noise)


def test_a_flow_weighs_its_velocity_and_its_map():
    posterior, h, k = fitted(3)[2], 8, 2
    blocks = 2 * h + 2 * (h + 1) * h
    velocity = (k + 1) * h + (32 + 1) * h + (h + 1) * h + blocks + 2 * h + (h + 1) * k
    assert posterior.nbytes == posterior.coordinates.nbytes + 4 * 2 * (velocity + k * k + k) + 4 * 2
    assert posterior[:1].nbytes * 2 == posterior.nbytes


def test_a_stored_flow_is_the_flow(tmp_path):
    train, held_out, posterior = fitted(4)
    arguments = (train, held_out, posterior.coordinates, X)
    for _ in range(2):  # computed, then opened
        stored, _ = Store(tmp_path).fit(NETWORK, flow.fit, *arguments, steps=4, seed=0, recipe=TINY)
        draws = [p[1:].sample(7, generator=stream(0, "test")).theta for p in (stored, posterior)]
        assert torch.equal(*draws) and stored.nbytes == posterior.nbytes


def test_weights_themselves_are_refused(refusal):
    train, held_out = toys(60, 0).split(0.8)
    weights = raw(train.theta, NETWORK)
    said = refusal(lambda: flow.fit(train, held_out, weights, X, steps=4, seed=0, recipe=TINY))
    assert "coordinates are the weights themselves; wanted a few directions" in said
