r"""Hamiltonian Monte Carlo on the whole set: no bias from the step, the gold standard for small problems.

Momenta are thrown afresh, a leapfrog trajectory is followed, and its end is taken with probability
``min(1, exp(-dH / T))``, ``H = -log posterior(theta) + m'm / 2``: its draws have density
``exp(log posterior / T)`` exactly.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.density import value_and_grad
from apdlab.samplers.kernel import configurational, kinetic, started, thrown
from apdlab.schedules import constant
from apdlab.types import Batch, Info, Sampler

JITTER = 0.2  # steps vary by so much, evenly: a trajectory of fixed length may be a whole period of the target


class Tuning(NamedTuple):
    """Dual averaging, one number a chain ``[C]``: log step, its running mean, the mean shortfall of acceptance."""

    log_step: Tensor
    log_mean: Tensor
    shortfall: Tensor


class State(NamedTuple):
    """Where the chains are, ``theta [C, D]``, their moves, ``momentum [C, D]`` to be thrown, and their step sizes."""

    theta: Tensor
    step: int
    momentum: Tensor
    tuning: Tuning


def hmc(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float,
    leapfrogs: int,
    warm_up: int,
    temperature: float = 1.0,
    target: float = 0.8,
) -> Sampler:
    """Build the HMC kernel: each chain has a step size of its own, found in the warm-up and then frozen.

    Batches must be the whole set, ``batches(data, None, ...)``: the acceptance of a minibatch is of another target.
    Moves of the warm-up are burn-in. A trajectory that leaves the numbers is refused, and the chain stays.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: Of a leapfrog, where the search starts.
        leapfrogs: In a trajectory; a move costs one gradient more.
        warm_up: Moves in which step sizes are tuned; 0 keeps ``step_size``.
        temperature: ``T``, above 0; 1 is Bayes.
        target: The acceptance that the tuning aims at.

    Returns:
        A sampler of any number of chains. ``info.acceptance [C]`` is each chain's; ``info.step_size`` the mean.

    Raises:
        ValueError: If a number is outside its range.

    Source: Neal, 2011, MCMC using Hamiltonian dynamics, https://arxiv.org/abs/1206.1901; dual averaging as in Hoffman &
    Gelman, 2014, The No-U-Turn sampler, https://arxiv.org/abs/1111.4246, algorithm 5

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> kernel = hmc(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1, leapfrogs=10, warm_up=0)
        >>> state, info = kernel.step(kernel.init(torch.zeros(4, 2)), None, streams(0, "noise", 4))
        >>> bool((info.acceptance > 0.99).all())
        True
    """
    constant(step_size)
    if leapfrogs < 1 or warm_up < 0:
        raise ValueError(f"leapfrogs, warm_up are {leapfrogs}, {warm_up}; wanted 1 or more, and 0 or more")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; wanted a finite number above 0 (1 is Bayes)")
    if not 0 < target < 1:
        raise ValueError(f"target is {target}; wanted an acceptance in (0, 1), e.g. 0.8")

    def init(theta: Tensor) -> State:
        start = started(theta)
        log_step = torch.full_like(start[:, 0], math.log(step_size))
        return State(start, 0, torch.zeros_like(start), Tuning(log_step, log_step.clone(), torch.zeros_like(log_step)))

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, momentum, tuning = state
        thrown(momentum, 1.0, temperature, generators)
        chance, jitter = _uniform(theta, generators).unbind(-1)
        h = (tuning.log_step if t < warm_up else tuning.log_mean).exp() * (1 + JITTER * (2 * jitter - 1))
        value, grad = value_and_grad(log_posterior, theta, batch)
        configuration, before = configurational(theta, grad), kinetic(momentum, 1.0)
        end, last, end_value = _leapfrog(log_posterior, theta, momentum, grad, h[:, None], leapfrogs, batch)
        gain = end_value - value - (last.square() - momentum.square()).sum(-1) / 2
        acceptance = (gain / temperature).exp().clamp(max=1).nan_to_num(nan=0.0)
        theta.copy_(torch.where((chance < acceptance)[:, None], end, theta))
        if t < warm_up:
            tuning = _tuned(tuning, t + 1, target - acceptance, math.log(10 * step_size))
        return State(theta, t + 1, momentum, tuning), Info(value, float(h.mean()), configuration, before, acceptance)

    return Sampler(init, step)


def _leapfrog(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    theta: Tensor,
    momentum: Tensor,
    grad: Tensor,
    h: Tensor,
    count: int,
    batch: Batch,
) -> tuple[Tensor, Tensor, Tensor]:
    """Follow a trajectory: ``m += h/2 grad; theta += h m; m += h/2 grad``, again and again."""
    for _ in range(count):
        momentum = momentum + h / 2 * grad
        theta = theta + h * momentum
        value, grad = value_and_grad(log_posterior, theta, batch)
        momentum = momentum + h / 2 * grad
    return theta, momentum, value


def _tuned(tuning: Tuning, t: int, shortfall: Tensor, centre: float) -> Tuning:
    """Move the log step sizes against the mean shortfall so far, and average them (Hoffman & Gelman, 2014)."""
    weight, forget = 1 / (t + 10), t**-0.75
    mean = (1 - weight) * tuning.shortfall + weight * shortfall
    log_step = centre - math.sqrt(t) / 0.05 * mean
    return Tuning(log_step, forget * log_step + (1 - forget) * tuning.log_mean, mean)


def _uniform(theta: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Two numbers in ``[0, 1)`` a chain, ``[C, 2]``."""
    numbers = theta.new_empty(len(theta), 2)
    for row, generator in zip(numbers, generators, strict=True):
        row.uniform_(generator=generator)
    return numbers
