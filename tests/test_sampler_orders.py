"""Rungs above the ladder: the order of the bias where nothing is Gaussian, gradient noise, minibatches, adaptation."""

import math

import numpy as np
import pytest
import torch
from laws import likely
from scipy import special, stats
from torch import nn

from apdlab.density import LogDensity
from apdlab.likelihoods import gaussian
from apdlab.networks import Network
from apdlab.priors import gaussian_prior
from apdlab.samplers import hmc, laws, psgld, sghmc, sgld
from apdlab.streams import stream, streams
from apdlab.types import Batch

# The order of the bias: on the circle, with density exp(A cos theta) --------------------------------------------------
# A step maps the density to another one. It is probed at nodes, its noise summed by Gauss-Hermite quadrature, and the
# density that it leaves alone is found in a basis: no random number, and an error far below the bias.

A, MODES, POWERS = 1.5, 14, 14
XI, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
AROUND = 2 * np.pi * np.arange(2 * MODES + 1) / (2 * MODES + 1)
THROWS = np.polynomial.hermite_e.hermegauss(POWERS)[0]
TRUE = special.i1(A) / special.i0(A)


def circle(theta, batch):
    return A * theta.cos().sum(-1)


def cold_step(kernel, **start):
    """Where a step at temperature 0 leads from each entry of ``start``."""
    state = {name: torch.from_numpy(value.copy())[:, None] for name, value in start.items()}
    state, _ = kernel.step(kernel.init(state["theta"])._replace(step=1, **state), None, ())
    return [getattr(state, name)[:, 0].numpy() for name in start]


def sgld_mean(eps):
    (theta,) = cold_step(sgld(circle, eps, 0), theta=AROUND)
    waves = lambda theta: np.exp(1j * np.multiply.outer(theta, np.arange(-MODES, MODES + 1)))  # noqa: E731
    return invariant_mean(waves, AROUND, theta[:, None] + math.sqrt(eps) * XI)


def sghmc_mean(h, friction):
    q, m = (grid.ravel() for grid in np.meshgrid(AROUND, THROWS))
    theta, momentum = cold_step(sghmc(circle, h, friction, 0), theta=q, momentum=m)
    heat = math.sqrt(1 - math.exp(-2 * friction * h)) * XI
    scale = 1 / np.sqrt(special.factorial(np.arange(POWERS)))

    def basis(theta, momentum):
        waves = np.exp(1j * np.multiply.outer(theta, np.arange(-MODES, MODES + 1)))
        powers = np.polynomial.hermite_e.hermevander(momentum, POWERS - 1) * scale
        return (waves[..., None] * powers[..., None, :]).reshape(*theta.shape, -1)

    ends = theta[:, None] + h / 2 * heat, momentum[:, None] + heat
    return invariant_mean(basis, q, *ends, m=m)


def invariant_mean(basis, theta, *ends, m=None):
    """The mean of ``cos(theta)`` in the density that a step, from nodes to ``ends [nodes, XI]``, leaves alone."""
    here = basis(theta) if m is None else basis(theta, m)
    after = sum(weight * basis(*(end[:, j] for end in ends)) for j, weight in enumerate(WEIGHTS))
    equations = np.vstack([(after - here).T, np.ones(len(theta))])
    density = np.linalg.lstsq(equations, np.append(np.zeros(here.shape[1]), 1), rcond=None)[0].real
    return float(density @ np.cos(theta))


ORDERS = {
    "sgld": (sgld_mean, 0.1, 1),
    "sghmc": (lambda h: sghmc_mean(h, 1.0), 0.4, 2),
    "sghmc that forgets all momentum": (lambda h: sghmc_mean(h, 40 / h), 0.5, 4),
}


@pytest.mark.parametrize(("mean", "size", "order"), ORDERS.values(), ids=ORDERS)
def test_the_bias_falls_with_its_order(mean, size, order):
    """The fourth order is of Leimkuhler, Matthews & Tretyakov, 2014, https://arxiv.org/abs/1308.5814"""
    large, small = mean(size) - TRUE, mean(size / 2) - TRUE
    assert 1e-6 < abs(large) < 0.1
    assert math.isclose(math.log2(large / small), order, abs_tol=0.1)


# Gradient noise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.3, 2.5])
@pytest.mark.parametrize("friction", [0.5, 4.0])
def test_in_small_steps_noise_heats_by_h_s2_over_2_friction_but_not_with_a_thermostat(temperature, friction):
    h, k, s2 = 1e-4, 2.0, 3.0
    wanted = h * s2 / (2 * friction)
    for law in (laws.sghmc, laws.symplectic_euler):
        heat = k * law(h, friction, k, temperature, s2).variance - temperature
        assert math.isclose(heat, wanted, rel_tol=0.01)
    assert abs(k * laws.sgnht(h, friction, k, temperature, s2).variance - temperature) < 1e-4 * wanted
    assert math.isclose(k * laws.sgld(h, k, temperature, s2).variance - temperature, h * (s2 + k * temperature) / 4,
                        rel_tol=0.01)  # fmt: skip


# Minibatches of a linear regression: the noise of the gradient depends on theta, and its law is known -----------------

N, B, D, CHAINS, STEPS, BURN_IN, PRIOR = 40, 8, 3, 400, 150, 60, 3.0
X = torch.randn(N, D, generator=stream(0, "x"), dtype=torch.float64) @ torch.diag(
    torch.tensor([1.0, 0.7, 0.4]).double()
)
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]).double() + torch.randn(N, 1, generator=stream(0, "y"), dtype=torch.float64)
H = X.T @ X + PRIOR * torch.eye(D, dtype=torch.float64)
MEAN = torch.linalg.solve(H, X.T @ Y)[:, 0]
STIFF = float(torch.linalg.eigvalsh(H)[-1])
EYE = torch.eye(D, dtype=torch.float64)


def noise_of(covariance):
    """Covariance of the gradient of ``B`` of ``N`` examples, mean over ``theta - MEAN ~ (0, covariance)``."""
    left = X * (Y - X @ MEAN[:, None])
    fixed = left.T @ left / N - torch.outer(left.mean(0), left.mean(0))
    each = X[:, :, None] * X[:, None, :]
    moved = torch.einsum("nij,jk,nlk->il", each, covariance, each) / N - each.mean(0) @ covariance @ each.mean(0).T
    return N**2 / B * (N - B) / (N - 1) * (fixed + moved)


def settled(step, jolt, heat):
    """The covariance that solves ``S = F S F' + E noise(S) E' + G G'``."""
    covariance = heat @ heat.T
    for _ in range(3000):
        covariance = step @ covariance @ step.T + jolt @ noise_of(covariance[:D, :D]) @ jolt.T + heat @ heat.T
    return covariance[:D, :D]


def sgld_regression(temperature):
    eps = 0.3 / STIFF
    law = settled(EYE - eps / 2 * H, eps / 2 * EYE, math.sqrt(eps * temperature) * EYE)
    return (lambda f: sgld(f, eps, temperature)), law


def sghmc_regression(temperature):
    h = math.sqrt(0.3 / STIFF)
    friction = 0.5 / h
    c, push = math.exp(-0.5), h / 2 * (1 + math.exp(-0.5))
    step = torch.cat([torch.cat([EYE - h * push * H, push * EYE], 1), torch.cat([-c * h * H, c * EYE], 1)])
    heat = math.sqrt((1 - c * c) * temperature) * torch.cat([h / 2 * EYE, EYE])
    law = settled(step, torch.cat([h * push * EYE, c * h * EYE]), heat)
    return (lambda f: sghmc(f, h, friction, temperature)), law


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("case", [sgld_regression, sghmc_regression])
def test_with_minibatches_mean_and_covariance_are_the_posterior_and_its_excess(case, temperature):
    make, law = case(temperature)
    network = Network(nn.Linear(D, 1, bias=False, dtype=torch.float64))
    kernel = make(LogDensity(network, gaussian(1.0), gaussian_prior(network, PRIOR), N))
    state, pick, generators = kernel.init(MEAN.expand(CHAINS, D)), stream(1, "pick"), streams(1, "noise", CHAINS)
    means, squares = torch.zeros(2, CHAINS, D, dtype=torch.float64)
    for t in range(BURN_IN + STEPS):
        rows = torch.rand(CHAINS, N, generator=pick).argsort(1)[:, :B]
        state, _ = kernel.step(state, Batch(X[rows], Y[rows], rows), generators)
        if t >= BURN_IN:
            means += (state.theta - MEAN) / STEPS
            squares += (state.theta - MEAN).square() / STEPS
    for seen, wanted in ((means, torch.zeros(D)), (squares, law.diagonal())):
        for score in (seen.mean(0) - wanted) / seen.std(0) * math.sqrt(CHAINS):
            likely(stats.t.cdf(float(score), CHAINS - 1), stats.t.sf(float(score), CHAINS - 1))
    exact = temperature * torch.linalg.inv(H).diagonal()
    assert ((law.diagonal() - exact) / squares.std(0) * math.sqrt(CHAINS)).max() > 10, "no power to see the excess"


# What adapts ---------------------------------------------------------------------------------------------------------


def bowl(theta, batch):
    return -0.5 * theta.square().sum(-1)


def test_psgld_without_its_correction_has_the_density_times_damping_plus_the_size_of_the_gradient():
    """So its variance is up to twice that of the target, while frozen it is right."""
    damping, eps = 0.3, 0.02
    size = math.sqrt(2 / math.pi)
    wanted = (damping + 2 * size) / (damping + size)
    ratios = {}
    for name, adapt in (("paper", math.inf), ("frozen", 1)):
        kernel = psgld(bowl, eps, damping=damping, adapt=adapt, decay=0.5)
        theta = torch.randn(1, 8000, generator=stream(0, "start"), dtype=torch.float64)
        state, generators, total = kernel.init(theta), streams(0, "noise", 1), 0.0
        state = state._replace(step=1, square=theta.square() + 1e-3)
        for t in range(2000):
            state, _ = kernel.step(state, None, generators)
            total += state.theta.square().mean().item() / 1000 * (t >= 1000)
        ratios[name] = total
    assert math.isclose(ratios["paper"], wanted, rel_tol=0.05) and wanted > 1.7
    assert math.isclose(ratios["frozen"], 1.0, rel_tol=0.05)


@pytest.mark.parametrize("start", [1e-3, 10.0])
@pytest.mark.parametrize("target", [0.65, 0.9])
def test_the_warm_up_finds_the_step_whose_acceptance_is_wanted_chain_by_chain(start, target):
    kernel = hmc(lambda theta, batch: bowl(theta, None) * stiff, start, 5, warm_up=400, target=target)
    stiff = torch.tensor([1.0, 100.0, 1e4], dtype=torch.float64)
    state, generators, seen = kernel.init(torch.zeros(3, 30, dtype=torch.float64)), streams(0, "noise", 3), 0.0
    frozen = None
    for t in range(1000):
        state, info = kernel.step(state, None, generators)
        seen = seen + info.acceptance / 600 * (t >= 400)
        frozen = state.tuning.log_mean.clone() if t < 400 else frozen
    assert torch.equal(state.tuning.log_mean, frozen)
    torch.testing.assert_close(seen, torch.full_like(seen, target), atol=0.08, rtol=0)
    steps = state.tuning.log_mean.exp() * stiff.sqrt()
    assert steps.max() / steps.min() < 1.3


def test_a_trajectory_that_leaves_the_numbers_is_refused_and_its_chain_stays():
    wall = lambda theta, batch: torch.where(theta[:, 0] > 1, torch.nan, -0.5 * theta.square().sum(-1))  # noqa: E731
    state = hmc(wall, 0.5, 8, warm_up=0).init(torch.zeros(50, 2, dtype=torch.float64))
    kernel, generators, refused = hmc(wall, 0.5, 8, warm_up=0), streams(0, "noise", 50), 0
    for _ in range(20):
        before = state.theta.clone()
        state, info = kernel.step(state, None, generators)
        refused += int((info.acceptance == 0).sum())
        assert torch.equal(state.theta[info.acceptance == 0], before[info.acceptance == 0])
    assert refused > 50 and state.theta.isfinite().all() and bool((state.theta[:, 0] <= 1).all())
