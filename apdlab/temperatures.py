"""Is the sampler at the temperature it was asked for? What momenta, weights and minibatches say."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import chi2
from torch import Tensor

from apdlab.density import value_and_grad
from apdlab.diagnostics import mcse_mean
from apdlab.types import Batch


class Temperature(NamedTuple):
    """A temperature averaged along chains, and its Monte Carlo standard error."""

    mean: float
    error: float


def averaged(values: Tensor) -> Temperature:
    """Average a temperature over chains and time, e.g. ``chains.measures["configurational"]``.

    One value of ``-<theta, grad log posterior> / D`` has a large variance, and minibatches add theirs: only the average
    along chains can be held against ``T``.

    Args:
        values: ``[C, T]``.

    Raises:
        ValueError: If there are fewer than 4 values a chain, or they are not finite.

    Example:
        >>> import torch
        >>> round(averaged(1 + 0.1 * torch.randn(4, 500, generator=torch.Generator().manual_seed(0))).mean, 2)
        1.0
    """
    return Temperature(float(values.double().mean()), float(mcse_mean(values)))


def kinetic_band(size: int, temperature: float = 1.0, level: float = 0.99) -> tuple[float, float]:
    """Say where one value of the kinetic temperature lies if the momenta are ``N(0, T M)``: ``T chi^2_D / D``.

    The discretisation moves its mean, too: ``laws.symplectic_euler`` is hot by ``2 / (1 + beta)``, and no band around
    ``T`` holds it where ``D`` is large.

    Args:
        size: ``D``, how many momenta.
        temperature: ``T``.
        level: The probability inside, in the middle.

    Raises:
        ValueError: If a number is outside its range.

    Source: Wenzel et al., 2020, How good is the Bayes posterior in deep neural networks really?,
    https://arxiv.org/abs/2002.02405

    Example:
        >>> [round(end, 3) for end in kinetic_band(2304)]
        [0.926, 1.078]
    """
    if not (size >= 1 and temperature >= 0 and 0 < level < 1):
        raise ValueError(
            f"size, temperature, level are {size}, {temperature}, {level}; wanted 1 or more, 0 or more, between 0 and 1"
        )
    return tuple(temperature / size * float(chi2.ppf(q, size)) for q in ((1 - level) / 2, (1 + level) / 2))


def gradient_noise(
    log_posterior: Callable[[Tensor, Batch], Tensor], theta: Tensor, batches: Callable[[int], Batch], n: int
) -> Tensor:
    """Estimate the variance that minibatches give to a coordinate of the gradient, on average over coordinates.

    This is the ``gradient_noise`` of ``samplers.laws``, which say how much it heats a sampler: on the sum scale it is
    ``N^2 / B`` times the variance between examples, and grows with the set.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``, on the sum scale.
        theta: Where, ``[C, D]``; it stays there.
        batches: ``step -> Batch``, with other examples than the sampler's.
        n: How many to compare, 2 or more.

    Returns:
        ``[C]``.

    Raises:
        ValueError: If ``n`` is below 2.

    Example:
        >>> import torch
        >>> noisy = lambda theta, batch: (theta * batch).sum(-1)
        >>> gradient_noise(noisy, torch.zeros(1, 3), lambda t: torch.full((1, 3), t % 2.0), n=400)
        tensor([0.2506], dtype=torch.float64)
    """
    if n < 2:
        raise ValueError(f"n is {n}; wanted 2 minibatches or more, to have a variance")
    mean = torch.zeros_like(theta, dtype=torch.float64)
    squares = torch.zeros_like(mean)
    for t in range(n):
        _, grad = value_and_grad(log_posterior, theta, batches(t))
        away = grad.double() - mean
        mean += away / (t + 1)
        squares += away * (grad.double() - mean)
    return squares.mean(-1) / (n - 1)
