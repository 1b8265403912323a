"""Streams of random numbers that depend on what they are for, not on what else runs."""

import hashlib
from numbers import Integral

import torch


def stream(seed: int, purpose: str, chain: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Open the stream of random numbers that belongs to a seed, a purpose and a chain.

    The generator is seeded with 63 bits of SHA-256 of ``(seed, purpose, chain)``, so chain 1 draws the same numbers
    whether 1 or 16 chains run, and a new consumer of randomness never shifts the numbers of another.

    Args:
        seed: The seed of the run, 0 or more.
        purpose: What the numbers are for, e.g. ``"noise"``.
        chain: Which chain they are for.
        device: Where they are drawn; streams of different devices differ.

    Returns:
        A fresh generator.

    Raises:
        ValueError: If the seed is negative or not whole.

    Example:
        >>> import torch
        >>> a, b = stream(0, "noise", chain=1), stream(0, "noise", chain=1)
        >>> bool((torch.randn(3, generator=a) == torch.randn(3, generator=b)).all())
        True
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed is {seed!r}; wanted an integer of 0 or more")
    digest = hashlib.sha256(f"{seed}/{purpose}/{chain}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def streams(seed: int, purpose: str, chains: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """Open one stream a chain: ``[stream(seed, purpose, 0), stream(seed, purpose, 1), ...]``.

    Example:
        >>> len(streams(0, "noise", 4))
        4
    """
    return [stream(seed, purpose, chain, device) for chain in range(chains)]
