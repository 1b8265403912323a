"""Laws of SGLD: its algebra, the exact law of its draws at any step size, its chains, the scale of the paper."""

import math

import pytest
import torch
from torch import nn

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical, gaussian
from apdlab.networks import Network, mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import from_apd, relaxation_steps, sgld
from apdlab.schedules import polynomial
from apdlab.streams import stream, streams
from apdlab.types import Batch, Data

K = 1.7  # precision of the Gaussian target
TEMPERATURES = [0.3, 1.0, 2.5]
DECORRELATED = {0.05: 100, 0.5: 12, 2.0: 3}  # eps k -> steps after which |1 - eps k / 2|^(2 steps) < 0.01
CHAINS, WIDE = 4, 20_000
each_temperature = pytest.mark.parametrize("temperature", TEMPERATURES, ids="T={}".format)
each_curvature = pytest.mark.parametrize("curvature", DECORRELATED, ids="eps k={}".format)
each_seed = pytest.mark.parametrize("seed", range(3))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bowl(theta, batch):
    """The log of a Gaussian of precision K, in every coordinate."""
    return -0.5 * K * theta.square().sum(-1)


def walk(kernel, theta, steps, generators, draw=lambda t: None):
    """All states from the start to the last, ``[steps + 1, C, D]``."""
    state, seen = kernel.init(theta), [theta.clone()]
    for t in range(steps):
        state, _ = kernel.step(state, draw(t), generators)
        seen.append(state.theta.clone())
    return torch.stack(seen)


def redrawn(generators, wide=20):
    """The noise of a step, drawn again from the same streams."""
    return torch.stack([torch.randn(wide, generator=each, dtype=torch.float64) for each in generators])


def law(temperature, curvature):
    """The stationary variance of ``theta <- (1 - eps k / 2) theta + sqrt(eps T) xi``, step size and all."""
    return temperature / K / (1 - curvature / 4)


def z_of_moments(theta, variance):
    """Standard scores of mean, variance and fourth moment of independent coordinates of ``N(0, variance)``."""
    root, theta = math.sqrt(theta.numel()), theta / math.sqrt(variance)
    second, fourth = theta.square(), theta.square().square()
    scores = theta.mean(), (second.mean() - 1) / math.sqrt(2), (fourth.mean() - 3) / math.sqrt(96)
    return [float(root * score) for score in scores]


# The algebra ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.5], ids="T={}".format)
@pytest.mark.parametrize("eps", [0.01, 0.1, 2.0], ids="eps={}".format)
def test_a_step_is_its_formula(eps, temperature):
    theta = normal(3, 20)
    kernel = sgld(lambda theta, batch: -theta.square().square().sum(-1), eps, temperature)
    state, info = kernel.step(kernel.init(theta), None, streams(0, "noise", 3))
    wanted = theta + eps / 2 * (-4 * theta**3) + (eps * temperature) ** 0.5 * redrawn(streams(0, "noise", 3))
    torch.testing.assert_close(state.theta, wanted, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(info.log_posterior, -theta.pow(4).sum(-1), rtol=1e-14, atol=0)


def test_the_start_is_left_alone_and_its_layout_does_not_matter():
    theta = normal(3, 20)
    kept, turned = theta.clone(), theta.T.contiguous().T
    one, other = (walk(sgld(bowl, 0.1), start, 5, streams(0, "noise", 3)) for start in (theta, turned))
    assert torch.equal(theta, kept) and torch.equal(one, other)


@pytest.mark.parametrize("eps", [0.1, 1.0], ids="eps={}".format)
def test_without_temperature_it_is_gradient_descent(eps):
    theta = normal(3, 5)
    cosine = lambda theta, batch: theta.cos().sum(-1)  # noqa: E731
    ours = walk(sgld(cosine, eps, temperature=0), theta, 20, streams(0, "noise", 3))[-1]
    leaf = theta.clone().requires_grad_()
    descent = torch.optim.SGD([leaf], lr=eps / 2)
    for _ in range(20):
        leaf.grad = leaf.detach().sin()
        descent.step()
    torch.testing.assert_close(ours, leaf.detach(), rtol=1e-13, atol=1e-13)


def test_without_temperature_and_gradient_nothing_moves_and_no_number_is_drawn():
    theta, generators = normal(3, 5), streams(0, "noise", 3)
    states = walk(sgld(lambda theta, batch: 0 * theta.sum(-1), 0.5, temperature=0), theta, 3, generators)
    assert all(torch.equal(state, theta) for state in states)
    assert torch.equal(generators[1].get_state(), stream(0, "noise", 1).get_state())


@each_temperature
def test_step_t_takes_the_step_size_of_the_schedule_at_t(temperature):
    kernel = sgld(bowl, polynomial(0.9, 2.0, 0.55), temperature)
    state, wanted = kernel.init(normal(2, 20)), normal(2, 20)
    generators, again = streams(0, "noise", 2), streams(0, "noise", 2)
    for t in range(6):
        state, info = kernel.step(state, None, generators)
        eps = 0.9 * (2.0 + t) ** -0.55
        wanted = wanted - eps / 2 * K * wanted + math.sqrt(eps * temperature) * redrawn(again)
        torch.testing.assert_close(state.theta, wanted, rtol=1e-13, atol=1e-13)
        assert math.isclose(info.step_size, eps, rel_tol=1e-14) and state.step == t + 1


# The law of the draws ------------------------------------------------------------------------------------------------


@each_temperature
@each_curvature
@each_seed
def test_the_stationary_law_stays(temperature, curvature, seed):
    variance = law(temperature, curvature)
    theta = math.sqrt(variance) * normal(CHAINS, WIDE, seed=seed)
    kernel, generators = sgld(bowl, curvature / K, temperature), streams(seed, "noise", CHAINS)
    last = walk(kernel, theta, DECORRELATED[curvature], generators)[-1]
    assert max(map(abs, z_of_moments(last, variance))) < 5
    between = torch.corrcoef(last)[~torch.eye(CHAINS, dtype=torch.bool)]
    assert between.abs().max() < 5 / math.sqrt(WIDE)


@each_temperature
@each_curvature
def test_from_zero_the_variance_grows_to_the_law(temperature, curvature):
    kernel, generators = sgld(bowl, curvature / K, temperature), streams(7, "noise", CHAINS)
    states = walk(kernel, torch.zeros(CHAINS, WIDE, dtype=torch.float64), DECORRELATED[curvature], generators)
    for t in (1, 2, len(states) // 2, len(states) - 1):
        variance = law(temperature, curvature) * (1 - (1 - curvature / 2) ** (2 * t))
        assert max(map(abs, z_of_moments(states[t], variance))) < 5


@each_temperature
@each_curvature
@each_seed
def test_neighbours_are_correlated_by_one_minus_half_eps_k(temperature, curvature, seed):
    theta = math.sqrt(law(temperature, curvature)) * normal(CHAINS, WIDE, seed=seed)
    kernel = sgld(bowl, curvature / K, temperature)
    before, after = walk(kernel, theta, 1, streams(seed, "noise", CHAINS))
    slope = (before * after).sum() / before.square().sum()
    error = math.sqrt(curvature / K * temperature / before.square().sum())
    assert abs(slope - (1 - curvature / 2)) < 5 * error


# Minibatches: the mean of a Gaussian learned from N examples, a model with D columns on which all is known ------------

N, D, MANY, PRIOR = 64, 8, 32, 5.0
PRECISION = N + PRIOR
EPS = 0.8 / PRECISION
RHO = 1 - EPS * PRECISION / 2
Y = 1 + 3 * normal(N, D)


def widened(size):
    """The stationary variances ``[m, D]`` at the start of an epoch of ``m = N / size`` minibatches and after each step.

    The gradient noise of a step has variance ``v = N^2 s^2 / B (N - B) / (N - 1)``. That of an epoch sums to zero, so
    two of its steps have covariance ``-v / (m - 1)``; epochs are independent.
    """
    m = N // size
    v = N**2 * Y.var(0, correction=0) / size * (N - size) / (N - 1)

    def fresh(steps):
        s1, s2 = (sum(RHO ** (power * j) for j in range(steps)) for power in (1, 2))
        return EPS * s2 + (EPS / 2) ** 2 * v * (s2 - (s1**2 - s2) / max(m - 1, 1))

    start = fresh(m) / (1 - RHO ** (2 * m))
    return torch.stack([RHO ** (2 * place) * start + fresh(place) for place in range(m)])


def sampled(size, seed, epochs=60, burn_in=10):
    """Distances from the posterior mean, ``[epochs, m, C, D]``, each chain with its own minibatches."""
    network = Network(nn.Sequential(nn.Linear(1, D, bias=False, dtype=torch.float64)))
    log_posterior = LogDensity(network, gaussian(noise=1.0), gaussian_prior(network, PRIOR), N)
    draw = batches(Data(torch.ones(N, 1, dtype=torch.float64), Y), size, seed=seed, chains=MANY)
    start, steps = Y.sum(0).div(PRECISION).expand(MANY, D), (epochs + burn_in) * N // size
    states = walk(sgld(log_posterior, EPS), start, steps, streams(seed, "noise", MANY), draw)
    return (states[:-1] - start).unflatten(0, (-1, N // size))[burn_in:]


def t_of_chains(values):
    """How many standard errors the mean over independent chains ``[C, ...]`` is away from 0."""
    return values.mean(0) / values.std(0) * math.sqrt(len(values))


@pytest.mark.parametrize("size", [64, 32, 16, 8], ids="B={}".format)
@pytest.mark.parametrize("seed", range(2))
def test_minibatches_keep_the_mean_and_widen_the_variance_by_their_noise(size, seed):
    away = sampled(size, seed)
    assert t_of_chains(away.mean((0, 1))).abs().max() < 6
    ratio = away.square() / widened(size)[:, None]
    assert t_of_chains(ratio.mean((0, 3)).T - 1).abs().max() < 6


# Chains and scales ---------------------------------------------------------------------------------------------------


def test_on_a_gaussian_chain_1_of_16_is_chain_1_alone_bit_by_bit():
    theta, kernel = normal(16, 30), sgld(bowl, 0.3)
    together = walk(kernel, theta, 50, streams(5, "noise", 16))
    alone = walk(kernel, theta[1:2], 50, [stream(5, "noise", 1)])
    assert torch.equal(together[:, 1:2], alone)


def test_on_a_network_chain_1_of_16_is_chain_1_alone():
    log_posterior, data, theta = classifier(chains=16)
    kernel = sgld(log_posterior, 1e-3)
    draw, few = batches(data, 4, seed=0, chains=16), batches(data, 4, seed=0, chains=2)
    together = walk(kernel, theta, 50, streams(5, "noise", 16), draw)
    alone = walk(kernel, theta[1:2], 50, [stream(5, "noise", 1)], lambda t: Batch(*(part[1:2] for part in few(t))))
    assert not torch.equal(alone[-1], alone[0])
    torch.testing.assert_close(together[:, 1:2], alone, rtol=1e-9, atol=1e-9)


def classifier(chains, precision=1.0):
    """A small network, its set of 20 examples of 3 classes, and where its chains start."""
    network = mlp(2, 6, 3, activation=nn.Tanh, dtype=torch.float64)
    data = Data(normal(20, 2), torch.randint(3, (20,), generator=torch.Generator().manual_seed(1)))
    theta = torch.stack([network.init(generator) for generator in streams(0, "init", chains)])
    return LogDensity(network, categorical(), gaussian_prior(network, precision), len(data.y)), data, theta


@pytest.mark.parametrize(("lr", "weight_decay"), [(0.05, 0.001), (0.5, 0.2), (1.0, 0.01)])
@pytest.mark.parametrize("size", [None, 5], ids="B={}".format)
def test_from_apd_is_the_update_of_the_paper(lr, weight_decay, size):
    """``theta <- theta - lr / 2 (grad mean CE + weight_decay theta) + N(0, lr / n)``"""
    scale = from_apd(lr, weight_decay, n=20)
    log_posterior, data, theta = classifier(2, scale.precision)
    draw, again, wanted = batches(data, size, seed=0, chains=2), streams(3, "noise", 2), theta.clone()
    ours = walk(sgld(log_posterior, scale.step_size), theta, 5, streams(3, "noise", 2), draw)
    for t in range(5):
        xi = redrawn(again, theta.shape[1])
        for c in range(2):
            batch, leaf = draw(t), wanted[c].clone().requires_grad_()
            b = c % len(batch.y)
            outputs = log_posterior.network(log_posterior.network.unravel(leaf), batch.x[b])
            (grad,) = torch.autograd.grad(nn.functional.cross_entropy(outputs, batch.y[b]), leaf)
            wanted[c] += -lr / 2 * (grad + weight_decay * wanted[c]) + math.sqrt(lr / 20) * xi[c]
        torch.testing.assert_close(ours[t + 1], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("eps", "precision"), [(1e-3, 2.0), (1e-2, 0.5), (1e-4, 50.0)])
def test_after_the_relaxation_a_start_is_forgotten_by_a_factor_of_e(eps, precision):
    kernel = sgld(lambda theta, batch: -0.5 * precision * theta.square().sum(-1), eps, temperature=0)
    steps = round(relaxation_steps(eps, precision))
    last = walk(kernel, torch.ones(1, 1, dtype=torch.float64), steps, streams(0, "noise", 1))[-1]
    assert math.isclose(last, math.exp(-1), rel_tol=eps * precision)


BAD = [-1.0, math.nan, math.inf]
REFUSED = {
    **{f"temperature {bad}": (f"temperature is {bad}", lambda bad=bad: sgld(bowl, 0.1, bad)) for bad in BAD},
    **{f"step size {bad}": (f"step_size is {bad}", lambda bad=bad: sgld(bowl, bad)) for bad in [0.0, *BAD]},
    "theta of one chain without its axis": ("theta has shape (5,)", lambda: sgld(bowl, 0.1).init(torch.zeros(5))),
    "theta of draws": ("theta has shape (2, 3, 5)", lambda: sgld(bowl, 0.1).init(torch.zeros(2, 3, 5))),
}


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_kernels_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
