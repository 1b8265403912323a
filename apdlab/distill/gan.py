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
from apdlab.distill.coordinates import Coordinates, Distilled, refuse_unlike
from apdlab.distill.critic import critic_gradient, generator_gradient, hidden, layers
from apdlab.distill.generator import Generator, Latent, as_trained, curve, matched, normal
from apdlab.networks import Network, mlp
from apdlab.streams import stream
from apdlab.types import Cost, is_count


def he(network: Network, rng: torch.Generator) -> Tensor:
    """Draw weights ``N(0, 2 / inputs)`` and biases 0 (He et al., 2015, https://arxiv.org/abs/1502.01852).

    Example:
        >>> import torch
        >>> he(mlp(2, 3), torch.Generator())[6:]
        tensor([0., 0., 0.])
    """
    theta = torch.zeros(network.size, dtype=network.dtype, device=rng.device)
    for leaf in network.unravel(theta).values():
        if leaf.ndim > 1:
            leaf.normal_(0, math.sqrt(2 / leaf.shape[1]), generator=rng)
    return theta


class Recipe(NamedTuple):
    """How the pair is built and trained; the defaults train in seconds and do not oscillate.

    Attributes:
        latent: What goes into a generator.
        hidden: Units of the hidden layers of both.
        init: ``(network, rng) -> theta``: where both start.
        penalty: ``lambda``.
        critic_steps: For each step of the generator.
        batch: Codes a step.
        learning_rate: Of Adam, at the start.
        last_rate: What the learning rate falls to, as a cosine, in parts of the first; 1 keeps it.
        betas: Of Adam.
        smoothing: Standard deviation of normal noise on real codes.
        average: How much of the average of the generator's weights is kept at a step; 0 for none.
        finish: ``(generator, real codes, rng) -> generator``: what is done to a checkpoint.
        checkpoints: Among how many, evenly spaced, one is chosen.
    """

    latent: Latent = curve()
    hidden: tuple[int, ...] = (100, 100, 100)
    init: Callable[[Network, torch.Generator], Tensor] = Network.init
    penalty: float = 10.0
    critic_steps: int = 5
    batch: int = 100
    learning_rate: float = 1e-3
    last_rate: float = 0.02
    betas: tuple[float, float] = (0.5, 0.9)
    smoothing: float = 0.02
    average: float = 0.995
    finish: Callable[[Generator, Tensor, torch.Generator], Generator] = matched
    checkpoints: int = 4


STEADY = Recipe()
PAPER = Recipe(
    normal(32), init=he, learning_rate=1e-4, last_rate=1, smoothing=0, average=0, finish=as_trained, checkpoints=1
)


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
    recipe: Recipe = STEADY,
) -> tuple[Distilled, Cost, Trace]:
    """Train one generator per chain on its draws, and keep for each its best checkpoint on held-out draws.

    With the recipe ``STEADY`` the generator's weights are averaged over its steps, the learning rate falls as a cosine,
    real draws are blurred a little, and at each checkpoint the generator's last layer, which is linear, is changed so
    that its codes have the mean and covariance of the draws: what is adversarial is the shape beyond a Gaussian. With
    ``PAPER``, and ``raw`` coordinates, it is the paper's. Always, the noise of directions that the coordinates leave
    out is matched, and the checkpoint whose predictions are nearest to the held-out draws' is kept.

    Args:
        train: Draws to learn from, ``G`` chains.
        held_out: Draws of the same chains to match the noise and choose the checkpoint on.
        coordinates: Where to work, e.g. ``pca(train.theta, network, 16)`` or ``raw(train.theta, network)``.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        steps: Generator steps.
        seed: Of all random numbers.
        recipe: The rest.

    Returns:
        The posterior, its cost (no gradient of the network is evaluated), and the trace of the training.

    Raises:
        ValueError: If the chains, coordinates and inputs do not fit, or a number of the recipe is out of its range.
    """
    refuse_unlike(train, held_out, coordinates)
    refuse_recipe(recipe, steps)
    start, device = time.perf_counter(), train.theta.device
    learned, predicted = (judge.of_chains(block, x) for block in (train, held_out))
    pair = Pair(coordinates.encode(train.theta), recipe, steps, stream(seed, "gan", device=device))
    critic_cost, kept = [], []
    checkpoints = {steps * (i + 1) // recipe.checkpoints for i in range(recipe.checkpoints)}
    for step in range(1, steps + 1):
        critic_cost.append(pair.step())
        if step in checkpoints:
            codes = recipe.finish(pair.generator(), pair.real, stream(seed, "moments", device=device))
            made = Distilled(train.network, coordinates, codes)
            kept.append(judge.match_disagreement(made, predicted, x, seed=seed))
    posterior, distance = judge.best(kept, predicted, x, seed)
    trace = Trace(torch.stack(critic_cost).cpu(), distance, judge.between(learned, predicted))
    return posterior, Cost(0, time.perf_counter() - start), trace


def refuse_recipe(recipe: Recipe, steps: int) -> None:
    """Refuse numbers of steps and of a recipe that are out of their range."""
    judge.refuse_training(steps, recipe.checkpoints, recipe.learning_rate)
    if not recipe.hidden or not all(map(is_count, (*recipe.hidden, recipe.batch, recipe.critic_steps))):
        seen = f"hidden is {recipe.hidden}, batch {recipe.batch}, critic_steps {recipe.critic_steps}"
        raise ValueError(f"{seen}; wanted whole numbers of 1 or more, and a hidden layer, e.g. those of STEADY")
    for name in ("last_rate", "penalty", "smoothing"):
        if not 0 <= getattr(recipe, name) < math.inf:
            raise ValueError(f"{name} is {getattr(recipe, name)}; wanted a finite number of 0 or more")
    if not all(0 <= beta < 1 for beta in recipe.betas) or not 0 <= recipe.average <= 1:
        seen = f"betas is {recipe.betas}, average {recipe.average}"
        raise ValueError(f"{seen}; wanted numbers of 0 or more, betas below 1 and average up to 1")


class Pair:
    """``G`` generators and critics in training; what is random comes from one generator of random numbers.

    Args:
        real: Codes to learn from, ``[G, T, k]``; others may take their place between steps.
        recipe: How.
        steps: How many there will be.
        rng: Of everything.
    """

    def __init__(self, real: Tensor, recipe: Recipe, steps: int, rng: torch.Generator) -> None:
        stack, _, k = real.shape
        self.real, self.recipe, self.rng = real, recipe, rng
        self.sizes = (recipe.latent.size, *recipe.hidden, k)
        self.maker, self.critic = (mlp(*sizes, dtype=real.dtype) for sizes in (self.sizes, (k, *recipe.hidden, 1)))
        self.g, self.f = (
            torch.stack([recipe.init(net, rng) for _ in range(stack)]).requires_grad_()
            for net in (self.maker, self.critic)
        )
        self.g.grad, self.f.grad = torch.zeros_like(self.g), torch.zeros_like(self.f)
        self.room = real.new_empty(stack, recipe.batch, k)  # fresh memory at each step would cost page faults
        self.averaged, self.steps_done = self.g.detach().clone(), 0
        rate = {"lr": recipe.learning_rate, "betas": recipe.betas, "fused": True}
        last = recipe.last_rate * recipe.learning_rate
        self.optimisers = [torch.optim.Adam([theta], **rate) for theta in (self.g, self.f)]
        self.decays = [torch.optim.lr_scheduler.CosineAnnealingLR(o, steps, last) for o in self.optimisers]

    def generator(self) -> Generator:
        """Give the generators as they are now, their weights averaged over steps."""
        return Generator(self.averaged.clone(), self.sizes, self.recipe.latent)

    @torch.no_grad()
    def move(self, there: Tensor, shift: Tensor, back: Tensor, unshift: Tensor) -> None:
        """Go over to codes ``y @ there + shift``, so that generated ones move along and critics score them as before.

        Args:
            there: Linear part of the map to the new codes, ``[G, k, k]``.
            shift: The rest, ``[G, 1, k]``.
            back: Linear part of the map to the old ones, ``[G, k, k]``.
            unshift: The rest, ``[G, 1, k]``.
        """
        for theta in (self.g, self.averaged):
            *_, weight, bias = self.maker.unravel(theta).values()
            weight.copy_(there.mT @ weight)
            bias.copy_((bias[:, None] @ there + shift)[:, 0])
        weight, bias, *_ = self.critic.unravel(self.f).values()
        bias.add_((unshift @ weight.mT)[:, 0])
        weight.copy_(weight @ back.mT)
        for optimiser in self.optimisers:
            optimiser.state.clear()  # its moments are of the old codes

    def step(self) -> Tensor:
        """Take some critic steps and one generator step; return the last critic cost ``[G]``."""
        for _ in range(self.recipe.critic_steps):
            cost = self._critic_step()
        self._generator_step()
        for decay in self.decays:
            decay.step()
        self.steps_done += 1
        keep = min(self.recipe.average, self.steps_done / (self.steps_done + 10))
        self.averaged.lerp_(self.g.detach(), 1 - keep)
        return cost

    def _critic_step(self) -> Tensor:
        real, maker = self._real(), layers(self.maker.unravel(self.g.detach()))
        h = hidden(maker, self._latents())
        u = torch.rand(*real.shape[:2], 1, generator=self.rng, device=self.rng.device, dtype=real.dtype)
        critic, into = map(self.critic.unravel, (self.f.detach(), self.f.grad))
        cost = critic_gradient(critic, maker[-1], h, real, u, self.recipe.penalty, into)
        self.optimisers[1].step()
        return cost

    def _generator_step(self) -> None:
        maker, into = map(self.maker.unravel, (self.g.detach(), self.g.grad))
        generator_gradient(maker, self.critic.unravel(self.f.detach()), self._latents(), into)
        self.optimisers[0].step()

    def _latents(self) -> Tensor:
        return self.recipe.latent(len(self.g), self.recipe.batch, self.rng).to(self.g.dtype)

    def _real(self) -> Tensor:
        stack, draws, _ = self.real.shape
        chosen = torch.randint(draws, (stack, self.recipe.batch), generator=self.rng, device=self.rng.device)
        for chain, rows, room in zip(self.real, chosen, self.room, strict=True):
            torch.index_select(chain, 0, rows, out=room)
        if not self.recipe.smoothing:
            return self.room
        blur = torch.empty_like(self.room).normal_(generator=self.rng)
        return self.room.add_(blur, alpha=self.recipe.smoothing)
