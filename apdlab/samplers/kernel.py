"""What kernels share: how chains start, noise row by row, momenta, the two temperatures."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from apdlab.density import dots


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
    for row, generator in zip(noise, generators, strict=True):  # in threads of their own they are no sooner done
        row.normal_(generator=generator)
    return noise


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


def configurational(theta: Tensor, grad: Tensor) -> Tensor:
    """Take the temperature of positions, ``-<theta, grad log posterior> / D``: ``[C]``, of mean ``T`` in the target."""
    return dots(theta, grad).div_(-theta.shape[1])


def kinetic(momentum: Tensor, mass: Tensor | float) -> Tensor:
    """Take the temperature of momenta, the mean of ``m^2 / M``: ``[C]``, of mean ``T`` where ``m`` is ``N(0, T M)``."""
    return dots(momentum, momentum / mass).div_(momentum.shape[1])
