"""A mixture of Gaussians over the codes of draws: the modern baseline without an adversary, fitted in a blink."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.distill.coordinates import Coordinates, Distilled, refuse_unlike
from apdlab.distill.judge import match_disagreement, of_chains
from apdlab.types import Cost, is_count


@dataclass(frozen=True)
class Mixture:
    """Makes codes ``y ~ sum_m w_m N(mean_m, sd_m^2 I)`` of ``G`` chains.

    Attributes:
        weights: ``[G, M]``.
        means: ``[G, M, k]``.
        sd: ``[G, M]``.
    """

    weights: Tensor
    means: Tensor
    sd: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of weights, means and standard deviations."""
        return self.weights.nbytes + self.means.nbytes + self.sd.nbytes

    def __getitem__(self, chains: slice) -> "Mixture":
        """Select those of some chains."""
        return Mixture(self.weights[chains], self.means[chains], self.sd[chains])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give ``n`` codes of each chain, ``[G, n, k]``."""
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        means = self.means.gather(1, chosen[..., None].expand(-1, -1, self.means.shape[-1]))
        xi = torch.randn(means.shape, generator=generator, device=means.device, dtype=means.dtype)
        return means + self.sd.gather(1, chosen)[..., None] * xi


def fit(
    train: Chains, held_out: Chains, coordinates: Coordinates, x: Tensor, *, seed: int, components: int = 100
) -> tuple[Distilled, Cost]:
    """Fit a mixture of spherical Gaussians to the codes of each chain by expectation maximisation, and match the noise.

    Args:
        train: Draws to learn from, ``G`` chains.
        held_out: Draws of the same chains, to match the noise of the left-out directions on.
        coordinates: Where to work, e.g. ``pca(train.theta, network, 8)``.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        seed: Of the start of the fit, and of the draws that are compared.
        components: How many Gaussians each.

    Returns:
        The posterior and its cost (no gradient of the network is evaluated).

    Raises:
        ValueError: If there are more components than draws a chain.

    Example:
        >>> import torch
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> early, late = Chains(network, theta, torch.arange(50), torch.zeros(2, 50)).split(0.8)
        >>> coordinates = pca(early.theta, network, k=4)
        >>> posterior, _ = fit(early, late, coordinates, torch.zeros(7, 2), seed=0, components=5)
        >>> len(posterior.sample(100, generator=torch.Generator().manual_seed(0)))
        100
    """
    from sklearn.mixture import GaussianMixture  # half a second of import time that no other distiller pays

    refuse_unlike(train, held_out, coordinates)
    start, draws = time.perf_counter(), train.theta.shape[1]
    if not is_count(components, draws):
        raise ValueError(f"components is {components}; wanted 1 to {draws}, as many as each chain has draws")
    model = GaussianMixture(components, covariance_type="spherical", random_state=seed)
    codes = coordinates.encode(train.theta)
    fits = [
        model.fit(chain) and (model.weights_, model.means_, model.covariances_**0.5)
        for chain in codes.numpy(force=True)
    ]
    parts = (torch.stack([torch.as_tensor(part) for part in column]).to(codes) for column in zip(*fits, strict=True))
    posterior = Distilled(train.network, coordinates, Mixture(*parts))
    return match_disagreement(posterior, of_chains(held_out, x), x, seed=seed), Cost(0, time.perf_counter() - start)
