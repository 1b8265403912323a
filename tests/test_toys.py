"""Laws of toy sets: sets that are learned in one stack get posteriors of their own, and the right ones."""

import math

import pytest
import torch
from sklearn.datasets import make_moons

from apdlab import paper, toys
from apdlab.chains import Chains
from apdlab.diagnostics import mcse_mean, summary
from apdlab.distill import gan, raw
from apdlab.likelihoods import categorical, gaussian
from apdlab.networks import mlp
from apdlab.store import Store
from apdlab.toys import SETS, Budget, clusters, learn, mixing, moons, side_by_side, survey
from apdlab.types import Data

TINY = Budget(2, 0.01, 40, 8, 0.1, 3, 16, 5, 0.1, 4, 2)
INPUTS = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def line(slope, n=12):
    x = torch.linspace(-1, 1, n)[:, None]
    return Data(x, slope * x + 0.3 * torch.randn(n, 1, generator=seeded(3)))


def exact(data, precision, noise):
    """Mean and variance of the weights (slope, offset) of a line, by the normal equations."""
    design = torch.cat([data.x, torch.ones_like(data.x)], 1).double()
    covariance = (design.T @ design / noise**2 + precision * torch.eye(2)).inverse()
    return covariance @ design.T @ data.y[:, 0].double() / noise**2, covariance.diagonal()


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Lines of three slopes, learned in one stack by a network of two weights."""
    budget = Budget(4, 2e-3, 6000, 300, 0.05, 8, 400, 400, 0.05, 2, 2)
    sets = [line(slope) for slope in (-2.0, 0.0, 3.0)]
    found = learn(sets, (1, 1), gaussian(0.3), sets[0].x, precision=2.0, budget=budget, seed=0,
                  store=Store(tmp_path_factory.mktemp("store")))  # fmt: skip
    return sets, found


@pytest.mark.parametrize("method", ["sgld", "hmc"])
def test_each_set_of_a_stack_gets_its_own_posterior(lines, method):
    for data, one in zip(*lines, strict=True):
        chains = getattr(one, method)
        mean, variance = exact(data, 2.0, 0.3)
        theta = chains.theta.double()
        assert len(chains) == 4 and one.data is data
        assert ((theta.mean((0, 1)) - mean).abs() < 4.5 * mcse_mean(theta)).all()
        square = (theta - mean).square()
        bias = 2e-3 / 4 if method == "sgld" else 0.0  # of a finite step: k eps / 4 of it
        assert ((square.mean((0, 1)) - variance).abs() < 4.5 * mcse_mean(square) + 1.2 * bias).all()


def test_the_point_estimate_is_the_mode(lines):
    for data, one in zip(*lines, strict=True):
        assert len(one.sgd) == 1
        torch.testing.assert_close(one.sgd.theta[0].double(), exact(data, 2.0, 0.3)[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", ["apd", "gaussian"])
def test_what_is_distilled_has_mean_and_spread_of_the_own_set(lines, method):
    for data, one in zip(*lines, strict=True):
        mean, variance = exact(data, 2.0, 0.3)
        theta = getattr(one, method).sample(4000, generator=seeded()).theta.double()
        assert ((theta.mean(0) - mean).abs() < 0.35 * variance.sqrt()).all()
        assert (theta.var(0) / variance - 1).abs().max() < 0.35


def test_draws_are_pooled_over_chains_in_random_order(lines):
    one = lines[1][0]
    drawn = one.draws(50, seed=0)
    assert {m: len(d) for m, d in drawn.items()} == {"sgd": 1, "sgld": 50, "apd": 50, "gaussian": 50, "hmc": 50}
    chains = [(one.sgld.theta == theta).all(-1).nonzero()[0, 0].item() for theta in drawn["sgld"].theta]
    assert set(chains) == {0, 1, 2, 3} and chains != sorted(chains)
    assert torch.equal(one.draws(50, seed=0)["apd"].theta, drawn["apd"].theta)
    assert len(one.draws(10_000, seed=0)["hmc"]) == one.hmc.theta.shape[:2].numel()


def test_a_stack_gives_each_chain_the_whole_of_its_set():
    sets = [Data(torch.full((5, 2), float(i)), torch.full((5,), i)) for i in range(3)]
    batch = side_by_side(sets, 2, torch.float64)(7)
    assert batch.x.dtype is torch.float64 and batch.y.dtype is torch.int64
    assert batch.x[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2] and batch.y.tolist() == [[i] * 5 for i in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize("sizes", [[], [5, 6]])
def test_sets_of_several_sizes_are_refused(sizes, refusal):
    sets = [Data(torch.zeros(n, 2), torch.zeros(n)) for n in sizes]
    assert f"sets have {sizes} examples; wanted sets of one size" in refusal(
        lambda: side_by_side(sets, 1, torch.float32)
    )


@pytest.mark.parametrize("noise", [0.5, 1.5])
def test_clusters_have_the_noise_that_is_asked_for(noise):
    data = clusters(seeded(), 4000, noise)
    centred = data.x - 2 * (2 * data.y[:, None] - 1)
    assert (centred.std(0) / noise - 1).abs().max() < 4 / math.sqrt(2 * 8000)


def test_moons_are_twice_as_large_and_in_the_middle():
    data, seed = moons(seeded(), 20, 0.6), int(torch.randint(2**31, (), generator=seeded()))
    x, y = make_moons((20, 20), noise=0.3, random_state=seed)
    torch.testing.assert_close(data.x, torch.as_tensor(2 * x - [1.0, 0.5]).float())
    assert data.y.tolist() == y.tolist()


@pytest.mark.parametrize("name", SETS)
def test_more_noise_moves_the_same_points_further(name):
    still, near, far = (SETS[name](seeded(), 30, noise).x for noise in (1e-6, 0.4, 1.2))
    torch.testing.assert_close(3 * (near - still), far - still, rtol=1e-3, atol=1e-3)


def test_a_survey_learns_every_set_of_every_noise_and_size(tmp_path):
    how = {"precision": 1.0, "budget": TINY, "seed": 0, "store": Store(tmp_path)}
    found = survey([0.5, 1.0], [3, 5], INPUTS, **how)
    assert list(found) == [(s, z, n) for n in (3, 5) for s in SETS for z in (0.5, 1.0)]
    for (name, noise, size), one in found.items():
        assert torch.equal(one.data.x, SETS[name](toys.stream(0, name), size, noise).x)
        assert one.sgld.theta.shape[::2] == (2, 162) and one.hmc.theta.dtype is torch.float32
    again = survey([0.5, 1.0], [3, 5], INPUTS, **how)
    key = ("moons", 1.0, 5)
    assert torch.equal(again[key].draws(9, 1)["apd"].theta, found[key].draws(9, 1)["apd"].theta)


def test_a_short_training_is_the_beginning_of_a_long_one(tmp_path):
    store = Store(tmp_path)
    path, point = paper.paper_chain(clusters(seeded(), 5, 0.5), steps=60, chains=2, descent=4, seed=0, store=store)
    assert path.theta.shape == (2, 45, 162) and len(point) == 1
    found, trace = paper.snapshots(path, INPUTS, [2, 5], seed=0, store=store)
    train, held_out = path.hold_out(5)
    how = {"steps": 2, "seed": 0, "recipe": paper.RECIPE}
    short, _, beginning = gan.fit(train, held_out, raw(train.theta, path.network), INPUTS, **how)
    torch.testing.assert_close(trace.critic_cost[:2], beginning.critic_cost)
    torch.testing.assert_close(found[2].codes.theta, short.codes.theta)
    assert not torch.equal(found[2].codes.theta, found[5].codes.theta)


@pytest.mark.parametrize("outputs", [1, 2])
def test_mixing_is_of_the_log_odds_or_of_the_only_output(outputs):
    network = mlp(2, 3, outputs)
    theta = torch.randn(3, 20, network.size, generator=seeded())
    chains = Chains(network, theta, torch.arange(20), torch.zeros(3, 20))
    f = torch.stack([torch.stack([network(network.unravel(one), INPUTS) for one in chain]) for chain in theta])
    values = f[..., 1] - f[..., 0] if outputs == 2 else f[..., 0]
    found, wanted = mixing(chains, INPUTS, "a"), summary(values, "a")
    assert found.pop("name") == wanted.pop("name") and found == pytest.approx(wanted, rel=1e-3)


def test_a_point_estimate_of_classes_separates_them(tmp_path):
    sets = [clusters(seeded(), 5, 0.5)]
    budget = TINY._replace(descent=200)
    (one,) = learn(sets, (2, 10, 2), categorical(), INPUTS, precision=1.0, budget=budget, seed=0, store=Store(tmp_path))
    network = one.sgd.network
    assert (network(network.unravel(one.sgd.theta[0]), sets[0].x).argmax(-1) == sets[0].y).all()
