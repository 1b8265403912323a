"""A bounded buffer of draws per chain: whatever is offered, it holds no more than its capacity.

What happens when it is full is a rule, a function: ``reservoir`` holds a uniform sample of all that was offered,
``fifo`` the last ones.

Source: Vitter, 1985, Random sampling with a reservoir, https://doi.org/10.1145/3147.3165 (algorithm R)
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.types import is_count

Rule = Callable[[int, int, int, torch.Generator], Tensor]


class Buffer(NamedTuple):
    """Draws ``[C, capacity, D]``, replaced in place, and how many were offered; the rest of the memory is free."""

    items: Tensor
    offered: int

    def held(self) -> Tensor:
        """View what it holds, ``[C, min(offered, capacity), D]``."""
        return self.items[:, : self.offered]


def empty(theta: Tensor, capacity: int) -> Buffer:
    """Make a buffer for draws like ``theta [C, D]``; all its memory is taken now.

    Raises:
        ValueError: If the capacity is no whole number of 1 or more.

    Example:
        >>> import torch
        >>> empty(torch.zeros(4, 9), 20).held().shape
        torch.Size([4, 0, 9])
    """
    if not is_count(capacity):
        raise ValueError(f"capacity is {capacity}; wanted a whole number of 1 or more, e.g. 200")
    return Buffer(theta.new_zeros(len(theta), capacity, theta.shape[-1]), 0)


def offer(buffer: Buffer, theta: Tensor, rule: Rule, rng: torch.Generator) -> Buffer:
    """Offer one draw of each chain, ``theta [C, D]``; once the buffer is full, the rule says which ones go.

    Args:
        buffer: Used up: what is returned has its memory.
        theta: The draws.
        rule: ``(offered before, capacity, chains, rng) -> place [C]``, e.g. ``reservoir``; a place of ``capacity`` or
            more is none, and that chain's draw is dropped.
        rng: Of the rule; nothing is drawn from it before the buffer is full.

    Example:
        >>> import torch
        >>> buffer, rng = empty(torch.zeros(1, 1), 3), torch.Generator()
        >>> for number in range(7):
        ...     buffer = offer(buffer, torch.full((1, 1), float(number)), fifo, rng)
        >>> sorted(buffer.held().flatten().tolist())
        [4.0, 5.0, 6.0]
    """
    items, offered = buffer
    chains, capacity = items.shape[:2]
    if offered < capacity:
        items[:, offered] = theta
    else:
        for c, place in enumerate(rule(offered, capacity, chains, rng).tolist()):
            if place < capacity:
                items[c, place] = theta[c]
    return Buffer(items, offered + 1)


def reservoir(offered: int, capacity: int, chains: int, rng: torch.Generator) -> Tensor:
    """Take a place in ``0 ... offered`` for each chain: each of ``n`` offers is held with probability ``capacity/n``.

    Example:
        >>> import torch
        >>> reservoir(10, 3, 2, torch.Generator()).shape
        torch.Size([2])
    """
    return torch.randint(offered + 1, (chains,), generator=rng, device=rng.device)


def fifo(offered: int, capacity: int, chains: int, rng: torch.Generator) -> Tensor:
    """Take the place of the oldest, as the released code does: the buffer holds the last ``capacity``.

    Example:
        >>> import torch
        >>> fifo(10, 3, 2, torch.Generator())
        tensor([1, 1])
    """
    return torch.full((chains,), offered % capacity)
