"""What kernels share: how chains start, noise row by row, momenta, the two temperatures."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apdlab.density import add_grad
from apdlab.stacks import LONG, dots
from apdlab.types import Batch


def started(theta: Tensor) -> Tensor:
    """Copy where the chains start: a row's noise depends on its layout.

    Raises:
        ValueError: If ``theta`` is not ``[C, D]`` or holds no floating numbers.
    """
    if theta.ndim != 2:
        raise ValueError(f"theta has shape {tuple(theta.shape)}; wanted [C, D], one row a chain")
    if not theta.is_floating_point():
        raise ValueError(f"theta has dtype {theta.dtype}; wanted weights: theta.float(), or network.init(generator)")
    return theta.detach().clone(memory_format=torch.contiguous_format)


def normal(noise: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Fill ``noise [C, D]`` with ``N(0, 1)``, each row from the generator of its chain, and return it."""
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def add_noise(
    into: Tensor, room: Tensor, generators: Sequence[torch.Generator], scale: float, root: Tensor | float = 1.0
) -> None:
    """Add ``scale root xi`` to ``into [C, D]`` in place, ``xi ~ N(0, I)``, each row from the generator of its chain.

    Long rows go through ``room [D]`` one after the other, which stays in the cache.

    Args:
        into: What to add to.
        room: To draw in.
        generators: One a chain.
        scale: One number for all.
        root: And one a coordinate or chain: a number, or ``[D]``, ``[C, 1]`` or ``[C, D]``.
    """
    if into.shape[1] < LONG:
        _add(into, normal(torch.empty_like(into), generators), scale, root)
        return
    roots = root.expand(len(into), -1) if isinstance(root, Tensor) else [root] * len(into)
    for row, by, generator in zip(into, roots, generators, strict=True):  # in threads they are no sooner done
        _add(row, room.normal_(generator=generator), scale, by)


def _add(into: Tensor, xi: Tensor, scale: float, root: Tensor | float) -> None:
    if isinstance(root, Tensor):
        into.addcmul_(xi, root, value=scale)
    else:
        into.add_(xi, alpha=scale * root)


def thrown(momentum: Tensor, mass: Tensor | float, temperature: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Fill ``momentum [C, D]`` with ``N(0, T M)``, or with 0 at temperature 0, and return it."""
    if temperature == 0:
        return momentum.zero_()
    return normal(momentum, generators).mul_((temperature * mass) ** 0.5)


def drift(theta: Tensor, momentum: Tensor, mass: Tensor | float, time: float) -> None:
    """Move ``theta`` by ``time m / M``, in place."""
    if isinstance(mass, Tensor):
        theta.addcdiv_(momentum, mass, value=time)
    else:
        theta.add_(momentum, alpha=time / mass)


def checked_friction(friction: float) -> float:
    """Give the friction back.

    Raises:
        ValueError: If it is not a finite number above 0.
    """
    if not 0 < friction < math.inf:
        raise ValueError(
            f"friction is {friction}; wanted a finite number above 0 (a momentum below 1), e.g. from_wenzel(lr, 0.9, n)"
        )
    return friction


def checked_mass(mass: Tensor | float) -> Tensor | float:
    """Give the mass back.

    Raises:
        ValueError: If it is not finite and above 0.
    """
    low, high = torch.as_tensor(mass).aminmax()
    if not 0 < low <= high < math.inf:
        raise ValueError(f"mass is between {low:.3g} and {high:.3g}; wanted finite numbers above 0")
    return mass


def kick(
    log_posterior: Callable[[Tensor, Batch], Tensor], theta: Tensor, batch: Batch, into: Tensor, time: float
) -> tuple[Tensor, Tensor]:
    """Add ``time grad log posterior`` to momenta, or to ``theta`` itself, in place.

    Returns:
        The log posterior of ``theta`` as it was, ``[C]``, and its configurational temperature, ``[C]``.
    """
    value, along = add_grad(log_posterior, theta, batch, into=into, times=time)
    return value, along.div_(-theta.shape[1])


def configurational(theta: Tensor, grad: Tensor) -> Tensor:
    """Take the temperature of positions, ``-<theta, grad log posterior> / D``: ``[C]``, of mean ``T`` in the target."""
    return dots(theta, grad).div_(-theta.shape[1])


def kinetic(momentum: Tensor, mass: Tensor | float) -> Tensor:
    """Take the temperature of momenta, the mean of ``m^2 / M``: ``[C]``, of mean ``T`` where ``m`` is ``N(0, T M)``."""
    return dots(momentum, momentum / mass).div_(momentum.shape[1])
