"""Projected gradient ascent that chooses its step itself: it halves where the loss no longer grows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apdlab.attacks.gradient import Loss, best_of, loss_and_grad, refuse, start, within
from apdlab.attacks.losses import margin
from apdlab.attacks.norms import LINF, Norm, along

MOMENTUM, RISES = 0.75, 0.75  # alpha and rho of the paper


class _State(NamedTuple):
    """Where each example is, was, was best, with loss and gradient there; its step; the last checkpoint."""

    x: Tensor
    y: Tensor
    at: Tensor
    before: Tensor
    value: Tensor
    grad: Tensor
    best: Tensor
    top: Tensor
    top_grad: Tensor
    step: Tensor
    rises: Tensor
    top_then: Tensor
    halved_then: Tensor


def apgd(
    predictor: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    steps: int = 50,
    norm: Norm = LINF,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    loss: Loss = margin,
    enough: float = torch.inf,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Attack by Auto-PGD: steps with momentum, first of ``2 eps``, halved by rule; returns the best point met.

    At checkpoints, ever nearer to each other, an example's step is halved and it goes back to its best point if fewer
    than three quarters of the steps since then made the loss grow, or if neither step nor best loss has changed.

    Args:
        predictor: What to attack, e.g. ``predictor(draws)``.
        x: Inputs ``[N, ...]`` inside the box.
        y: Labels ``[N]``.
        eps: Size of the perturbation, in units of the data.
        steps: How many.
        norm: In which it is measured: ``LINF``, or ``L2``.
        restarts: Runs, of which the one with the largest loss counts for each example.
        generator: Of random starts in the ball; None starts at ``x``.
        loss: What is to grow.
        enough: An example whose loss is above this leaves at the next checkpoint, e.g. 0 with ``margin``.
        box: Smallest and largest value of the data.

    Returns:
        ``x'``, like ``x``.

    Raises:
        ValueError: If ``eps`` is below 0, ``x`` is outside the box, the predictor has no gradient, or restarts have no
            generator.

    Source: Croce and Hein (2020), Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks, algorithm 1, https://arxiv.org/abs/2003.01690

    Example:
        >>> import torch
        >>> apgd(lambda x: x.log_softmax(-1), torch.tensor([[0.5, 0.0]]), torch.tensor([0]), eps=0.25, steps=3)
        tensor([[0.2500, 0.2500]])
    """
    refuse(x, y, eps, box, steps=steps, restarts=restarts)
    back = partial(within, eps=eps, norm=norm, box=box)
    grad = partial(loss_and_grad, predictor, loss=loss)

    def run(x: Tensor, y: Tensor) -> Tensor:
        at = start(x, eps, norm, generator, box)
        result, active = at.clone(), torch.arange(len(x), device=x.device)
        s, share = _begin(x, y, at, *grad(at, y), eps), 1.0
        for count in _checkpoints(steps):
            for _ in range(count):
                s, share = _move(s, share, grad, back, norm), MOMENTUM
            s, stays = _check(s, count), s.top <= enough
            result[active] = s.best
            s, active = _State(*(part[stays] for part in s)), active[stays]
            if len(active) == 0:
                break
        return result

    return best_of(run, predictor, loss, x, y, restarts=restarts, enough=enough, generator=generator)


def _begin(x: Tensor, y: Tensor, at: Tensor, value: Tensor, grad: Tensor, eps: float) -> _State:
    none = torch.zeros(len(x), dtype=torch.long, device=x.device)
    step = torch.full((len(x),), 2 * eps, dtype=x.dtype, device=x.device)
    return _State(x, y, at, at, value, grad, at, value, grad, step, none, value, none == 0)


def _move(s: _State, share: float, grad: Callable, back: Callable, norm: Norm) -> _State:
    """Take a share of one step, the rest as before."""
    ahead = back(s.at + along(s.step, s.x) * norm.steepest(s.grad), s.x)
    at = back(s.at + share * (ahead - s.at) + (1 - share) * (s.at - s.before), s.x)
    value, slope = grad(at, s.y)
    best = value > s.top
    return s._replace(
        at=at,
        before=s.at,
        value=value,
        grad=slope,
        best=_choose(best, at, s.best),
        top=torch.where(best, value, s.top),
        top_grad=_choose(best, slope, s.top_grad),
        rises=s.rises + (value > s.value),
    )


def _check(s: _State, count: int) -> _State:
    """Halve the step of examples that rose too seldom, or that stand still, and put them back to their best point."""
    halve = (s.rises < RISES * count) | (~s.halved_then & (s.top <= s.top_then))
    return s._replace(
        at=_choose(halve, s.best, s.at),
        value=torch.where(halve, s.top, s.value),
        grad=_choose(halve, s.top_grad, s.grad),
        step=torch.where(halve, s.step / 2, s.step),
        rises=torch.zeros_like(s.rises),
        top_then=s.top,
        halved_then=halve,
    )


def _checkpoints(steps: int) -> Iterator[int]:
    """Cut the steps: first 22 % of them, then 3 % less each time, but 6 % at least."""
    count, least, less = (max(1, int(share * steps)) for share in (0.22, 0.06, 0.03))
    while steps > 0:
        yield min(count, steps)
        steps -= count
        count = max(count - less, least)


def _choose(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(along(mask, yes), yes, no)
