r"""SWAG: a Gaussian with the mean and covariance of where constant-rate SGD goes, low rank plus diagonal.

``theta ~ N(mean, diag(variance) / 2 + A^T A / (2 (K - 1)))``, with ``A [K, D]`` the last deviations from the mean.

Source: Maddox et al., 2019, A simple baseline for Bayesian uncertainty in deep learning,
https://arxiv.org/abs/1902.02476
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ConstantLR

from apdlab.density import LogDensity
from apdlab.draws import Draws
from apdlab.networks import Network
from apdlab.posterior.sgd import alone, descend
from apdlab.types import Batch, Cost, is_count


@dataclass(frozen=True)
class Swag:
    """Holds the moments of a path of SGD.

    ``theta = mean + sqrt(variance / 2) xi_1 + deviations^T xi_2 / sqrt(2 (K - 1))``.

    Attributes:
        network: The network that the weights belong to.
        mean: ``[D]``.
        variance: Of each weight along the path, ``[D]``.
        deviations: The last ``K``, each from the mean up to then, ``[K, D]``.

    Raises:
        ValueError: If the shapes do not fit to the network, or there are fewer than 2 deviations.
    """

    network: Network
    mean: Tensor
    variance: Tensor
    deviations: Tensor

    def __post_init__(self) -> None:
        size = self.network.size
        for name, part in (("mean", self.mean), ("variance", self.variance)):
            if part.shape != (size,):
                raise ValueError(f"{name} has shape {tuple(part.shape)}; wanted {(size,)}, the network's weights")
        if self.deviations.ndim != 2 or self.deviations.shape[1] != size or len(self.deviations) < 2:
            raise ValueError(f"deviations has shape {tuple(self.deviations.shape)}; wanted [K, {size}], K 2 or more")

    @property
    def nbytes(self) -> int:
        """Bytes of mean, variance and deviations."""
        return self.mean.nbytes + self.variance.nbytes + self.deviations.nbytes

    def sample(self, n: int, *, generator: torch.Generator) -> Draws:
        """Give ``n`` independent draws.

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if not is_count(n):
            raise ValueError(f"n is {n}; wanted 1 draw or more, a whole number")
        k, size = self.deviations.shape
        own, shared = (self.mean.new_empty(n, width).normal_(generator=generator) for width in (size, k))
        theta = own.mul_((self.variance / 2).sqrt()).add_(self.mean)
        return Draws(self.network, theta.addmm_(shared, self.deviations, alpha=(2 * (k - 1)) ** -0.5))


def fit(
    log_posterior: LogDensity,
    start: Tensor,
    batches: Callable[[int], Batch],
    *,
    steps: int,
    learning_rate: float,
    every: int,
    rank: int = 20,
    momentum: float = 0.9,
) -> tuple[Swag, Cost]:
    """Walk on from trained weights by SGD of constant rate, and collect the moments of every ``every``-th state.

    Args:
        log_posterior: A ``LogDensity``, or any ``(theta [1, D], batch) -> [1]`` that has its ``network`` and ``n``.
        start: Trained weights ``[D]``, e.g. ``sgd.fit(...)[0].theta[0]``.
        batches: ``step -> Batch``, of one chain.
        steps: How many; at least ``rank * every``.
        learning_rate: Constant, on the mean scale of ``sgd.fit``; it sets the spread of what is collected.
        every: Collect after steps ``every, 2 every, ...``; the paper's is an epoch.
        rank: ``K``, how many deviations are held, 2 or more.
        momentum: Of Nesterov's momentum.

    Returns:
        The posterior and the cost, ``steps`` gradients; those that trained the start come on top.

    Raises:
        ValueError: If the start is not one network's, or ``rank``, ``every`` or ``steps`` is too small.
        Diverged: When the weights or the log posterior are not finite.

    Example:
        >>> import torch
        >>> from apdlab.data import batches, data
        >>> from apdlab.likelihoods import categorical
        >>> from apdlab.priors import gaussian_prior
        >>> from apdlab.networks import mlp
        >>> network, draw = mlp(1, 2), batches(data(torch.tensor([-1.0, 1.0]), torch.tensor([0, 1])), 1, seed=0)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=2)
        >>> posterior, cost = fit(log_posterior, torch.zeros(4), draw, steps=100, learning_rate=0.1, every=2, rank=10)
        >>> posterior.deviations.shape, len(posterior.sample(7, generator=torch.Generator().manual_seed(0)))
        (torch.Size([10, 4]), 7)
    """
    begin = time.perf_counter()
    if not is_count(rank) or rank == 1 or not is_count(every):
        raise ValueError(f"rank is {rank}, every {every}; wanted a rank of 2, every of 1, or more, whole numbers")
    if is_count(steps) and steps // every < rank:
        raise ValueError(
            f"steps is {steps}, every {every}: {steps // every} states; wanted at least rank = {rank} of them: "
            f"take {rank * every} steps or more"
        )
    rates = {"learning_rate": learning_rate, "momentum": momentum, "decay": partial(ConstantLR, factor=1.0)}
    path = descend(log_posterior, alone(start), batches, n=log_posterior.n, steps=steps, **rates)
    moments = _collect((theta[0] for theta in islice(path, every - 1, None, every)), rank)
    return Swag(log_posterior.network, *moments), Cost(steps, time.perf_counter() - begin)


def _collect(states: Iterable[Tensor], rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance ``[D]`` by Welford's updates, which cancel nothing, and the last deviations ``[rank, D]``."""
    deviations: deque[Tensor] = deque(maxlen=rank)
    for count, theta in enumerate(states, 1):
        if count == 1:
            mean, squares = torch.zeros_like(theta), torch.zeros_like(theta)
        change = theta - mean
        mean.add_(change, alpha=1 / count)
        deviations.append(theta - mean)
        squares.addcmul_(change, deviations[-1])
    return mean, squares / count, torch.stack([*deviations])
