r"""Flow matching: codes of draws from noise by a velocity that was learned by regression, without an adversary.

Noise ``z_0 ~ N(0, I)`` moves along ``dz/dt = v(z, t)`` to a code at ``t = 1``. On the straight path to one,
``z_t = (1 - (1 - sigma) t) z_0 + t z_1``, the velocity is ``z_1 - (1 - sigma) z_0``, and ``v`` minimises
``E |v(z_t, t) - (z_1 - (1 - sigma) z_0)|^2`` over ``t ~ U(0, 1)``: one loss, that falls. Codes are whitened first, so
that only the shape beyond a Gaussian is left to learn, and ``v = 0`` already has their mean and covariance.

Source: Lipman et al., 2023, Flow matching for generative modeling, https://arxiv.org/abs/2210.02747
"""

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apdlab.chains import Chains
from apdlab.distill import judge
from apdlab.distill.coordinates import Coordinates, Distilled, refuse_unlike
from apdlab.distill.generator import covariance_of, roots
from apdlab.networks import Network
from apdlab.streams import stream
from apdlab.types import Cost, is_count


class Velocity(nn.Module):
    """Gives ``v(z, t) [N, k]`` of ``[N, k + 1]``, codes with the time behind them: residual blocks with normalisation.

    A plain perceptron learns curved clouds badly here; blocks and many frequencies of time are what it takes.

    Args:
        k: Numbers in a code.
        hidden: Units of every layer.
        blocks: How many residual blocks.
        waves: Of how many frequencies, from 1 to 100, the time is seen.

    Example:
        >>> import torch
        >>> Velocity(8, 32, 2)(torch.zeros(5, 9)).shape
        torch.Size([5, 8])
    """

    def __init__(self, k: int, hidden: int, blocks: int, waves: int = 16) -> None:
        super().__init__()
        self.frequencies = torch.logspace(0, 2, waves, device="cpu").tolist()  # no buffer: it is not learned
        self.enter = nn.Linear(k, hidden)
        self.clock = nn.Sequential(nn.Linear(2 * waves, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, k))

    def forward(self, z_and_t: Tensor) -> Tensor:
        """Evaluate the velocity."""
        z, t = z_and_t[:, :-1], z_and_t[:, -1:]
        phase = t * t.new_tensor(self.frequencies)
        h = self.enter(z) + self.clock(torch.cat([phase.sin(), phase.cos()], -1))
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h)


class Recipe(NamedTuple):
    """How the velocity is built and trained.

    Attributes:
        hidden: Units of its layers.
        blocks: How many residual blocks.
        batch: Codes a step.
        learning_rate: Of Adam, at the start; it falls as a cosine to a fiftieth.
        smoothing: ``sigma``, the standard deviation of normal noise that is left on codes, in theirs.
        average: How much of the average of the weights is kept at a step.
        moves: Midpoint steps from noise to a code, two evaluations each.
        checkpoints: Among how many, evenly spaced, one is chosen.
    """

    hidden: int = 64
    blocks: int = 3
    batch: int = 256
    learning_rate: float = 1e-3
    smoothing: float = 0.02
    average: float = 0.999
    moves: int = 10
    checkpoints: int = 2


@dataclass(frozen=True)
class Flow:
    """Makes codes of ``G`` chains: noise moved by a velocity each, then put right by a linear map.

    Attributes:
        theta: Weights of the velocities ``[G, P]``.
        turn: What maps where the flow ends to codes, ``[G, k, k]``.
        shift: ``[G, k]``.
        hidden: Units of the layers of the velocities.
        blocks: How many residual blocks they have.
        moves: Midpoint steps.
    """

    theta: Tensor
    turn: Tensor
    shift: Tensor
    hidden: int
    blocks: int
    moves: int

    @property
    def nbytes(self) -> int:
        """Bytes of the velocities and of the maps."""
        return self.theta.nbytes + self.turn.nbytes + self.shift.nbytes

    def __getitem__(self, chains: slice) -> "Flow":
        """Select those of some chains."""
        return replace(self, theta=self.theta[chains], turn=self.turn[chains], shift=self.shift[chains])

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give ``n`` codes of each chain, ``[G, n, k]``."""
        shape, like = (len(self.shift), n, self.shift.shape[-1]), {"dtype": self.theta.dtype}
        with torch.device("meta"):  # its weights are here
            network = _velocity(shape[-1], self.hidden, self.blocks, **like)
        params, step = network.unravel(self.theta), 1 / self.moves
        z = torch.randn(shape, generator=generator, device=generator.device, **like)
        for i in range(self.moves):
            half = z + step / 2 * _at(network, params, z, i * step)
            z = z + step * _at(network, params, half, (i + 0.5) * step)
        return torch.baddbmm(self.shift[:, None], z, self.turn)


def fit(
    train: Chains,
    held_out: Chains,
    coordinates: Coordinates,
    x: Tensor,
    *,
    steps: int,
    seed: int,
    recipe: Recipe = Recipe(),  # noqa: B008 (it is a constant)
) -> tuple[Distilled, Cost]:
    """Learn the velocity of each chain's draws, all chains as one stack, and keep for each its best checkpoint.

    At each checkpoint codes are given the mean and covariance of the draws, the noise of directions that the
    coordinates leave out is matched, and the checkpoint whose predictions are nearest to the held-out draws' is kept.

    Args:
        train: Draws to learn from, ``G`` chains.
        held_out: Draws of the same chains to match the noise and choose the checkpoint on.
        coordinates: A few directions to work in, e.g. ``pca(train.theta, network, 8)``.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        steps: Of the training.
        seed: Of all random numbers.
        recipe: The rest.

    Returns:
        The posterior and its cost (no gradient of the network is evaluated).

    Raises:
        ValueError: If the chains, coordinates and inputs do not fit, or a number of the recipe is out of its range.

    Example:
        >>> import torch
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> early, late = Chains(network, theta, torch.arange(50), torch.zeros(2, 50)).split(0.8)
        >>> coordinates = pca(early.theta, network, k=4)
        >>> posterior, _ = fit(early, late, coordinates, torch.zeros(7, 2), steps=5, seed=0)
        >>> len(posterior.sample(100, generator=torch.Generator().manual_seed(0)))
        100
    """
    refuse_unlike(train, held_out, coordinates)
    _refuse_recipe(recipe, steps, coordinates)
    start, kept, predicted = time.perf_counter(), [], judge.of_chains(held_out, x)
    training = _Training(
        coordinates.encode(train.theta), recipe, steps, stream(seed, "flow", device=train.theta.device)
    )
    checkpoints = {steps * (i + 1) // recipe.checkpoints for i in range(recipe.checkpoints)}
    for step in range(1, steps + 1):
        training.step()
        if step in checkpoints:
            codes = training.flow(stream(seed, "moments", device=train.theta.device))
            made = Distilled(train.network, coordinates, codes)
            kept.append(judge.match_disagreement(made, predicted, x, seed=seed))
    return judge.best(kept, predicted, x, seed)[0], Cost(0, time.perf_counter() - start)


def _refuse_recipe(recipe: Recipe, steps: int, coordinates: Coordinates) -> None:
    if coordinates.basis is None:
        raise ValueError(
            "coordinates are the weights themselves; wanted a few directions: pca(train.theta, network, k)"
        )
    judge.refuse_training(steps, recipe.checkpoints, recipe.learning_rate)
    for name in ("hidden", "blocks", "batch", "moves"):
        if not is_count(getattr(recipe, name)):
            raise ValueError(f"{name} is {getattr(recipe, name)}; wanted a whole number of 1 or more")
    for name in ("smoothing", "average"):
        if not 0 <= getattr(recipe, name) <= 1:
            raise ValueError(f"{name} is {getattr(recipe, name)}; wanted a number from 0 to 1")


class _Training:
    """``G`` velocities in training; what is random comes from one generator of random numbers."""

    def __init__(self, real: Tensor, recipe: Recipe, steps: int, rng: torch.Generator) -> None:
        self.recipe, self.rng, self.steps_done = recipe, rng, 0
        self.mean, (self.root, inverse) = real.mean(1), (part.to(real) for part in roots(covariance_of(real)))
        self.real = (real - self.mean[:, None]) @ inverse
        self.network = _velocity(real.shape[-1], recipe.hidden, recipe.blocks, dtype=real.dtype)
        self.theta = torch.stack([self.network.init(rng) for _ in real]).requires_grad_()
        self.averaged = self.theta.detach().clone()
        self.optimiser = torch.optim.Adam([self.theta], recipe.learning_rate, fused=True)
        last = recipe.learning_rate / 50
        self.decay = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, steps, last)

    def step(self) -> None:
        """Descend along the gradient of the loss of one batch of codes, times and noise."""
        z_1, z_0, t = self._batch()
        left = 1 - self.recipe.smoothing
        guess = _at(self.network, self.network.unravel(self.theta), (1 - left * t) * z_0 + t * z_1, t)
        self.optimiser.zero_grad()
        (guess - (z_1 - left * z_0)).square().mean((1, 2)).sum().backward()
        self.optimiser.step()
        self.decay.step()
        self.steps_done += 1
        keep = min(self.recipe.average, self.steps_done / (self.steps_done + 10))
        self.averaged.lerp_(self.theta.detach(), 1 - keep)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        stack, draws, k = self.real.shape
        chosen = torch.randint(draws, (stack, self.recipe.batch, 1), generator=self.rng, device=self.rng.device)
        z_1 = self.real.gather(1, chosen.expand(-1, -1, k))
        t = torch.rand(stack, self.recipe.batch, 1, generator=self.rng, device=self.rng.device, dtype=z_1.dtype)
        return z_1, torch.empty_like(z_1).normal_(generator=self.rng), t

    def flow(self, rng: torch.Generator, n: int = 2000) -> Flow:
        """Give the flow as it is now, with the mean and covariance of the real codes."""
        recipe, (stack, _, k) = self.recipe, self.real.shape
        straight = torch.eye(k, dtype=self.real.dtype, device=self.real.device).expand(stack, k, k)
        raw = Flow(self.averaged.clone(), straight, 0 * self.mean, recipe.hidden, recipe.blocks, recipe.moves)
        fake = raw.sample(n, rng)
        turn = roots(covariance_of(fake))[1].to(fake) @ self.root
        return replace(raw, turn=turn, shift=self.mean - (fake.mean(1)[:, None] @ turn)[:, 0])


def _velocity(k: int, hidden: int, blocks: int, dtype: torch.dtype) -> Network:
    return Network(Velocity(k, hidden, blocks).to(dtype))


def _at(network: Network, params: dict[str, Tensor], z: Tensor, t: Tensor | float) -> Tensor:
    time = t if isinstance(t, Tensor) else z.new_full((*z.shape[:-1], 1), t)
    return network(params, torch.cat([z, time], -1))
