"""Minibatches as index selections from a set that lives in two tensors on the device."""

from collections.abc import Callable

import torch

from apdlab.streams import stream
from apdlab.types import Batch, Data

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
        ValueError: If ``size`` is below 1 or larger than the set, or ``chains`` is below 1.

    Example:
        >>> import torch
        >>> draw = batches(Data(torch.arange(6.0)[:, None], torch.arange(6)), 2, seed=0, chains=4)
        >>> draw(0).x.shape
        torch.Size([4, 2, 1])
    """
    if chains < 1:
        raise ValueError(f"chains is {chains}; wanted 1 or more")
    n = len(data.y)
    if size is None:
        whole = Batch(data.x[None], data.y[None], torch.arange(n, device=data.y.device)[None])
        return lambda step: whole
    if not 1 <= size <= n:
        raise ValueError(f"size is {size}; wanted a minibatch of 1 to {n:,} examples, as many as the set has")
    orders: dict[int, torch.Tensor] = {}

    def order(epoch: int) -> torch.Tensor:
        if epoch not in orders:
            orders.clear()
            shuffles = [torch.randperm(n, generator=stream(seed, f"batches/{epoch}", c)) for c in range(chains)]
            orders[epoch] = torch.stack(shuffles).to(data.y.device)
        return orders[epoch]

    def draw(step: int) -> Batch:
        epoch, place = divmod(step, n // size)
        index = order(epoch)[:, place * size : (place + 1) * size]
        return Batch(_take(data.x, index), _take(data.y, index), index)

    return draw


def _take(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return values.index_select(0, index.flatten()).unflatten(0, index.shape)
