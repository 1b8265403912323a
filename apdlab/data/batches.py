"""Minibatches as index selections from a set that lives in two tensors on the device."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from apdlab.streams import stream
from apdlab.types import Batch, Data, is_count

Batches = Callable[[int], Batch]


def batches(data: Data, size: int | None, *, seed: int, chains: int = 1) -> Batches:
    """Make ``step -> Batch``: each chain walks through the set in its own order, shuffled anew in every epoch.

    A batch depends on ``(seed, chain, step)`` alone, so any step can be asked for at any time: a resumed run sees the
    same minibatches. The ``n mod size`` last examples of an epoch's order wait for the next one.

    Args:
        data: The set, ``x [n, ...]`` and ``y [n, ...]``.
        size: Examples a minibatch, or None for the whole set in every step.
        seed: The seed of the run.
        chains: How many chains.

    Returns:
        A function of the step number that gives ``Batch(x [C, B, ...], y [C, B, ...], index [C, B])``;
        with ``size=None`` the leading axis is 1.

    Raises:
        ValueError: If ``x`` and ``y`` differ in length, ``size`` is below 1 or larger than the set, ``chains`` is below
            1, or the seed is negative.

    Example:
        >>> import torch
        >>> draw = batches(Data(torch.arange(6.0)[:, None], torch.arange(6)), 2, seed=0, chains=4)
        >>> draw(0).x.shape
        torch.Size([4, 2, 1])
    """
    if not is_count(chains):
        raise ValueError(f"chains is {chains}; wanted a whole number of 1 or more")
    n = len(data.y)
    if len(data.x) != n:
        raise ValueError(f"y has {n:,} rows and x {len(data.x):,}; wanted one row of y for each of x")
    if size is not None and not is_count(size, n):
        raise ValueError(f"size is {size}; wanted a minibatch of 1 to {n:,} examples, as many as the set has")
    stream(seed, "batches")  # refuses a seed that is none
    return Minibatches(data, size, seed, chains)


@dataclass(frozen=True, eq=False)
class Minibatches:
    """What ``batches`` returns: its settings, which say all of it, and the orders of the epoch that it is in."""

    data: Data = field(repr=False)
    size: int | None
    seed: int
    chains: int
    _orders: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, step: int) -> Batch:
        """Give the batch of a step."""
        x, y = self.data
        if self.size is None:
            return Batch(x[None], y[None], self._order(0))
        epoch, place = divmod(step, len(y) // self.size)
        index = self._order(epoch)[:, place * self.size : (place + 1) * self.size]
        return Batch(_take(x, index), _take(y, index), index)

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders.clear()
            self._orders[epoch] = self._rows(epoch).to(self.data.y.device)
        return self._orders[epoch]

    def _rows(self, epoch: int) -> Tensor:
        n = len(self.data.y)
        if self.size is None:
            return torch.arange(n)[None]
        generators = (stream(self.seed, f"batches/{epoch}", chain) for chain in range(self.chains))
        return torch.stack([torch.randperm(n, generator=generator) for generator in generators])


def own_batches(data: Data, size: int | None, *, seed: int) -> Batches:
    """Make ``step -> Batch`` for chains that learn from a set each, all of as many examples.

    The orders are those of :func:`batches`: they depend on ``(seed, chain, step)`` alone. While the sets are no larger
    than a minibatch, all of them is one.

    Args:
        data: The sets, ``x [C, n, ...]`` and ``y [C, n, ...]``.
        size: Examples a minibatch, or None for the whole sets in every step.
        seed: The seed of the run.

    Returns:
        A function of the step number that gives ``Batch(x [C, B, ...], y [C, B, ...], index [C, B])``; the index is of
        rows of the chain's own set.

    Raises:
        ValueError: If ``x`` and ``y`` differ in the first two axes, ``size`` is below 1, or the seed is negative.

    Example:
        >>> import torch
        >>> sets = Data(torch.zeros(4, 6, 1), torch.zeros(4, 6).long())
        >>> own_batches(sets, 2, seed=0)(0).x.shape, own_batches(sets, 100, seed=0)(0).x.shape
        (torch.Size([4, 2, 1]), torch.Size([4, 6, 1]))
    """
    x, y = data
    if y.ndim < 2 or x.shape[:2] != y.shape[:2]:
        raise ValueError(f"y has shape {tuple(y.shape)}, x {tuple(x.shape)}; wanted [C, n, ...], a set for each chain")
    chains, n = y.shape[:2]
    rows = torch.arange(n, device=y.device)
    whole = size is None or (is_count(size) and size >= n)
    return OwnMinibatches(data, batches(Data(rows, rows), None if whole else size, seed=seed, chains=chains))


@dataclass(frozen=True, eq=False)
class OwnMinibatches:
    """What ``own_batches`` returns: the sets, and where in them each chain is."""

    data: Data = field(repr=False)
    places: Minibatches

    def __call__(self, step: int) -> Batch:
        """Give the batch of a step."""
        x, y = self.data
        index = self.places(step).index
        if self.places.size is None:
            return Batch(x, y, index.expand(len(y), -1))
        chain = torch.arange(len(y), device=y.device)[:, None]
        return Batch(x[chain, index], y[chain, index], index)


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index.flatten()).unflatten(0, index.shape)
