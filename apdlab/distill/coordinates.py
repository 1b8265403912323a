r"""Coordinates of draws: the weights themselves, or the few directions in which draws of many weights differ.

``theta = mean + (scale * y) @ basis + s * residual * xi``: ``y`` is what a distiller learns, the last term stands for
what the ``k`` directions leave out. ``raw``, ``standardised`` and ``pca`` are one choice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.draws import Draws
from apdlab.networks import Network
from apdlab.types import is_count

BLOCK = 32 * 2**20  # bytes of deviations that are made at a time


class Coordinates(NamedTuple):
    """Describe the draws of each of ``G`` chains, ``theta = mean + (scale * y) @ basis``, and say what that leaves out.

    Attributes:
        mean: ``[G, D]``, or ``[G, 1]`` for all weights alike.
        basis: Orthonormal rows, leading direction first, ``[G, k, D]``; None when coordinates are the weights.
        scale: What a coordinate is divided by, ``[G, k]``, or ``[G, 1]``.
        residual: Root mean square over each named tensor of the network of what is left out, ``[G, tensors]``.
    """

    mean: Tensor
    basis: Tensor | None
    scale: Tensor
    residual: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of mean, basis, scale and residual."""
        return sum(part.nbytes for part in self if part is not None)

    def of(self, chains: slice) -> "Coordinates":
        """Select those of some chains."""
        return Coordinates(*(None if part is None else part[chains] for part in self))

    def encode(self, theta: Tensor) -> Tensor:
        """Give the coordinates ``y [G, T, k]`` of weights ``[G, T, D]``."""
        if self.basis is None:
            return (theta - self.mean[:, None]).div_(self.scale[:, None])
        return _along(theta, self.mean, self.basis).div_(self.scale[:, None])

    def decode(self, y: Tensor) -> Tensor:
        """Give the weights ``[G, T, D]`` of coordinates ``y [G, T, k]``."""
        scaled = y * self.scale[:, None]
        return (
            self.mean[:, None] + scaled if self.basis is None else torch.baddbmm(self.mean[:, None], scaled, self.basis)
        )


def raw(theta: Tensor, network: Network) -> Coordinates:
    """Take the weights as they are for coordinates, as the APD paper does: ``y = theta``.

    Args:
        theta: Weights ``[G, T, D]``.
        network: Whose weights they are.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(2, 50, 9)
        >>> torch.equal(raw(theta, mlp(2, 3)).encode(theta), theta)
        True
    """
    _refuse_weights(theta, network)
    nothing = theta.new_zeros(len(theta), 1)
    return Coordinates(nothing, None, nothing + 1, theta.new_zeros(len(theta), len(network.shapes)))


def standardised(theta: Tensor, network: Network) -> Coordinates:
    """Take the weights for coordinates, each with mean 0 and variance 1: ``y_d = (theta_d - mean_d) / sd_d``.

    A weight that never moves keeps scale 1.

    Args:
        theta: Weights ``[G, T, D]``, ``T`` 2 or more.
        network: Whose weights they are.

    Raises:
        ValueError: If a chain has a single draw.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = 5 + 3 * torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> y = standardised(theta, mlp(2, 3)).encode(theta)
        >>> bool(y.mean(1).abs().max() < 1e-5), bool((y.std(1) - 1).abs().max() < 1e-5)
        (True, True)
    """
    _refuse_weights(theta, network)
    if theta.shape[1] < 2:
        raise ValueError(f"theta has {theta.shape[1]} draw a chain; wanted 2 or more, to have a spread")
    sd = theta.std(1)
    still = theta.new_zeros(len(theta), len(network.shapes))
    return Coordinates(theta.mean(1), None, torch.where(sd > 0, sd, 1), still)


def pca(theta: Tensor, network: Network, k: int, whitening: float = 0.5) -> Coordinates:
    """Find the ``k`` leading principal directions of each chain, and scale them.

    Coordinate ``j`` is divided by ``sd_j^w sd_1^(1 - w)``: ``w = 1`` makes all coordinates equal, ``w = 0`` keeps
    their proportions. In between, a critic sees small directions without mistaking them for large ones. Draws are
    centred a block at a time: beside them, which may be memory-mapped, this takes ``O(T^2 + k D)``.

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
    _refuse_weights(theta, network)
    draws, size = theta.shape[1:]
    if not is_count(k, min(draws - 1, size)):
        raise ValueError(f"k is {k}; wanted 1 to {min(draws - 1, size)}: {draws} draws span no more directions")
    if not 0 <= whitening <= 1:
        raise ValueError(f"whitening is {whitening}; wanted 0 (none) to 1 (full)")
    mean = theta.mean(1)
    basis = _leading_directions(theta, mean, k)
    codes = _along(theta, mean, basis)
    sd = codes.std(1)
    if not (sd > 1e-6 * sd[:, :1]).all() or not sd[:, 0].all():
        raise ValueError(
            f"k is {k}; wanted no more directions than the draws of each chain spread in: take a smaller k"
        )
    parts = ((away, basis[..., columns]) for away, columns in _by_columns(theta, mean))
    left_out = torch.cat([away.baddbmm_(codes, part, alpha=-1).square_().mean(1) for away, part in parts], -1)
    residual = torch.stack([part.flatten(1).mean(-1).sqrt() for part in network.unravel(left_out).values()], -1)
    return Coordinates(mean, basis, sd**whitening * sd[:, :1] ** (1 - whitening), residual)


def refuse_unlike(train: Chains, held_out: Chains, coordinates: Coordinates) -> None:
    """Refuse chains to hold out, or coordinates, that are not of the chains to learn from."""
    chains, size = len(train), train.network.size
    if (len(held_out), held_out.network.size) != (chains, size):
        seen = f"held_out has {len(held_out)} chains of {held_out.network.size:,} weights"
        raise ValueError(f"{seen}; wanted {chains} of {size:,}, as train has: train, held_out = chains.split(0.8)")
    if len(coordinates.mean) != chains or coordinates.mean.shape[1] not in (1, size):
        seen = f"coordinates have a mean of shape {tuple(coordinates.mean.shape)}"
        raise ValueError(f"{seen}; wanted {(chains, size)}, of train: pca(train.theta, train.network, k)")


def _refuse_weights(theta: Tensor, network: Network) -> None:
    if theta.ndim != 3 or theta.shape[-1] != network.size or theta.numel() == 0:
        wanted = f"[G, T, {network.size}], G chains of T draws, e.g. chains.theta"
        raise ValueError(f"theta has shape {tuple(theta.shape)}; wanted {wanted}")
    if not theta.sum().isfinite():
        raise ValueError("theta holds NaN or infinity; wanted finite weights; drop the chains that diverged")


def by_rows(theta: Tensor, mean: Tensor) -> Iterator[Tensor]:
    """Walk through deviations ``theta - mean``, some draws ``[G, t, D]`` at a time, each valid until the next."""
    rows = max(1, BLOCK // (theta[:, :1].numel() * theta.element_size()))
    room = theta.new_empty(theta[:, :rows].shape)  # one for all: fresh ones leave holes that none after them fits in
    for part in theta.split(rows, 1):
        yield torch.sub(part, mean[:, None], out=room[:, : part.shape[1]])


def _by_columns(theta: Tensor, mean: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Walk through deviations of some weights ``[G, T, d]`` at a time, and say of which; each valid until the next."""
    wide = max(1, BLOCK // (theta[..., :1].numel() * theta.element_size()))
    room, start = theta.new_empty(theta[..., :wide].shape), 0
    for part in theta.split(wide, -1):
        columns = slice(start, start := start + part.shape[-1])
        yield torch.sub(part, mean[:, None, columns], out=room[..., : part.shape[-1]]), columns


def _along(theta: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """Measure deviations along directions, ``[G, T, k]``."""
    return torch.cat([away @ basis.mT for away in by_rows(theta, mean)], 1)


def _leading_directions(theta: Tensor, mean: Tensor, k: int) -> Tensor:
    """Eigenvectors of the smaller of the two Gram matrices, in double precision."""
    draws, size = theta.shape[1:]
    if size <= draws:
        gram = sum(away.mT @ away for away in map(Tensor.double, by_rows(theta, mean)))
        return torch.linalg.eigh(gram)[1][..., -k:].mT.flip(1).to(theta.dtype)
    gram = sum((away @ away.mT).double() for away, _ in _by_columns(theta, mean))
    vectors = torch.linalg.eigh(gram)[1][..., -k:].mT.flip(1).to(theta.dtype)
    spanned = torch.cat([vectors @ away for away, _ in _by_columns(theta, mean)], -1)
    return torch.linalg.qr(spanned.mT)[0].mT


class Codes(Protocol):
    """What a distiller learned: a frozen dataclass of tensors that makes codes of ``G`` chains."""

    @property
    def nbytes(self) -> int:
        """Bytes of what it holds."""
        ...

    def __getitem__(self, chains: slice) -> "Codes":
        """Select what belongs to some chains."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give ``n`` codes of each chain, ``[G, n, k]``."""
        ...


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
            ``judge.match_disagreement``.
    """

    network: Network
    coordinates: Coordinates
    codes: Codes
    noise: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is needed to give draws: coordinates and what makes the codes."""
        return self.coordinates.nbytes + self.codes.nbytes + (0 if self.noise is None else self.noise.nbytes)

    def __len__(self) -> int:
        return len(self.coordinates.mean)

    def __iter__(self) -> Iterator["Distilled"]:
        """Walk through the generators, one at a time."""
        return (self[c : c + 1] for c in range(len(self)))

    def __getitem__(self, chains: slice) -> "Distilled":
        """Select the generators of some chains."""
        noise = None if self.noise is None else self.noise[chains]
        return Distilled(self.network, self.coordinates.of(chains), self.codes[chains], noise)

    def with_noise(self, noise: Tensor) -> "Distilled":
        """Give the same posterior with another ``s [G]``.

        Raises:
            ValueError: If the shape is another, or one is negative.
        """
        mean = self.coordinates.mean
        if noise.shape != mean.shape[:1] or not ((noise >= 0) & noise.isfinite()).all():
            raise ValueError(
                f"noise is {noise.tolist()}; wanted {len(mean)} factors of 0 or more, one a chain, all finite"
            )
        return replace(self, noise=noise.to(mean))

    def sample(self, n: int, *, generator: torch.Generator) -> Draws:
        """Give ``n`` draws, as many from each chain's generator as from the others (one more from the first ones).

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if not is_count(n):
            raise ValueError(f"n is {n}; wanted 1 draw or more, a whole number")
        mean, basis, scale, residual = self.coordinates
        y = self.codes.sample(-(-n // len(mean)), generator)
        spread = residual * (0 if self.noise is None else self.noise[:, None])
        if len(mean) == 1 and basis is not None and not spread.any():
            return Draws(self.network, (y * scale[:, None])[0], basis[0], mean[0])
        theta = self.coordinates.decode(y)
        if spread.any():
            for leaf, sd in zip(self.network.unravel(theta).values(), spread.unbind(-1), strict=True):
                xi = torch.randn(leaf.shape, generator=generator, device=leaf.device, dtype=leaf.dtype)
                leaf.addcmul_(xi, sd.view(-1, *[1] * (leaf.ndim - 1)))
        return Draws(self.network, theta.transpose(0, 1).flatten(0, 1)[:n])
