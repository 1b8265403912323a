r"""Stochastic gradient Nose-Hoover thermostats: a friction that adapts until the momenta have their temperature.

``d theta = m dt,  dm = grad log posterior dt - xi m dt + sqrt(2 A T) dW,  d xi = (m'm / D - T) dt``

Noise in the gradient heats the momenta; the thermostat ``xi``, one number a chain, rises above ``A`` and takes the heat
away, without knowing how much it is. It is one number: noise that differs between directions it only balances in sum.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.samplers.kernel import add_noise, checked_friction, kick, kinetic, started, thrown
from apdlab.schedules import Schedule, step_sizes, temperatures
from apdlab.types import Batch, Info, Sampler


class State(NamedTuple):
    """Chains ``theta [C, D]``, their steps, ``momentum [C, D]``, thermostats ``xi [C, 1]``, room for ``noise [D]``."""

    theta: Tensor
    step: int
    momentum: Tensor
    xi: Tensor
    noise: Tensor


def sgnht(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float | Schedule,
    friction: float,
    temperature: float | Schedule = 1.0,
) -> Sampler:
    """Build the SGNHT kernel in the splitting BADODAB: SGHMC with a friction ``xi`` that adapts.

    ``m += h grad;  theta += h/2 m;  xi += h/2 (m'm/D - T);  m = c m + sqrt((1 - c^2) T A / xi) eta;``
    ``xi += h/2 (m'm/D - T);  theta += h/2 m,   c = exp(-xi h)``

    With an exact gradient and many coordinates of precision ``k`` the variance is ``T / k`` while ``h^2 k < 4``;
    ``laws.sgnht`` says how little noise in the gradient adds.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: ``h``, or a schedule of it.
        friction: ``A``: how much noise is added, and where ``xi`` starts.
        temperature: ``T``, or a schedule of it; 1 is Bayes.

    Returns:
        A sampler of any number of chains. The momenta of the first step are drawn at its start, from the generators.

    Raises:
        ValueError: If the step size or the friction is not above 0, or the temperature is below 0.

    Source: Ding et al., 2014, Bayesian sampling using stochastic gradient thermostats,
    https://papers.nips.cc/paper/5592; Leimkuhler & Shang, 2016, Adaptive thermostats for noisy gradient systems,
    https://arxiv.org/abs/1505.06889

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> kernel = sgnht(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1, friction=1.0)
        >>> kernel.step(kernel.init(torch.zeros(4, 2)), None, streams(0, "noise", 4))[0].xi.shape
        torch.Size([4, 1])
    """
    h_of, temperature_of, friction = step_sizes(step_size), temperatures(temperature), checked_friction(friction)

    def init(theta: Tensor) -> State:
        start = started(theta)
        xi = torch.full_like(start[:, :1], friction)
        return State(start, 0, torch.zeros_like(start), xi, torch.empty_like(start[0]))

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, momentum, xi, noise = state
        h, warmth = h_of(t), temperature_of(t)
        if t == 0:
            thrown(momentum, 1.0, warmth, generators)
        warm = kinetic(momentum, 1.0)
        value, heat = kick(log_posterior, theta, batch, momentum, h)
        theta.add_(momentum, alpha=h / 2)
        xi.add_(kinetic(momentum, 1.0)[:, None] - warmth, alpha=h / 2)
        momentum.mul_((-h * xi).exp())
        if warmth > 0:
            add_noise(momentum, noise, generators, 1.0, (warmth * friction * _heard(xi, h)).sqrt())
        xi.add_(kinetic(momentum, 1.0)[:, None] - warmth, alpha=h / 2)
        theta.add_(momentum, alpha=h / 2)
        return State(theta, t + 1, momentum, xi, noise), Info(value, h, heat, warm)

    return Sampler(init, step)


def _heard(xi: Tensor, h: float) -> Tensor:
    """``(1 - c^2) / xi``, whose limit at ``xi = 0`` is ``2 h``."""
    away = torch.where(xi == 0, torch.finfo(xi.dtype).tiny ** 0.5, xi)
    return -torch.expm1(-2 * h * away) / away
