"""A search without gradients: random squares that are kept when the loss grows. Masked gradients do not stop it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apdlab.attacks.gradient import Loss, refuse
from apdlab.attacks.losses import margin
from apdlab.attacks.norms import LINF, uniform

_HALVED = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries


@torch.no_grad()
def square(
    predictor: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    generator: torch.Generator,
    queries: int = 1000,
    share: float = 0.8,
    loss: Loss = margin,
    enough: float = 0.0,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Attack by the Square attack in the l-infinity norm: only values of the loss are used.

    It starts from random vertical stripes of ``+-eps``; each query moves a random square of pixels to ``x +- eps`` and
    keeps it if the loss has grown. Squares shrink: ``share`` of the image at first, halved by a schedule.

    Args:
        predictor: What to attack; it needs no gradient.
        x: Images ``[N, C, H, W]`` inside the box.
        y: Labels ``[N]``.
        eps: Size of the perturbation, in units of the data.
        generator: Of the squares.
        queries: How many values of the loss each example may take.
        share: Of the pixels in the first square.
        loss: What is to grow.
        enough: An example whose loss is above this leaves; 0, with ``margin``, is the first success.
        box: Smallest and largest value of the data.

    Returns:
        ``x'``, like ``x``.

    Raises:
        ValueError: If ``eps`` is below 0, ``x`` is outside the box or no images, or ``queries`` is no count.

    Source: Andriushchenko et al. (2020), Square attack: a query-efficient black-box adversarial attack via random
    search, https://arxiv.org/abs/1912.00049

    Example:
        >>> import torch
        >>> x, y, g = torch.zeros(1, 1, 2, 2), torch.tensor([0]), torch.Generator().manual_seed(0)
        >>> square(lambda x: x.flatten(1), x, y, eps=0.5, generator=g).abs()[0, 0, 0]
        tensor([0.5000, 0.5000])
    """
    refuse(x, y, eps, box, queries=queries)
    if x.ndim != 4:
        raise ValueError(f"x has shape {list(x.shape)}; wanted images [N, C, H, W]: squares are of pixels")
    at = _vertices(x, eps, x[:, :, :1], generator, box)
    top = loss(predictor(at), y)
    for query in range(1, queries):
        left = (top <= enough).nonzero()[:, 0]
        if len(left) == 0:
            break
        side = _side(share, query / queries, x.shape[2:])
        patch = _vertices(x[left], eps, x[left][:, :, :1, :1], generator, box)
        tried = torch.where(_square(x[left], side, generator), patch, at[left])
        value = loss(predictor(tried), y[left])
        better = value > top[left]
        at[left[better]], top[left[better]] = tried[better], value[better]
    return at


def _vertices(x: Tensor, eps: float, like: Tensor, generator: torch.Generator, box: tuple[float, float]) -> Tensor:
    """Move ``x`` by ``+-eps``, with one sign for each entry of ``like``."""
    sign = LINF.edge(like, generator)
    return (x + eps * sign).clamp(*box)


def _side(share: float, done: float, size: tuple[int, int]) -> int:
    share /= 2 ** sum(done > limit / 10_000 for limit in _HALVED)
    return min(max(1, round(math.sqrt(share * math.prod(size)))), *size)


def _square(x: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Mark one square of pixels in each image, ``[N, 1, H, W]``."""
    corner = uniform(x[:, 0, :2, 0].new_empty(len(x), 2), generator)
    inside = []
    for axis, length in enumerate(x.shape[2:]):
        first = (corner[:, axis] * (length - side + 1)).long()[:, None]
        place = torch.arange(length, device=x.device)
        inside.append((place >= first) & (place < first + side))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
