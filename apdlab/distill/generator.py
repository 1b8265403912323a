"""What a trained generator is: latents in, codes of weights out, and how its last layer is put right."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apdlab.networks import Network, mlp


@dataclass(frozen=True)
class Latent:
    """Draws latents ``z [G, n, cosines + normals]`` of mean 0, variance 1, and no correlation.

    Attributes:
        cosines: How many ``sqrt 2 cos(pi m u)``, ``m = 1, 2, ...``, of one ``u ~ U(0, 1)``.
        normals: How many ``N(0, 1)``.

    Raises:
        ValueError: If there is none, or less than none.

    Example:
        >>> import torch
        >>> Latent(cosines=24, normals=8)(2, 5, torch.Generator()).shape
        torch.Size([2, 5, 32])
    """

    cosines: int
    normals: int

    def __post_init__(self) -> None:
        if min(self.cosines, self.normals) < 0 or self.size < 1:
            raise ValueError(f"latent has {self.cosines} cosines, {self.normals} normals; wanted 0 or more, 1 together")

    @property
    def size(self) -> int:
        """How many numbers a latent has."""
        return self.cosines + self.normals

    def __call__(self, stack: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw ``n`` for each of ``stack`` generators."""
        xi = torch.empty(stack, n, self.normals, device=generator.device)
        if not self.cosines:
            return xi.normal_(generator=generator)
        u = torch.rand(stack, n, 1, generator=generator, device=generator.device)
        m = torch.arange(1, self.cosines + 1, device=generator.device)
        return torch.cat([math.sqrt(2) * torch.cos(math.pi * m * u), xi.normal_(generator=generator)], -1)


def normal(size: int = 32) -> Latent:
    """Draw latents ``z ~ N(0, I)``, as the paper does.

    Example:
        >>> normal(8).size
        8
    """
    return Latent(0, size)


def curve(cosines: int = 24, normals: int = 8) -> Latent:
    """Draw latents that hold a curve: cosines of one uniform number, and some normal numbers beside them.

    A chain is a path, and the leading principal components of a path are cosines of time: one uniform number that
    runs along it is what a plain normal latent has to invent.

    Example:
        >>> curve(24, 8).size
        32
    """
    return Latent(cosines, normals)


@dataclass(frozen=True)
class Generator:
    """Makes codes by ``G`` small networks, one a chain: ``y = G_theta(z)``.

    Attributes:
        theta: Weights of the generators ``[G, P]``.
        sizes: Of the layers, from the latent to the code.
        latent: What goes in.
    """

    theta: Tensor
    sizes: tuple[int, ...]
    latent: Latent

    @property
    def nbytes(self) -> int:
        """Bytes of the generators' weights."""
        return self.theta.nbytes

    @property
    def network(self) -> Network:
        """What maps latents to codes, its weights left out."""
        with torch.device("meta"):
            return mlp(*self.sizes, dtype=self.theta.dtype)

    def __getitem__(self, chains: slice) -> "Generator":
        """Select the generators of some chains."""
        return replace(self, theta=self.theta[chains].clone())

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give ``n`` codes of each chain, ``[G, n, k]``."""
        network = self.network
        z = self.latent(len(self.theta), n, generator).to(self.theta.dtype)
        return network(network.unravel(self.theta), z)


def matched(trained: Generator, real: Tensor, rng: torch.Generator, n: int = 4000) -> Generator:
    """Change the last layer, which is linear, so that codes have the mean and covariance of real ones ``[G, T, k]``.

    Of all linear maps that do it, the one that moves codes least. What is left to the adversary is the shape beyond a
    Gaussian.
    """
    fake = trained.sample(n, rng)
    theta = trained.theta.clone()
    *_, weight, bias = trained.network.unravel(theta).values()
    change = _optimal_map(covariance_of(fake), covariance_of(real)).to(theta.dtype)
    weight.copy_(change @ weight)
    bias.copy_(((bias - fake.mean(1))[:, None] @ change.mT)[:, 0] + real.mean(1))
    return replace(trained, theta=theta)


def as_trained(trained: Generator, real: Tensor, rng: torch.Generator) -> Generator:
    """Leave a generator as its training left it, as the paper does."""
    return trained


def recoloured(y: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Move codes ``[G, T, k]`` as little as a linear map can so that this is their mean and this their covariance.

    Args:
        y: Codes; more of a chain than they have coordinates.
        mean: ``[G, k]``.
        covariance: ``[G, k, k]``.

    Example:
        >>> import torch
        >>> recoloured(torch.tensor([[[0.0], [2.0]]]), torch.tensor([[5.0]]), torch.tensor([[[9.0]]]))
        tensor([[[2.],
                 [8.]]])
    """
    change = _optimal_map(covariance_of(y), covariance.double()).to(y.dtype)
    return (y - y.mean(1, keepdim=True)) @ change + mean[:, None]


def covariance_of(y: Tensor) -> Tensor:
    """Measure the covariance of codes ``[G, T, k]`` in float64, ``[G, k, k]``."""
    centred = (y - y.mean(1, keepdim=True)).double()
    return centred.mT @ centred / y.shape[1]


def roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Find the symmetric root of covariances ``[G, k, k]``, and its inverse; those near 0 count as a little more."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=1e-6 * values[..., -1:])[..., None, :]
    return (vectors * values**0.5) @ vectors.mT, (vectors * values**-0.5) @ vectors.mT


def _optimal_map(source: Tensor, target: Tensor) -> Tensor:
    """Find the symmetric ``A`` with ``A source A = target``: the optimal transport between Gaussians, ``[G, k, k]``."""
    root, inverse = roots(source)
    return inverse @ roots(root @ target @ root)[0] @ inverse
