r"""Adversarial posterior distillation: a Wasserstein GAN with gradient penalty learns to draw weights.

The critic ``f`` minimises ``E f(G(z)) - E f(y) + lambda E (|grad f(y_mix)| - 1)^2``, the generator ``-E f(G(z))``.
One small pair per chain, all pairs trained together as stacks; a single map stretched over several modes would fill the
space between them with networks that no posterior knows.

Source: Wang et al., 2018, Adversarial distillation of Bayesian neural network posteriors,
https://arxiv.org/abs/1806.10317; Gulrajani et al., 2017, Improved training of Wasserstein GANs,
https://arxiv.org/abs/1704.00028
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.distill import judge
from apdlab.distill.coordinates import Codes, Coordinates, Distilled
from apdlab.networks import Network, mlp
from apdlab.streams import stream
from apdlab.types import Cost, Params

Latent = Callable[[int, int, torch.Generator], Tensor]


def normal(size: int = 32) -> Latent:
    """Draw latents ``z ~ N(0, I)``, ``[G, n, size]``.

    Example:
        >>> import torch
        >>> normal(8)(2, 5, torch.Generator()).shape
        torch.Size([2, 5, 8])
    """
    return lambda stack, n, generator: torch.randn(stack, n, size, generator=generator, device=generator.device)


def curve(cosines: int = 24, normals: int = 8) -> Latent:
    """Draw latents ``z = (sqrt 2 cos(pi m u))_m, xi`` with one ``u ~ U(0, 1)`` for all cosines, ``m = 1, 2, ...``.

    A chain is a path, and the leading principal components of a path are cosines of time: one uniform number that
    runs along it is what a plain normal latent has to invent.

    Example:
        >>> import torch
        >>> curve(24, 8)(2, 5, torch.Generator()).shape
        torch.Size([2, 5, 32])
    """

    def draw(stack: int, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(stack, n, 1, generator=generator, device=generator.device)
        m = torch.arange(1, cosines + 1, device=generator.device)
        xi = torch.randn(stack, n, normals, generator=generator, device=generator.device)
        return torch.cat([math.sqrt(2) * torch.cos(math.pi * m * u), xi], -1)

    return draw


class Recipe(NamedTuple):
    """How the pair is built and trained; the defaults are the paper's sizes with a stable optimiser."""

    latent: Latent = curve()
    hidden: tuple[int, ...] = (100, 100, 100)
    penalty: float = 10.0
    critic_steps: int = 5
    batch: int = 100
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.9)
    smoothing: float = 0.02
    average: float = 0.995
    checkpoints: int = 4


PAPER_SIZES = Recipe()


class Trace(NamedTuple):
    """Critic cost ``[steps, G]``; total variation to held-out draws, of checkpoints and of real draws, ``[..., G]``."""

    critic_cost: Tensor
    distance: Tensor
    floor: Tensor


def fit(
    train: Chains,
    held_out: Chains,
    coordinates: Coordinates,
    x: Tensor,
    *,
    steps: int,
    seed: int,
    recipe: Recipe = PAPER_SIZES,
) -> tuple[Distilled, Cost, Trace]:
    """Train one generator per chain on its draws, and keep for each its best checkpoint on held-out draws.

    The generator's weights are averaged over its steps, the learning rate falls as a cosine, real draws are blurred a
    little (``smoothing``). At each checkpoint the generator's last layer, which is linear, is changed so that its codes
    have the mean and covariance of the draws exactly: what is adversarial is the shape beyond a Gaussian. The noise of
    the left-out directions is matched, and the checkpoint whose predictions are nearest to the held-out draws' is kept.

    Args:
        train: Draws to learn from, ``G`` chains.
        held_out: A later block of the same chains, to match the noise and choose the checkpoint on.
        coordinates: Where to work, e.g. ``pca(train.theta, network, 16)``.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        steps: Generator steps.
        seed: Of all random numbers.
        recipe: The rest.

    Returns:
        The posterior, its cost (no gradient of the network is evaluated), and the trace of the training.

    Raises:
        ValueError: If there is no checkpoint, or there are more than steps.
    """
    if not 1 <= recipe.checkpoints <= steps:
        raise ValueError(f"steps is {steps}, checkpoints {recipe.checkpoints}; wanted 1 <= checkpoints <= steps")
    start = time.perf_counter()
    pair = _Pair(coordinates.encode(train.theta), recipe, steps, stream(seed, "gan", device=x.device))
    critic_cost, kept, noise, distance = [], [], [], []
    checkpoints = {steps * (i + 1) // recipe.checkpoints for i in range(recipe.checkpoints)}
    for step in range(1, steps + 1):
        critic_cost.append(pair.step())
        if step in checkpoints:
            kept.append(pair.matched(stream(seed, "moments", device=x.device)))
            candidate = Distilled(train.network, coordinates, pair.codes(kept[-1]))
            candidate = judge.match_noise(candidate, held_out, x, seed=seed)
            noise.append(candidate.noise)
            distance.append(judge.distance(candidate, held_out, x, seed=seed))
    best, chain = torch.stack(distance).argmin(0), torch.arange(len(train))
    codes = pair.codes(torch.stack(kept)[best, chain])
    posterior = Distilled(train.network, coordinates, codes).with_noise(torch.stack(noise)[best, chain])
    floor = judge.between(*(judge.of_chains(block, x, n=100) for block in (train, held_out)))
    trace = Trace(torch.stack(critic_cost).cpu(), torch.stack(distance), floor)
    return posterior, Cost(0, time.perf_counter() - start), trace


def critic_gradient(critic: Network, params: Params, y: Tensor) -> Tensor:
    """Give ``grad_y f(y) [G, n, k]`` of a stacked ReLU critic as a function of its weights, without double backward.

    With the units' on-off masks ``m_l`` held, ``grad_y f = W_1^T m_1 W_2^T m_2 ... w_L``, exact where ``f`` is smooth.
    """
    weights = [leaf for name, leaf in params.items() if name.endswith("weight")]
    biases = [leaf for name, leaf in params.items() if name.endswith("bias")]
    masks, h = [], y
    with torch.no_grad():
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = torch.baddbmm(bias[:, None], h, weight.mT).relu_()
            masks.append(h > 0)
    v = weights[-1].expand(-1, y.shape[1], -1)
    for weight, mask in zip(reversed(weights[:-1]), reversed(masks), strict=True):
        v = torch.bmm(v * mask, weight)
    return v


def _covariance(y: Tensor) -> Tensor:
    centred = (y - y.mean(1, keepdim=True)).double()
    return centred.mT @ centred / y.shape[1]


def _optimal_map(source: Tensor, target: Tensor) -> Tensor:
    """Find the symmetric ``A`` with ``A source A = target``: the optimal transport between Gaussians, ``[G, k, k]``."""
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    return inverse @ _power(root @ target @ root, 0.5) @ inverse


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    floor = 1e-6 * values[..., -1:]
    return (vectors * values.clamp(min=floor)[..., None, :] ** exponent) @ vectors.mT


class _Pair:
    """``G`` generators and critics in training; what is random comes from one generator of random numbers."""

    def __init__(self, real: Tensor, recipe: Recipe, steps: int, rng: torch.Generator) -> None:
        stack, _, k = real.shape
        z = recipe.latent(1, 1, rng).shape[-1]
        self.real, self.recipe, self.rng = real, recipe, rng
        self.generator = mlp(z, *recipe.hidden, k, dtype=real.dtype)
        self.critic = mlp(k, *recipe.hidden, 1, dtype=real.dtype)
        self.g, self.f = (
            torch.stack([net.init(rng) for _ in range(stack)]).requires_grad_() for net in (self.generator, self.critic)
        )
        self.averaged, self.steps_done = self.g.detach().clone(), 0
        rate = {"lr": recipe.learning_rate, "betas": recipe.betas}
        self.optimisers = [torch.optim.Adam([theta], **rate) for theta in (self.g, self.f)]
        self.decays = [torch.optim.lr_scheduler.CosineAnnealingLR(o, steps, 0.02 * rate["lr"]) for o in self.optimisers]

    def generate(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        with torch.no_grad():
            return self._fake(theta, n, rng)

    def matched(self, rng: torch.Generator, n: int = 4000) -> Tensor:
        """Give the averaged generators ``[G, P]``, the last layer changed so that two moments are the draws'."""
        fake = self.generate(self.averaged, n, rng)
        theta = self.averaged.clone()
        *_, weight, bias = self.generator.unravel(theta).values()
        change = _optimal_map(_covariance(fake), _covariance(self.real)).to(theta.dtype)
        weight.copy_(change @ weight)
        bias.copy_(((bias - fake.mean(1))[:, None] @ change.mT)[:, 0] + self.real.mean(1))
        return theta

    def codes(self, theta: Tensor) -> Codes:
        return Codes(lambda n, rng: self.generate(theta, n, rng), theta.nbytes)

    def step(self) -> Tensor:
        """Take some critic steps and one generator step; return the last critic cost ``[G]``."""
        for _ in range(self.recipe.critic_steps):
            cost = self._critic_step()
        params = self.critic.unravel(self.f.detach())
        score = self.critic(params, self._fake(self.g, self.recipe.batch, self.rng))
        self._descend(0, -score.mean((1, 2)).sum())
        for decay in self.decays:
            decay.step()
        self.steps_done += 1
        keep = min(self.recipe.average, self.steps_done / (self.steps_done + 10))
        self.averaged.lerp_(self.g.detach(), 1 - keep)
        return cost

    def _fake(self, theta: Tensor, n: int, rng: torch.Generator) -> Tensor:
        z = self.recipe.latent(len(theta), n, rng).to(theta.dtype)
        return self.generator(self.generator.unravel(theta), z)

    def _critic_step(self) -> Tensor:
        stack, draws, k = self.real.shape
        n, device = self.recipe.batch, self.real.device
        chosen = torch.randint(draws, (stack, n, 1), generator=self.rng, device=device)
        real = self.real.gather(1, chosen.expand(-1, -1, k))
        real = real + self.recipe.smoothing * torch.empty_like(real).normal_(generator=self.rng)
        fake = self.generate(self.g, n, self.rng)
        params = self.critic.unravel(self.f)
        scores = self.critic(params, torch.cat([real, fake], 1))
        cost = scores[:, n:].mean((1, 2)) - scores[:, :n].mean((1, 2))
        u = torch.rand(stack, n, 1, generator=self.rng, device=device)
        slope = critic_gradient(self.critic, params, torch.lerp(fake, real, u)).norm(dim=-1)
        self._descend(1, (cost + self.recipe.penalty * (slope - 1).square().mean(1)).sum())
        return cost.detach()

    def _descend(self, which: int, loss: Tensor) -> None:
        self.optimisers[which].zero_grad()
        loss.backward()
        self.optimisers[which].step()
