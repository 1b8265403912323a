"""Projected gradient ascent: small steps, each put back into the ball and the box."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from apdlab.attacks.gradient import Loss, best_of, loss_and_grad, refuse, start, within
from apdlab.attacks.losses import cross_entropy
from apdlab.attacks.norms import LINF, Norm


def pgd(
    predictor: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    norm: Norm = LINF,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    loss: Loss = cross_entropy,
    enough: float = torch.inf,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Attack by steps ``x <- project(x + a steepest(grad loss))``, from ``x`` itself or random points around it.

    Args:
        predictor: What to attack, e.g. ``predictor(draws)``; ``predictor(draws, mean_log)`` for the mean of losses.
        x: Inputs ``[N, ...]`` inside the box.
        y: Labels ``[N]``.
        eps: Size of the perturbation, in units of the data.
        steps: How many.
        step_size: ``a``, by default ``2.5 eps / steps``.
        norm: In which it is measured: ``LINF``, or ``L2``.
        restarts: Runs, of which the one with the largest loss counts for each example.
        generator: Of random starts in the ball; None starts at ``x``.
        loss: What is to grow.
        enough: An example whose loss is above this is left as it is: 0, with ``margin``, stops at the first success,
            which changes no success into a failure.
        box: Smallest and largest value of the data.

    Returns:
        ``x'``, like ``x``.

    Raises:
        ValueError: If ``eps`` is below 0, ``x`` is outside the box, the predictor has no gradient, or restarts have no
            generator.

    Source: Madry et al. (2018), Towards deep learning models resistant to adversarial attacks,
    https://arxiv.org/abs/1706.06083

    Example:
        >>> import torch
        >>> pgd(lambda x: x.log_softmax(-1), torch.tensor([[0.5, 0.0]]), torch.tensor([0]), eps=0.25, steps=3)
        tensor([[0.2500, 0.2500]])
    """
    refuse(x, y, eps, box, steps=steps, restarts=restarts)
    back = partial(within, eps=eps, norm=norm, box=box)
    grad = partial(loss_and_grad, predictor, loss=loss)
    size = 2.5 * eps / steps if step_size is None else step_size

    def run(x: Tensor, y: Tensor) -> Tensor:
        at = start(x, eps, norm, generator, box)
        active = torch.arange(len(x), device=x.device)
        for _ in range(steps):
            value, slope = grad(at[active], y[active])
            active, slope = active[value <= enough], slope[value <= enough]
            if len(active) == 0:
                break
            at[active] = back(at[active] + size * norm.steepest(slope), x[active])
        return at

    return best_of(run, predictor, loss, x, y, restarts=restarts, enough=enough, generator=generator)
