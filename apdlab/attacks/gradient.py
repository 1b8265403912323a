"""What all attacks share: the loss and its gradient, the set that they may not leave, restarts, and refusals."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apdlab.attacks.norms import Norm
from apdlab.types import is_count

Loss = Callable[[Any, Tensor], Tensor]


def loss_and_grad(predictor: Callable[[Tensor], Any], x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Compute the loss of each example, and its gradient in the input.

    Args:
        predictor: A differentiable function of ``x``.
        x: Inputs ``[N, ...]``.
        y: Labels ``[N]``.
        loss: ``(output, y) -> [N]``.

    Returns:
        ``[N]``, and ``[N, ...]`` like ``x``.

    Raises:
        ValueError: If the predictor has no gradient in ``x``.

    Example:
        >>> import torch
        >>> x, y = torch.ones(2, 3), torch.zeros(2).long()
        >>> loss_and_grad(lambda x: x, x, y, lambda out, y: out.square().sum(-1))[1][0]
        tensor([2., 2., 2.])
    """
    size = getattr(predictor, "at_once", len)(x)  # what it keeps for the backward, it keeps of so many inputs
    parts = [_of_some(predictor, *some, loss) for some in zip(x.split(size), y.split(size), strict=True)]
    values, grads = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(grads)


def _of_some(predictor: Callable[[Tensor], Any], x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        values = loss(predictor(x), y)
    if not values.requires_grad:
        fix = "predictor(draws) has one; attacks.square needs none"
        raise ValueError(f"predictor has no gradient in x; wanted a differentiable function of x: {fix}")
    return values.detach(), torch.autograd.grad(values.sum(), x)[0]


def within(at: Tensor, x: Tensor, eps: float, norm: Norm, box: tuple[float, float]) -> Tensor:
    """Move points back to ``|at - x| <= eps`` and into the box, which leaves them no farther from ``x``."""
    return (x + norm.project(at - x, eps)).clamp(*box)


def best_of(
    run: Callable[[Tensor, Tensor], Tensor],
    predictor: Callable[[Tensor], Any],
    loss: Loss,
    x: Tensor,
    y: Tensor,
    *,
    restarts: int,
    enough: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Run an attack several times and keep of each example the result with the largest loss.

    Examples whose loss is above ``enough`` are not attacked again.

    Raises:
        ValueError: If there is no generator, without which all runs are the same.
    """
    if restarts > 1 and generator is None:
        raise ValueError(f"restarts is {restarts} without a generator; wanted one: all runs would start at x")

    def value(x: Tensor, y: Tensor) -> Tensor:
        return loss(predictor(x), y).detach()

    best = run(x, y)
    top = value(best, y) if restarts > 1 else None
    for _ in range(restarts - 1):
        left = (top <= enough).nonzero()[:, 0]
        if len(left) == 0:
            break
        found = run(x[left], y[left])
        new = value(found, y[left])
        better = new > top[left]
        best[left[better]], top[left[better]] = found[better], new[better]
    return best


def start(x: Tensor, eps: float, norm: Norm, generator: torch.Generator | None, box: tuple[float, float]) -> Tensor:
    """Give a random point in the ball and the box, or ``x`` itself."""
    return x.detach().clone() if generator is None else (x + eps * norm.inside(x, generator)).clamp(*box)


def refuse(x: Tensor, y: Tensor, eps: float, box: tuple[float, float], **counts: int) -> None:
    """Refuse what no attack can start from."""
    if not 0 <= eps < torch.inf:
        raise ValueError(f"eps is {eps}; wanted a finite size of 0 or more, in units of the data")
    if not (x.is_floating_point() and x.ndim > 1 and len(x) > 0):
        raise ValueError(f"x is {x.dtype} {list(x.shape)}; wanted floating inputs [N, ...] with N of 1 or more")
    if y.shape != x.shape[:1] or y.dtype != torch.long:
        raise ValueError(f"y is {y.dtype} {list(y.shape)}; wanted torch.int64 [{len(x)}], a label for each input")
    if not (box[0] <= x.min() and x.max() <= box[1]):
        seen = f"x has values from {x.min():.3g} to {x.max():.3g}"
        raise ValueError(f"{seen}; wanted all within box {tuple(box)}: pass the box of your data")
    for name, count in counts.items():
        if not is_count(count):
            raise ValueError(f"{name} is {count}; wanted 1 or more, a whole number")
