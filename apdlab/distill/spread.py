r"""Moments of draws that are seen once: mean, covariance in coordinates, and how much lies outside of them.

Source: Chan, Golub and LeVeque, 1983, Algorithms for computing the sample variance,
https://doi.org/10.1080/00031305.1983.10483115
"""

from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.distill.coordinates import Coordinates, by_rows
from apdlab.networks import Network


class Spread(NamedTuple):
    """What is remembered of ``n`` draws of each of ``G`` chains, in coordinates; none of it grows with ``n``.

    Attributes:
        n: How many.
        mean: Of the weights, ``[G, D]``.
        inside: ``n`` times the covariance of the codes, ``[G, k, k]``, ``k = 0`` where weights are the coordinates.
        outside: ``n`` times the variance of what coordinates leave out, mean over each named tensor, ``[G, tensors]``.
    """

    n: int
    mean: Tensor
    inside: Tensor
    outside: Tensor


def spread_of(theta: Tensor, network: Network, coordinates: Coordinates) -> Spread:
    """Measure draws ``theta [G, T, D]`` that are at hand.

    Example:
        >>> import torch
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> spread_of(theta, mlp(2, 3), pca(theta, mlp(2, 3), k=4)).inside.shape
        torch.Size([2, 4, 4])
    """
    mean = theta.mean(1)
    parts = zip(*(_squares(away, network, coordinates) for away in by_rows(theta, mean)), strict=True)
    return Spread(theta.shape[1], mean, *map(sum, parts))


def seen(spread: Spread, theta: Tensor, network: Network, coordinates: Coordinates) -> Spread:
    """Add one draw of each chain, ``theta [G, D]``: squares grow by ``n / (n + 1) (theta - mean)^2``.

    Example:
        >>> import torch
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(1, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> axes = pca(theta, network, k=4)
        >>> early, whole = (spread_of(part, network, axes) for part in (theta[:, :-1], theta))
        >>> torch.allclose(seen(early, theta[:, -1], network, axes).outside, whole.outside)
        True
    """
    n, away = spread.n, theta - spread.mean
    inside, outside = _squares(away[:, None], network, coordinates)
    weight = n / (n + 1)
    return Spread(
        n + 1, spread.mean + away / (n + 1), spread.inside + weight * inside, spread.outside + weight * outside
    )


def moments(spread: Spread, coordinates: Coordinates) -> tuple[Tensor, Tensor]:
    """Give mean ``[G, k]`` and covariance ``[G, k, k]`` of the codes."""
    return coordinates.encode(spread.mean[:, None])[:, 0], spread.inside / spread.n


def settled(coordinates: Coordinates, spread: Spread) -> Coordinates:
    """Keep the directions, and take from the draws seen what lies outside of them: mean and residual.

    Codes stay what they are: the mean moves at right angles to the basis.
    """
    if coordinates.basis is None:
        return coordinates
    mean = coordinates.mean + _outside(spread.mean[:, None] - coordinates.mean[:, None], coordinates)[1][:, 0]
    residual = (spread.outside / spread.n).sqrt().to(coordinates.residual.dtype)
    return coordinates._replace(mean=mean, residual=residual)


def share_outside(spread: Spread, network: Network, coordinates: Coordinates) -> Tensor:
    """Give the share of the variance of all weights that the coordinates leave out, ``[G]``."""
    if coordinates.basis is None:
        return torch.zeros(len(spread.mean), dtype=torch.float64)
    sizes = spread.outside.new_tensor([shape.numel() for shape in network.shapes.values()])
    out = (spread.outside * sizes).sum(-1)
    kept = (spread.inside.diagonal(dim1=-2, dim2=-1) * coordinates.scale.double().square()).sum(-1)
    return out / (out + kept)


def _squares(away: Tensor, network: Network, coordinates: Coordinates) -> tuple[Tensor, Tensor]:
    """Sum squares of deviations ``[G, T, D]``: ``[G, k, k]`` in coordinates, ``[G, tensors]`` outside."""
    if coordinates.basis is None:
        nothing = away.new_zeros(len(away), 0, 0, dtype=torch.float64)
        return nothing, away.new_zeros(len(away), len(network.shapes), dtype=torch.float64)
    codes, out = _outside(away, coordinates)
    parts = network.unravel(out.square_().sum(1).double()).values()
    codes = codes.double()
    return codes.mT @ codes, torch.stack([part.flatten(1).mean(-1) for part in parts], -1)


def _outside(away: Tensor, coordinates: Coordinates) -> tuple[Tensor, Tensor]:
    """Cut deviations ``[G, T, D]`` into codes and what lies at right angles to the basis."""
    along = away @ coordinates.basis.mT
    return along / coordinates.scale[:, None], (along @ coordinates.basis).neg_().add_(away)
