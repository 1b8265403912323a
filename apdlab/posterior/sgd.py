r"""Stochastic gradient descent to modes of the posterior: one start gives a point estimate, several a deep ensemble.

On the mean scale, ``L(theta) = -log posterior(theta) / n``, so that learning rates are those of ordinary training:

``v <- mu v + grad L(theta),  theta <- theta - eta_t (grad L(theta) + mu v),  eta_t = eta (1 + cos(pi t / steps)) / 2``

A member depends on its start and its minibatches alone. Starts drawn by ``network.init`` and ``batches`` with one chain
a member are what a deep ensemble varies (Lakshminarayanan, Pritzel & Blundell, 2017, Simple and scalable predictive
uncertainty estimation using deep ensembles, https://arxiv.org/abs/1612.01474); it trains on no adversarial examples.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from apdlab.density import LogDensity, value_and_grad
from apdlab.draws import Draws
from apdlab.samplers.run import Diverged
from apdlab.types import Batch, Cost, is_count


def fit(
    log_posterior: LogDensity,
    start: Tensor,
    batches: Callable[[int], Batch],
    *,
    steps: int,
    learning_rate: float,
    momentum: float = 0.9,
) -> tuple[Draws, Cost]:
    """Descend ``-log posterior / n`` from each start, the learning rate falling to 0 as half a cosine.

    Args:
        log_posterior: A ``LogDensity``, or any ``(theta [C, D], batch) -> [C]`` that has its ``network`` and ``n``.
        start: Where the members start, ``[C, D]``; ``C = 1`` gives a point estimate.
        batches: ``step -> Batch``, with one chain a member.
        steps: How many, 1 or more.
        learning_rate: ``eta``, on the mean scale.
        momentum: ``mu`` of Nesterov's momentum; 0 is plain descent.

    Returns:
        The ``C`` members as draws, and the cost, ``C steps`` gradients.

    Raises:
        ValueError: If the start has no axis of members, or a setting is out of range.
        Diverged: When a member is not finite: names the step, the member, the learning rate.

    Example:
        >>> import torch
        >>> from apdlab.data import batches, data
        >>> from apdlab.likelihoods import gaussian
        >>> from apdlab.priors import gaussian_prior
        >>> from apdlab.networks import mlp
        >>> network, x = mlp(1, 1), torch.arange(-2.0, 3)
        >>> log_posterior = LogDensity(network, gaussian(noise=1.0), gaussian_prior(network, 1e-6), n=5)
        >>> draw = batches(data(x, 3 * x), None, seed=0)
        >>> members, cost = fit(log_posterior, torch.ones(4, 2), draw, steps=200, learning_rate=0.1)
        >>> round(float(members.theta[0, 0]), 2), cost.gradient_evaluations
        (3.0, 800)
    """
    begin = time.perf_counter()
    rates = {"learning_rate": learning_rate, "momentum": momentum, "decay": partial(CosineAnnealingLR, T_max=steps)}
    *_, theta = descend(log_posterior, start, batches, n=log_posterior.n, steps=steps, **rates)
    return Draws(log_posterior.network, theta), Cost(steps * len(start), time.perf_counter() - begin)


def descend(
    log_posterior: Callable[[Tensor, Batch], Tensor],
    start: Tensor,
    batches: Callable[[int], Batch],
    *,
    n: int,
    steps: int,
    learning_rate: float,
    momentum: float,
    decay: Callable[[Optimizer], LRScheduler],
) -> Iterator[Tensor]:
    """Descend ``-log posterior / n`` and yield the weights ``[C, D]`` after each step, valid until the next one."""
    if start.ndim != 2:
        raise ValueError(f"start has shape {tuple(start.shape)}; wanted [C, D], one row a member, e.g. theta[None]")
    if not start.is_floating_point():
        raise ValueError(f"start has dtype {start.dtype}; wanted weights: start.float(), or network.init(generator)")
    _refuse_settings(steps, learning_rate, momentum)
    theta = start.detach().clone()
    optimiser = SGD([theta], learning_rate, momentum=momentum, nesterov=momentum > 0)
    schedule = decay(optimiser)
    for step in range(steps):
        value, grad = value_and_grad(log_posterior, theta, batches(step))
        theta.grad = grad / -n
        optimiser.step()
        schedule.step()
        _refuse_non_finite(value + theta.sum(-1), step + 1, learning_rate)
        yield theta


def _refuse_settings(steps: int, learning_rate: float, momentum: float) -> None:
    if not is_count(steps):
        raise ValueError(f"steps is {steps}; wanted a whole number of 1 or more")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}; wanted a finite number above 0, e.g. 0.1")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}; wanted 0 (none) or more and below 1, e.g. 0.9")


def _refuse_non_finite(values: Tensor, number: int, learning_rate: float) -> None:
    finite = values.isfinite()
    if not finite.all():
        member = int((~finite).nonzero()[0])
        raise Diverged(
            f"member {member} is not finite at step {number} with learning_rate {learning_rate:.3g}: "
            f"try learning_rate {learning_rate / 4:.2g}, or inputs scaled to [-1, 1]"
        )


def alone(start: Tensor) -> Tensor:
    """View the weights ``[D]`` of one network as a stack of one."""
    if start.ndim != 1:
        raise ValueError(f"start has shape {tuple(start.shape)}; wanted [D], one network, e.g. theta[0]")
    return start[None]
