"""The low-rank Gaussian: the baseline that every distiller must face, with no training at all."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.distill.coordinates import Coordinates, Distilled, refuse_unlike
from apdlab.distill.judge import match_disagreement, of_chains
from apdlab.types import Cost


@dataclass(frozen=True)
class Normal:
    """Makes codes ``y ~ N(0, diag(sd^2))`` of ``G`` chains, ``sd [G, k]``."""

    sd: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of the standard deviations."""
        return self.sd.nbytes

    def __getitem__(self, chains: slice) -> "Normal":
        """Select those of some chains."""
        return Normal(self.sd[chains])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give ``n`` codes of each chain, ``[G, n, k]``."""
        sd = self.sd[:, None]
        return sd * torch.randn(len(sd), n, sd.shape[-1], generator=generator, device=sd.device, dtype=sd.dtype)


def fit(train: Chains, held_out: Chains, coordinates: Coordinates, x: Tensor, *, seed: int) -> tuple[Distilled, Cost]:
    """Fit ``theta ~ N(mean, basis^T diag(sd^2) basis)`` to each chain, and match the noise.

    Args:
        train: Draws to learn from, ``G`` chains.
        held_out: Other draws of the same chains, to match the noise of the left-out directions on.
        coordinates: Principal coordinates, in which the draws are uncorrelated.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        seed: Of the draws that are compared.

    Returns:
        The posterior and its cost (no gradient of the network is evaluated).

    Example:
        >>> import torch
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> chains = Chains(network, theta, torch.arange(50), torch.zeros(2, 50))
        >>> early, late = chains.split(0.8)
        >>> posterior, _ = fit(early, late, pca(early.theta, network, k=4), torch.zeros(7, 2), seed=0)
        >>> len(posterior.sample(100, generator=torch.Generator().manual_seed(0)))
        100
    """
    refuse_unlike(train, held_out, coordinates)
    start = time.perf_counter()
    codes = Normal(coordinates.encode(train.theta).std(1))
    posterior = Distilled(train.network, coordinates, codes)
    return match_disagreement(posterior, of_chains(held_out, x), x, seed=seed), Cost(0, time.perf_counter() - start)
