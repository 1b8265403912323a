"""Two ways to measure a perturbation, and what an attack needs of each: size, projection, direction, random point."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_LEAST = 1e-12  # a gradient of 0 stays 0


class Norm(NamedTuple):
    """What an attack needs of a norm, on perturbations ``[N, ...]``.

    Attributes:
        size: ``delta -> [N]``.
        project: ``(delta, eps) -> delta``, the nearest (in the plane) of size ``eps`` or less.
        steepest: ``gradient -> delta`` of size 1 along which the loss grows fastest.
        inside: ``(like, generator) -> delta``, uniform in the ball of size 1.
        edge: ``(like, generator) -> delta``, of size 1: random corners of the cube, uniform on the sphere.
    """

    size: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, float], Tensor]
    steepest: Callable[[Tensor], Tensor]
    inside: Callable[[Tensor, torch.Generator], Tensor]
    edge: Callable[[Tensor, torch.Generator], Tensor]


def _length(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1)


def along(values: Tensor, like: Tensor) -> Tensor:
    """View a value for each example ``[N]`` so that it multiplies ``like [N, ...]``."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _shorten(delta: Tensor, eps: float) -> Tensor:
    return delta * along((eps / _length(delta).clamp_min(_LEAST)).clamp_max(1), delta)


def _direction(gradient: Tensor) -> Tensor:
    return gradient / along(_length(gradient).clamp_min(_LEAST), gradient)


def uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw numbers in [0, 1) in the shape, type and place of a tensor, from a generator of any place."""
    return torch.rand(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def _sphere(like: Tensor, generator: torch.Generator) -> Tensor:
    normal = torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    return _direction(normal.to(like.device))


def _disc(like: Tensor, generator: torch.Generator) -> Tensor:
    radius = uniform(like.flatten(1)[:, 0], generator) ** (1 / like[0].numel())
    return _sphere(like, generator) * along(radius, like)


LINF = Norm(
    size=lambda delta: delta.flatten(1).abs().amax(1),
    project=lambda delta, eps: delta.clamp(-eps, eps),
    steepest=torch.sign,
    inside=lambda like, generator: 2 * uniform(like, generator) - 1,
    edge=lambda like, generator: torch.where(uniform(like, generator) < 0.5, -1.0, 1.0).to(like),
)
L2 = Norm(size=_length, project=_shorten, steepest=_direction, inside=_disc, edge=_sphere)
