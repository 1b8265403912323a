"""Draws of weights, stored or made on demand, and what a posterior is: something that gives draws."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from apdlab.networks import Network
from apdlab.types import is_count, refuse_module


@dataclass(frozen=True)
class Draws:
    """Holds ``S`` networks of one architecture: ``theta = offset + codes @ basis``.

    Stored draws have ``codes [S, D]`` and no basis. Draws that lie in a ``k``-dimensional affine subspace (of a
    generator in principal coordinates, of a low-rank Gaussian) keep ``codes [S, k]``, ``basis [k, D]``, ``offset [D]``
    and are made chunk by chunk. Draws are themselves a ``Posterior``.

    Attributes:
        network: The network that the weights belong to.
        codes: ``[S, k]``, or the weights themselves, ``[S, D]``.
        basis: ``[k, D]``, or None.
        offset: ``[D]``, or None for 0.

    Raises:
        ValueError: If the shapes do not fit together or to the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws = Draws(mlp(2, 3), torch.zeros(100, 9))
        >>> len(draws.thin(10)), draws.nbytes
        (10, 3600)
    """

    network: Network
    codes: Tensor
    basis: Tensor | None = None
    offset: Tensor | None = None

    def __post_init__(self) -> None:
        refuse_module(self.network)
        if self.codes.ndim != 2 or len(self.codes) == 0:
            raise ValueError(f"codes has shape {tuple(self.codes.shape)}; wanted [S, k] with at least one draw")
        size, wide = self.network.size, self.codes.shape[-1]
        if self.basis is None and wide != size:
            raise ValueError(f"codes has {wide:,} columns; wanted the {size:,} weights of the network, or a basis")
        if self.basis is not None and self.basis.shape != (wide, size):
            raise ValueError(f"basis has shape {tuple(self.basis.shape)}; wanted {(wide, size)}")
        if self.offset is not None and self.offset.shape != (size,):
            raise ValueError(f"offset has shape {tuple(self.offset.shape)}; wanted {(size,)}")

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: slice | Tensor) -> "Draws":
        """Select draws by a slice or a tensor of indices; basis and offset are shared."""
        return replace(self, codes=self.codes[index])

    @property
    def theta(self) -> Tensor:
        """The weights ``[S, D]``, all at once."""
        theta = self.codes if self.basis is None else self.codes @ self.basis
        return theta if self.offset is None else theta + self.offset

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is needed to make these draws: codes, basis and offset."""
        return sum(part.nbytes for part in (self.codes, self.basis, self.offset) if part is not None)

    def thin(self, n: int) -> "Draws":
        """Keep ``n`` draws, evenly spaced.

        Raises:
            ValueError: If there are fewer than ``n``.
        """
        self._check(n)
        return self[(2 * torch.arange(n, device=self.codes.device) + 1) * len(self) // (2 * n)]

    def sample(self, n: int, *, generator: torch.Generator) -> "Draws":
        """Keep ``n`` draws chosen at random without replacement.

        Raises:
            ValueError: If there are fewer than ``n``.
        """
        self._check(n)
        chosen = torch.randperm(len(self), generator=generator, device=generator.device)[:n]
        return self[chosen.to(self.codes.device)]

    def chunks(self, size: int) -> Iterator["Draws"]:
        """Walk through the draws, at most ``size`` at a time.

        Raises:
            ValueError: If ``size`` is below 1.
        """
        if not is_count(size):
            raise ValueError(f"size is {size}; wanted 1 or more draws a chunk, a whole number")
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def _check(self, n: int) -> None:
        if not is_count(n, len(self)):
            raise ValueError(
                f"n is {n}; wanted 1 to {len(self)}, as many draws as there are: draw more, or ask for fewer"
            )


class Posterior(Protocol):
    """Anything that gives draws of weights, and says what it weighs."""

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is needed to give draws."""
        ...

    def sample(self, n: int, *, generator: torch.Generator) -> Draws:
        """Give ``n`` draws."""
        ...
