r"""Stochastic gradient Hamiltonian Monte Carlo: underdamped Langevin dynamics from minibatches, two discretisations.

``d theta = m / M dt,  dm = grad log posterior(theta) dt - friction m dt + sqrt(2 friction T M) dW``

in steps of ``h``. A learning rate is ``h^2``, the momentum of SGD is about ``exp(-friction h)``: a schedule acts on
``h`` at a fixed friction, so that both change as they must.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.samplers.kernel import (
    add_noise,
    checked_friction,
    checked_mass,
    drift,
    kick,
    kinetic,
    started,
    thrown,
)
from apdlab.schedules import Schedule, step_sizes, temperatures
from apdlab.types import Batch, Info, Sampler, is_count


class State(NamedTuple):
    """Where the chains are, ``theta [C, D]``, their steps and ``momentum [C, D]``; ``noise [D]`` is room to draw in."""

    theta: Tensor
    step: int
    momentum: Tensor
    noise: Tensor


class WenzelScale(NamedTuple):
    """Settings on the scale of this package."""

    step_size: float
    friction: float


def sghmc(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float | Schedule,
    friction: float,
    temperature: float | Schedule = 1.0,
    mass: Tensor | float = 1.0,
) -> Sampler:
    """Build the SGHMC kernel in the splitting BAOAB: on a Gaussian its positions have the exact law at any stable step.

    ``m += h grad;  theta += h/2 m/M;  m = c m + sqrt((1 - c^2) T M) xi;  theta += h/2 m/M,   c = exp(-friction h)``

    The two half kicks of BAOAB that meet between steps are one, so a step costs one gradient. With an exact gradient
    and precision ``k`` the variance of ``theta`` is ``T / k`` and the mean of ``m^2 / M`` is ``T``, both exactly, while
    ``h^2 k / M < 4``; ``laws.sghmc`` says what noise in the gradient adds.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: ``h``, or a schedule of it.
        friction: How fast momentum is forgotten, per unit of time ``h``.
        temperature: ``T``, or a schedule of it; 1 is Bayes, 0 is descent with momentum.
        mass: ``M``: one number, or ``[D]``, or ``[C, D]``.

    Returns:
        A sampler of any number of chains. The momenta of the first step are drawn at its start, from the generators.

    Raises:
        ValueError: If the step size, the friction or a mass is not above 0, or the temperature is below 0.

    Source: Chen et al., 2014, Stochastic gradient Hamiltonian Monte Carlo, https://arxiv.org/abs/1402.4102;
    Leimkuhler & Matthews, 2013, Rational construction of stochastic numerical methods for molecular sampling,
    https://arxiv.org/abs/1203.5428

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> kernel = sghmc(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1, friction=1.0)
        >>> state, info = kernel.step(kernel.init(torch.zeros(4, 2)), None, streams(0, "noise", 4))
        >>> state.theta.shape, info.kinetic.shape
        (torch.Size([4, 2]), torch.Size([4]))
    """
    h_of, temperature_of = step_sizes(step_size), temperatures(temperature)
    friction, mass = checked_friction(friction), checked_mass(mass)
    root = mass**0.5

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, momentum, noise = state
        h, warmth = h_of(t), temperature_of(t)
        if t == 0:
            thrown(momentum, mass, warmth, generators)
        warm = kinetic(momentum, mass)
        value, heat = kick(log_posterior, theta, batch, momentum, h)
        c = math.exp(-friction * h)
        drift(theta, momentum, mass, h / 2)
        momentum.mul_(c)
        if warmth > 0:
            add_noise(momentum, noise, generators, math.sqrt((1 - c**2) * warmth), root)
        drift(theta, momentum, mass, h / 2)
        return State(theta, t + 1, momentum, noise), Info(value, h, heat, warm)

    return Sampler(_init, step)


def symplectic_euler(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float | Schedule,
    friction: float,
    temperature: float | Schedule = 1.0,
    mass: Tensor | float = 1.0,
) -> Sampler:
    """Build the kernel of Wenzel et al.: ``m = beta m + h grad + sqrt(2 (1 - beta) T M) xi;  theta += h m/M``.

    Here ``beta = 1 - friction h``. At temperature 0 and mass 1 it is SGD with momentum ``beta``. It is biased even
    where the curvature vanishes: its momenta are hot by ``2 / (1 + beta)``, and on a Gaussian of precision ``k`` the
    variance is ``(T / k) / (1 - h^2 k / (2 (1 + beta) M))``, stable while ``h^2 k / M < 2 (1 + beta)``.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: ``h``, or a schedule of it.
        friction: How fast momentum is forgotten, per unit of time ``h``.
        temperature: ``T``, or a schedule of it; 1 is Bayes, 0 is descent with momentum.
        mass: ``M``: one number, or ``[D]``, or ``[C, D]``.

    Returns:
        A sampler of any number of chains. The momenta of the first step are drawn at its start, from the generators.

    Raises:
        ValueError: If the step size, the friction or a mass is not above 0, the temperature is below 0, or
            ``friction h`` is above 1.

    Source: Wenzel et al., 2020, How good is the Bayes posterior in deep neural networks really?,
    https://arxiv.org/abs/2002.02405

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> scale = from_wenzel(lr=0.1, beta=0.9, n=1000)
        >>> kernel = symplectic_euler(lambda theta, batch: -0.5 * theta.square().sum(-1), *scale)
        >>> kernel.step(kernel.init(torch.zeros(4, 2)), None, streams(0, "noise", 4))[0].theta.shape
        torch.Size([4, 2])
    """
    h_of, temperature_of = step_sizes(step_size), temperatures(temperature)
    friction, mass = checked_friction(friction), checked_mass(mass)
    root = mass**0.5

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, momentum, noise = state
        h, warmth = h_of(t), temperature_of(t)
        if t == 0:
            thrown(momentum, mass, warmth, generators)
        warm = kinetic(momentum, mass)
        beta = euler_momentum(friction, h)
        value, heat = kick(log_posterior, theta, batch, momentum.mul_(beta), h)
        if warmth > 0:
            add_noise(momentum, noise, generators, math.sqrt(2 * (1 - beta) * warmth), root)
        drift(theta, momentum, mass, h)
        return State(theta, t + 1, momentum, noise), Info(value, h, heat, warm)

    return Sampler(_init, step)


def from_wenzel(lr: float, beta: float, n: int) -> WenzelScale:
    """Convert the settings of SGD with momentum on a mean loss: ``h = sqrt(lr / n)``, ``friction = (1 - beta) / h``.

    With them ``symplectic_euler`` has momentum ``beta``, and ``sghmc`` momentum ``exp(beta - 1)``.

    Args:
        lr: The learning rate, on the mean loss.
        beta: The momentum, in ``[0, 1)``.
        n: Examples in the set.

    Raises:
        ValueError: If ``lr`` is not above 0, ``beta`` is outside its range, or ``n`` is below 1.

    Source: Wenzel et al., 2020, https://arxiv.org/abs/2002.02405, appendix B

    Example:
        >>> from_wenzel(lr=0.1, beta=0.75, n=1000)
        WenzelScale(step_size=0.01, friction=25.0)
    """
    if not 0 < lr < math.inf:
        raise ValueError(f"lr is {lr}; wanted a finite number above 0")
    if not 0 <= beta < 1:
        raise ValueError(f"beta is {beta}; wanted a momentum in [0, 1), e.g. 0.9")
    if not is_count(n):
        raise ValueError(f"n is {n}; wanted the number of examples in the whole set, e.g. len(data.y)")
    h = math.sqrt(lr / n)
    return WenzelScale(h, (1 - beta) / h)


def euler_momentum(friction: float, step_size: float) -> float:
    """Give ``beta = 1 - friction h``.

    Raises:
        ValueError: If it is below 0.
    """
    beta = 1 - friction * step_size
    if beta < 0:
        raise ValueError(
            f"friction {friction:.3g} times step_size {step_size:.3g} is above 1; wanted a momentum of 0 or more: "
            "a smaller step_size or friction, or sghmc, which takes any"
        )
    return beta


def _init(theta: Tensor) -> State:
    start = started(theta)
    return State(start, 0, torch.zeros_like(start), torch.empty_like(start[0]))
