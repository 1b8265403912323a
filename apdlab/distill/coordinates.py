r"""Principal coordinates of draws: where distillers work, because a draw has many weights and few directions.

``theta = mean + (scale * y) @ basis + s * residual * xi``: ``y`` is what a distiller learns, the last term stands for
what the ``k`` directions leave out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.draws import Draws
from apdlab.networks import Network


class Coordinates(NamedTuple):
    """Principal coordinates of each of ``G`` chains, and what they leave out.

    Attributes:
        mean: ``[G, D]``.
        basis: Orthonormal rows, leading direction first, ``[G, k, D]``.
        scale: What a coordinate is divided by, ``[G, k]``.
        residual: Root mean square over each named tensor of the network of what is left out, ``[G, tensors]``.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor
    residual: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of mean, basis, scale and residual."""
        return sum(part.nbytes for part in self)

    def of(self, chains: slice) -> "Coordinates":
        """Select those of some chains."""
        return Coordinates(*(part[chains] for part in self))

    def encode(self, theta: Tensor) -> Tensor:
        """Give the coordinates ``y [G, T, k]`` of weights ``[G, T, D]``."""
        return (theta - self.mean[:, None]) @ self.basis.mT / self.scale[:, None]


def pca(theta: Tensor, network: Network, k: int, whitening: float = 0.5) -> Coordinates:
    """Find the ``k`` leading principal directions of each chain, and scale them.

    Coordinate ``j`` is divided by ``sd_j^w sd_1^(1 - w)``: ``w = 1`` makes all coordinates equal, ``w = 0`` keeps
    their proportions. In between, a critic sees small directions without mistaking them for large ones.

    Args:
        theta: Weights ``[G, T, D]``.
        network: Whose weights they are.
        k: How many directions, at most ``T - 1``.
        whitening: ``w``, from 0 to 1.

    Raises:
        ValueError: If ``k`` or ``whitening`` is out of range, or the draws have no spread in ``k`` directions.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> pca(theta, mlp(2, 3), k=4).encode(theta).shape
        torch.Size([2, 50, 4])
    """
    draws, size = theta.shape[1:]
    if not 1 <= k <= min(draws - 1, size):
        raise ValueError(f"k is {k}; wanted 1 to {min(draws - 1, size)}: {draws} draws span no more directions")
    if not 0 <= whitening <= 1:
        raise ValueError(f"whitening is {whitening}; wanted 0 (none) to 1 (full)")
    mean = theta.mean(1)
    centred = theta - mean[:, None]
    basis = _leading_directions(centred, k)
    codes = centred @ basis.mT
    sd = codes.std(1)
    if not (sd > 1e-6 * sd[:, :1]).all() or not sd[:, 0].all():
        raise ValueError(f"k is {k}; the draws of a chain spread in fewer directions: take a smaller k, or thin less")
    left_out = (centred - codes @ basis).square().mean(1)
    residual = torch.stack([part.flatten(1).mean(-1).sqrt() for part in network.unravel(left_out).values()], -1)
    return Coordinates(mean, basis, sd**whitening * sd[:, :1] ** (1 - whitening), residual)


def _leading_directions(centred: Tensor, k: int) -> Tensor:
    """Eigenvectors of the smaller of the two Gram matrices, in double precision."""
    draws, size = centred.shape[1:]
    if size <= draws:
        wide = centred.double()
        return torch.linalg.eigh(wide.mT @ wide)[1][..., -k:].mT.flip(1).to(centred.dtype)
    gram = torch.stack([(chain @ chain.T).double() for chain in centred])
    vectors = torch.linalg.eigh(gram)[1][..., -k:].mT.flip(1).to(centred.dtype)
    return torch.linalg.qr((vectors @ centred).mT)[0].mT


class Codes(NamedTuple):
    """What a distiller learned: ``sample(n, generator) -> y [G, n, k]``, and what it weighs in bytes."""

    sample: Callable[[int, torch.Generator], Tensor]
    nbytes: int


@dataclass(frozen=True)
class Distilled:
    """A posterior that stands for draws it no longer needs: codes in coordinates, mixed evenly over ``G`` chains.

    ``theta_g = mean_g + (scale_g * y_g) @ basis_g + noise * residual_g * xi``.

    Attributes:
        network: The network that the weights belong to.
        coordinates: Of each chain.
        codes: The learned part.
        noise: ``s [G]``, how much of the left-out spread is put back as independent noise, or None for none.
            Independent noise harms the function more than what was left out: the right number is below 1, see
            ``judge.match_noise``.
    """

    network: Network
    coordinates: Coordinates
    codes: Codes
    noise: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is needed to give draws: coordinates and what makes the codes."""
        return self.coordinates.nbytes + self.codes.nbytes + (0 if self.noise is None else self.noise.nbytes)

    def __getitem__(self, chains: slice) -> "Distilled":
        """Select the generators of some chains."""
        part = self.coordinates.of(chains)
        share = self.codes.nbytes * len(part.mean) // len(self.coordinates.mean)
        codes = Codes(lambda n, generator: self.codes.sample(n, generator)[chains], share)
        return replace(self, coordinates=part, codes=codes, noise=None if self.noise is None else self.noise[chains])

    def with_noise(self, noise: Tensor) -> "Distilled":
        """Give the same posterior with another ``s [G]``.

        Raises:
            ValueError: If the shape is another, or one is negative.
        """
        mean = self.coordinates.mean
        if noise.shape != mean.shape[:1] or not (noise >= 0).all():
            raise ValueError(f"noise is {noise.tolist()}; wanted {len(mean)} factors of 0 or more, one a chain")
        return replace(self, noise=noise.to(mean))

    def sample(self, n: int, *, generator: torch.Generator) -> Draws:
        """Give ``n`` draws, as many from each chain's generator as from the others (one more from the first ones).

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if n < 1:
            raise ValueError(f"n is {n}; wanted 1 draw or more")
        mean, basis, scale, residual = self.coordinates
        each = -(-n // len(mean))
        codes = self.codes.sample(each, generator) * scale[:, None]
        if len(mean) == 1 and self.noise is None:
            return Draws(self.network, codes[0], basis[0], mean[0])
        theta = torch.baddbmm(mean[:, None], codes, basis)
        if self.noise is not None:
            spread = (self.noise[:, None] * residual).unbind(-1)
            for leaf, sd in zip(self.network.unravel(theta).values(), spread, strict=True):
                xi = torch.randn(leaf.shape, generator=generator, device=leaf.device, dtype=leaf.dtype)
                leaf.addcmul_(xi, sd.view(-1, *[1] * (leaf.ndim - 1)))
        return Draws(self.network, theta.transpose(0, 1).flatten(0, 1)[:n])
