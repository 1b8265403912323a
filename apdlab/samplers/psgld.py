r"""Preconditioned SGLD (Li et al., 2016): a step of its own for every coordinate, from the size of its gradients.

``V <- decay V + (1 - decay) grad^2,  G = damping / (damping + sqrt(V))``
``theta <- theta + eps / 2 G grad log posterior(theta) + sqrt(eps T G) xi``

What is left out. A ``G`` that follows the chain depends on ``theta``, and the target stays only with a further drift
``eps T / 2 Gamma``, ``Gamma_d = dG_d / d theta_d``. That needs the diagonal of the Hessian, and the paper drops it. The
``Gamma`` that it writes down, the derivative of this step's ``G`` at a given ``V``, would not do either: in small steps
with exact gradients ``V`` is the square of the gradient here and now, and that derivative is smaller by ``1 - decay``.
Without it the chain has the density ``p(theta)^(1/T) (damping + |grad|)``: on a Gaussian and with a small ``damping``
up to twice the variance (``tests/test_sampler_orders.py`` and ``benchmarks/sampler_bias.py`` measure it). Here ``V`` is
frozen after ``adapt`` steps: what comes then is SGLD in other units, and nothing is left out.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.samplers.kernel import add_noise, kick, started
from apdlab.schedules import Schedule, step_sizes, temperatures
from apdlab.types import Batch, Info, Sampler


class State(NamedTuple):
    """Chains ``theta [C, D]``, their steps, ``V``: ``square [C, D]``; ``noise`` is room to work in."""

    theta: Tensor
    step: int
    square: Tensor
    noise: Tensor


def psgld(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    step_size: float | Schedule,
    temperature: float | Schedule = 1.0,
    *,
    damping: float,
    adapt: float,
    decay: float = 0.99,
) -> Sampler:
    """Build the pSGLD kernel: ``theta += eps / 2 G grad log posterior + sqrt(eps T G) xi``.

    Draws of the first ``adapt`` steps are burn-in: their law is not the target (see above). From then on the law on a
    Gaussian is ``laws.sgld`` with ``eps G`` for ``eps``.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        step_size: ``eps``, or a schedule of it.
        temperature: ``T``, or a schedule of it; 1 is Bayes.
        damping: The size of a gradient, on the sum scale, at which ``G`` is 1/2; well below it ``G`` is 1. The paper's
            lambda times ``n``.
        adapt: Steps in which ``V`` follows the gradients; ``math.inf`` is the paper's sampler, without its correction.
        decay: How much of ``V`` is kept in a step.

    Returns:
        A sampler of any number of chains. One step costs one gradient per chain. ``V`` starts as the square of the
        first gradient.

    Raises:
        ValueError: If a number is outside its range.

    Source: Li et al., 2016, Preconditioned stochastic gradient Langevin dynamics for deep neural networks,
    https://arxiv.org/abs/1512.07666

    Example:
        >>> import torch
        >>> from apdlab.streams import streams
        >>> kernel = psgld(lambda theta, batch: -0.5 * theta.square().sum(-1), 0.1, damping=1.0, adapt=100)
        >>> kernel.step(kernel.init(torch.ones(4, 2)), None, streams(0, "noise", 4))[0].square[0]
        tensor([1., 1.])
    """
    eps_of, temperature_of = step_sizes(step_size), temperatures(temperature)
    if not 0 < damping < math.inf:
        raise ValueError(f"damping is {damping}; wanted a finite size of a gradient above 0")
    if not adapt >= 1:
        raise ValueError(f"adapt is {adapt}; wanted 1 step or more, or math.inf for the paper's biased sampler")
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}; wanted a number in [0, 1), e.g. 0.99")

    def init(theta: Tensor) -> State:
        start = started(theta)
        return State(start, 0, torch.zeros_like(start), torch.empty_like(start))

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        theta, t, square, noise = state
        eps, warmth = eps_of(t), temperature_of(t)
        grad = noise.zero_()
        value, heat = kick(log_posterior, theta, batch, grad, 1.0)
        if t < adapt:
            square.lerp_(grad.square(), 1 - decay if t else 1.0)
        gain = damping / (damping + square.sqrt())
        theta.addcmul_(gain, grad, value=eps / 2)
        if warmth > 0:
            add_noise(theta, noise[0], generators, math.sqrt(eps * warmth), gain.sqrt())
        return State(theta, t + 1, square, noise), Info(value, eps, heat)

    return Sampler(init, step)
