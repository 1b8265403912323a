"""The ladder: what a sampler's step and its draws must be, as checks of a namespace of kernels.

A check takes ``ns``, with the public names of ``apdlab.samplers``, ``apdlab.density`` and ``apdlab.priors`` (of this
package, or broken on purpose), and a seed, and raises AssertionError. Rung 1 (``algebra.py``): a step is its formula.
Rung 2: on a Gaussian, where a step is a linear map, the law found by probing the step is the closed form. Rung 3: draws
have that law.

Random checks end in p-values that are exact (normal, chi-square, binomial; of SGNHT up to 1 / D). There are at most
``COUNT`` of them, each two-sided at ``ALPHA / COUNT``, so that right samplers fail with a probability of at most
``ALPHA`` in all.
"""

import math
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import algebra
import torch
from algebra import normal, same
from scipy import stats
from scipy.linalg import solve_discrete_lyapunov
from torch import nn

import apdlab.density
import apdlab.priors
import apdlab.samplers
from apdlab.likelihoods import gaussian
from apdlab.networks import Network
from apdlab.samplers import laws
from apdlab.streams import stream, streams
from apdlab.types import Batch

ALPHA, COUNT = 1e-4, 200
NAMES = SimpleNamespace(**(vars(apdlab.density) | vars(apdlab.priors) | vars(apdlab.samplers)))
p_values = []


def likely(cdf, sf):
    """Assert that a statistic is not too far out on either side."""
    p_values.append(min(1.0, 2 * min(cdf, sf)))
    assert p_values[-1] > ALPHA / COUNT, f"p = {p_values[-1]:.2g}"


def likely_mean_square(total, count, variance):
    """Assert that a sum of squares of independent ``N(0, variance)`` is likely."""
    law = stats.chi2(count, scale=variance)
    likely(law.cdf(float(total)), law.sf(float(total)))


def likely_gaussian(theta, variance):
    """Assert that mean, mean square and the share within a standard deviation are those of ``N(0, variance)``."""
    count = theta.numel()
    mean, sd = stats.norm(scale=math.sqrt(count * variance)), math.sqrt(variance)
    likely(mean.cdf(float(theta.sum())), mean.sf(float(theta.sum())))
    likely_mean_square(theta.square().sum(), count, variance)
    within = stats.binom(count, stats.norm.cdf(1) - stats.norm.cdf(-1))
    inside = int((theta.abs() < sd).sum())
    likely(within.cdf(inside), within.sf(inside - 1))


# Rungs 2 and 3: a Gaussian of precision K, the posterior of the mean of ROWS rows under a prior -----------------------

ROWS, WEIGHT, T = 3, 2.0, 2.5
K = ROWS + WEIGHT


def gaussian_target(ns, wide=1):
    network = Network(nn.Linear(1, wide, bias=False, dtype=torch.float64))
    return ns.LogDensity(network, gaussian(1.0), ns.gaussian_prior(network, WEIGHT), ROWS)


def batch_of(y):
    """A minibatch of one row, ``y [C, D]``, whose deviation from 0 is noise ``ROWS y`` in the gradient."""
    return Batch(torch.ones(len(y), 1, 1, dtype=torch.float64), y[:, None], None)


class Linear(NamedTuple):
    """A kernel whose step is linear, its law given the variance of gradient noise, its mass, steps until it mixed."""

    make: object
    law: object
    mass: float = 1.0
    steps: int = 0


def sgld_case(curvature, steps):
    eps = curvature / K
    return Linear(lambda ns, f: ns.sgld(f, eps, T), partial(laws.sgld, eps, K, T), steps=steps)


def psgld_case(curvature, steps):
    """``V = 0.25`` from the start, so that ``G = 2 / 3`` with a damping of 1."""
    eps = curvature / K
    make = lambda ns, f: ns.psgld(f, eps, T, damping=1.0, adapt=1)  # noqa: E731
    return Linear(make, partial(laws.sgld, eps * 2 / 3, K, T), steps=steps)


def momentum_case(name, x, damped, mass, steps):
    h = math.sqrt(x * mass / K)
    make = lambda ns, f: getattr(ns, name)(f, h, damped / h, T, mass)  # noqa: E731
    return Linear(make, lambda s2: getattr(laws, name)(h, damped / h, K, T, s2, mass), mass, steps)


LINEAR = {
    "sgld eps k=0.02": sgld_case(0.02, 0),
    "sgld eps k=0.6": sgld_case(0.6, 25),
    "sgld eps k=2.5": sgld_case(2.5, 8),
    "psgld eps k=1.2": psgld_case(1.2, 18),
    "sghmc h^2 k=0.01": momentum_case("sghmc", 0.01, 0.02, 1.0, 0),
    "sghmc h^2 k=0.8": momentum_case("sghmc", 0.8, 0.7, 1.0, 40),
    "sghmc h^2 k=3 M=4": momentum_case("sghmc", 3.0, 0.5, 4.0, 60),
    "symplectic_euler h^2 k=0.01": momentum_case("symplectic_euler", 0.01, 0.02, 1.0, 0),
    "symplectic_euler h^2 k=0.8": momentum_case("symplectic_euler", 0.8, 0.5, 1.0, 40),
    "symplectic_euler h^2 k=1.5 M=4": momentum_case("symplectic_euler", 1.5, 0.4, 4.0, 60),
}


def settled(state):
    """Past the first step, with what a sampler adapts at rest."""
    return state._replace(step=1, **({"square": state.square * 0 + 0.25} if hasattr(state, "square") else {}))


def probed(ns, case, noise, seed):
    """The step as ``s <- F s + G xi + E e``, ``s = (theta, m)``, and its stationary covariance."""
    kernel = case.make(ns, gaussian_target(ns))
    rows = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    state = settled(kernel.init(rows[:, :1]))
    names = ["theta", "momentum"] if hasattr(state, "momentum") else ["theta"]
    if len(names) == 2:
        state = state._replace(momentum=rows[:, 1:2].clone())
    state, _ = kernel.step(state, batch_of(rows[:, 2:]), [stream(seed, "noise") for _ in rows])
    ends = torch.cat([getattr(state, name) for name in names], 1)
    xi = torch.randn(1, generator=stream(seed, "noise"), dtype=torch.float64)
    step, heat, jolt = (ends[1 : 1 + len(names)] - ends[0]).T, ends[:1].T / xi, (ends[3:] - ends[0]).T
    return solve_discrete_lyapunov(step.numpy(), (heat @ heat.T + noise * jolt @ jolt.T).numpy())


def the_probed_law_is_the_closed_form(ns, seed, name):
    for noise in (0.0, 0.4):
        case = LINEAR[name]
        covariance, law = probed(ns, case, noise, seed), case.law(noise * ROWS**2)
        same(covariance[0, 0], law.variance, rtol=1e-8)
        if law.kinetic is not None:
            same(covariance[1, 1] / case.mass, law.kinetic, rtol=1e-8)


def walked(kernel, theta, steps, noise, seed):
    """The last state, and the last info, of steps with noise in the gradient."""
    chains, wide = theta.shape
    generators, jolts = streams(seed, "noise", chains), stream(seed, "jolts")
    state = kernel.init(theta)
    state = settled(state) if hasattr(state, "square") else state
    for _ in range(steps):
        y = torch.randn(chains, wide, generator=jolts, dtype=torch.float64) * noise**0.5
        state, info = kernel.step(state, batch_of(y), generators)
    return state, info


def draws_have_the_law(ns, seed, name, noise):
    case, chains, wide = LINEAR[name], 2, 20_000
    law, count = case.law(noise * ROWS**2), chains * wide
    start = law.variance**0.5 * normal(chains, wide, seed=seed)
    state, info = walked(case.make(ns, gaussian_target(ns, wide)), start, case.steps, noise, seed)
    likely_gaussian(state.theta, law.variance)
    if law.kinetic is not None:
        likely_mean_square(info.kinetic.sum() * wide, count, law.kinetic)
    if noise == 0:
        likely_mean_square(info.configurational.sum() * wide, count, K * law.variance)


def draws_of_sgnht_have_the_law(ns, seed, noise):
    h, chains, wide = 0.4, 2, 20_000
    kernel, law = ns.sgnht(gaussian_target(ns, wide), h, 1.0, T), laws.sgnht(h, 1.0, K, T, noise * ROWS**2)
    start = law.variance**0.5 * normal(chains, wide, seed=seed)
    state, _ = walked(kernel, start, 120, noise, seed)
    likely_gaussian(state.theta, law.variance)


def draws_of_hmc_are_of_the_target(ns, seed):
    chains, wide = 400, 40
    kernel = ns.hmc(gaussian_target(ns, wide), 1.2 / K**0.5, 3, 0, T)
    state, info = walked(kernel, (T / K) ** 0.5 * normal(chains, wide, seed=seed), 15, 0.0, seed)
    assert 0.2 < info.acceptance.mean() < 0.95
    likely_gaussian(state.theta, T / K)


CHECKS = {
    **algebra.CHECKS,
    **{f"2 {name}": partial(the_probed_law_is_the_closed_form, name=name) for name in LINEAR},
    **{
        f"3 {name}, noise {noise}": partial(draws_have_the_law, name=name, noise=noise)
        for name, case in LINEAR.items()
        for noise in (0.0, 0.4)
        if case.steps
    },
    **{f"3 sgnht, noise {noise}": partial(draws_of_sgnht_have_the_law, noise=noise) for noise in (0.0, 0.2)},
    "3 hmc": draws_of_hmc_are_of_the_target,
}
