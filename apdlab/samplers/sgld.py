r"""Stochastic gradient Langevin dynamics (Welling & Teh, 2011).

On the one scale of this package, with ``U = -log posterior`` summed over the whole set:

``theta <- theta + eps / 2 * grad log posterior(theta) + sqrt(eps T) xi,  xi ~ N(0, I)``
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.samplers.kernel import add_noise, kick, started
from apdlab.schedules import Schedule, step_sizes, temperatures
from apdlab.types import Batch, Info, Sampler, is_count


class State(NamedTuple):
    """Where the chains are, ``theta [C, D]``, and how many steps they took; ``noise [D]`` is room to draw in."""

    theta: Tensor
    step: int
    noise: Tensor


class APDScale(NamedTuple):
    """Settings on the scale of this package."""

    step_size: float
    precision: float


def sgld(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float | Schedule,
    temperature: float | Schedule = 1.0,
) -> Sampler:
    """Build the SGLD kernel: ``theta += eps / 2 grad log posterior + sqrt(eps T) xi``.

    With a constant step it has a bias of its own: on a Gaussian of precision ``k`` the variance is
    ``(T / k) / (1 - eps k / 4)``, stable while ``eps k < 4``; ``laws.sgld`` has it with noise in the gradient.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: ``eps``, or a schedule of it.
        temperature: ``T``, or a schedule of it; 1 is Bayes, 0 is gradient descent.

    Returns:
        A sampler of any number of chains. One step costs one gradient per chain.

    Raises:
        ValueError: If the step size is not above 0 or the temperature is below 0.

    Source: Welling & Teh, 2011, Bayesian learning via stochastic gradient Langevin dynamics,
    https://www.stats.ox.ac.uk/~teh/research/compstats/WelTeh2011a.pdf

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
        >>> state, info = kernel.step(kernel.init(torch.zeros(4, 2)), None, streams(0, "noise", 4))
        >>> state.theta.shape, info.log_posterior
        (torch.Size([4, 2]), tensor([-0., -0., -0., -0.]))
    """
    eps_of, temperature_of = step_sizes(step_size), temperatures(temperature)

    def init(theta: Tensor) -> State:
        start = started(theta)
        return State(start, 0, torch.empty_like(start[0]))

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, noise = state
        eps, warmth = eps_of(t), temperature_of(t)
        value, heat = kick(log_posterior, theta, batch, theta, eps / 2)
        if warmth > 0:
            add_noise(theta, noise, generators, math.sqrt(eps * warmth))
        return State(theta, t + 1, noise), Info(value, eps, heat)

    return Sampler(init, step)


def from_apd(lr: float, weight_decay: float, n: int) -> APDScale:
    """Convert the settings of the APD paper's code to this scale: ``eps = lr / n``, ``precision = n weight_decay``.

    Its update ``theta -= lr / 2 (grad mean CE + weight_decay theta) + N(0, lr / n)`` is SGLD at temperature 1 with that
    step and a Gaussian prior of that precision.

    Args:
        lr: Its learning rate, on the mean loss.
        weight_decay: Its L2 factor, on the mean loss.
        n: Examples in the set.

    Raises:
        ValueError: If a number is outside its range.

    Source: Wang et al., 2018, Adversarial distillation of Bayesian neural network posteriors,
    https://arxiv.org/abs/1806.10317

    Example:
        >>> from_apd(lr=0.05, weight_decay=0.001, n=50_000)
        APDScale(step_size=1e-06, precision=50.0)
    """
    if not (0 < lr < math.inf and 0 <= weight_decay < math.inf and is_count(n)):
        raise ValueError(
            f"lr, weight_decay, n are {lr}, {weight_decay}, {n}; wanted numbers above 0 (weight_decay may be 0), and "
            "the number of examples in the whole set"
        )
    return APDScale(lr / n, n * weight_decay)


def relaxation_steps(step_size: float, precision: float) -> float:
    """Count the steps in which SGLD forgets a start in directions that only the prior holds: ``2 / (eps precision)``.

    Every chain needs a burn-in of several of these, and a length of many more, before its draws are a posterior.

    Raises:
        ValueError: If a number is not above 0.

    Example:
        >>> round(relaxation_steps(1e-6, 50.0))
        40000
    """
    if not (0 < step_size < math.inf and 0 < precision < math.inf):
        raise ValueError(f"step_size, precision are {step_size}, {precision}; wanted finite numbers above 0")
    return 2 / (step_size * precision)
