r"""APD while the chains run: a draw every few steps goes into a bounded buffer, and a GAN trains on the buffer.

What is held does not grow with the number of draws: buffer, coordinates, running moments, the pair. Draws held out
leave their predictions only. Coordinates are found from the first draws and, if asked for, again from the buffer later:
a generator's last layer and a critic's first one are linear, and go over to the new ones without forgetting.

Source: Wang et al., 2018, Adversarial distillation of Bayesian neural network posteriors, Algorithm 2,
https://arxiv.org/abs/1806.10317
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.distill.buffer import Rule, reservoir
from apdlab.distill.coordinates import Coordinates, Distilled
from apdlab.distill.gan import STEADY, Recipe
from apdlab.distill.learner import Learner, Plan
from apdlab.networks import Network
from apdlab.samplers.run import Position, Run, Step, count_kept
from apdlab.streams import stream
from apdlab.types import Cost, Info

Restart = Callable[[Distilled, torch.Generator], Tensor]
PARTS = 10


class Course(NamedTuple):
    """What was seen in each section of a fit, of those that end with a checkpoint.

    Attributes:
        steps: Of the sampler, at their ends, ``[sections]``.
        critic_cost: Mean over the section, ``[sections, G]``.
        distance: Total variation to the predictions of all draws held out so far, ``[sections, G]``.
        outside: Share of the variance of all draws so far that the coordinates leave out, ``[sections, G]``.
        log_posterior: Mean over each tenth of the section, ``[sections, 10, G]``.
        moved: How far a restart carried the chains, ``[sections, G]``; 0 where there was none.
        nbytes: The most that was held until their ends, ``[sections]``.
    """

    steps: Tensor
    critic_cost: Tensor
    distance: Tensor
    outside: Tensor
    log_posterior: Tensor
    moved: Tensor
    nbytes: Tensor


class _Stored(NamedTuple):
    theta: Tensor


@dataclass(frozen=True)
class Replay:
    """Gives the states of stored chains as if they were drawn now, one a step: what another fit makes of them.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> chains = Chains(mlp(2, 3), torch.zeros(4, 100, 9), torch.arange(100), torch.zeros(4, 100))
        >>> len(Replay(chains)), next(iter(Replay(chains))).state.theta.shape
        (100, torch.Size([4, 9]))
    """

    chains: Chains

    def __len__(self) -> int:
        return self.chains.theta.shape[1]

    def __iter__(self) -> Iterator[Step]:
        states = zip(self.chains.theta.unbind(1), self.chains.log_posterior.unbind(1), strict=True)
        return (Step(t, _Stored(theta), Info(level, math.nan)) for t, (theta, level) in enumerate(states, 1))


def from_generator(posterior: Distilled, rng: torch.Generator) -> Tensor:
    """Restart each chain at a draw of its own generator, ``[G, D]``, as the released code can."""
    return posterior.sample(len(posterior), generator=rng).theta


def doubling(first: int, draws: int) -> tuple[int, ...]:
    """Give ``first, 2 first, 4 first, ...`` up to ``draws``: when to look at a path that goes on.

    Example:
        >>> doubling(100, 800)
        (100, 200, 400, 800)
    """
    return tuple(first * 2**i for i in range((draws // first).bit_length()))


def fit(
    source: Run | Replay,
    network: Network,
    find: Callable[[Tensor, Network], Coordinates],
    x: Tensor,
    *,
    every: int,
    gan_steps: int,
    capacity: int,
    looks: Sequence[int],
    seed: int,
    rule: Rule = reservoir,
    restart: Restart | None = None,
    recipe: Recipe = STEADY,
    hold_out: int = 5,
) -> tuple[Distilled, Cost, Course]:
    """Train one generator a chain while the chains run: Algorithm 2 of the paper, in coordinates.

    After every ``every`` steps of the sampler the state of each chain is offered to a buffer of ``capacity`` draws,
    and ``gan_steps`` generator steps are taken on what that holds. Of these states every ``hold_out``-th leaves its
    predictions only, to match the noise on. The moments of codes that the recipe matches are those of *all* states,
    summed up as they come. Nothing is written on the way: a fit that was killed starts again, and ``store.fit`` opens
    one that was finished.

    Args:
        source: A run; or ``Replay(chains)``, with ``every=1``.
        network: Whose weights they are.
        find: Finds coordinates of draws ``[G, T, D]``, e.g. ``partial(pca, k=8)`` or ``raw``.
        x: Inputs to compare predictions on, ``[N, ...]``, not the test set; labels are not used.
        every: Steps of the sampler between draws, ``T_m``.
        gan_steps: Generator steps after each draw, ``T_g``, as soon as there are coordinates.
        capacity: Of the buffer, in draws of each chain.
        looks: After how many offered draws coordinates are found: once, early, or also later, see ``doubling``. After
            the last of them the buffer holds codes instead of weights.
        seed: Of all random numbers but the run's.
        rule: What a full buffer does: ``reservoir``, or ``fifo`` as in the released code.
        restart: Where chains go on from after each section, e.g. ``from_generator``; None lets them run. A restarted
            sampler begins anew: momenta and schedules, too.
        recipe: Of the GAN; its ``checkpoints`` cut the run in as many sections.
        hold_out: One draw in how many is held out.

    Returns:
        The posterior at the end; its cost, of replayed chains without theirs; its course.

    Raises:
        ValueError: If a number is out of its range, the source is neither, or there is a restart but no run.
        Diverged: If a chain diverges.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from apdlab.distill.coordinates import pca
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 60, 9, generator=torch.Generator().manual_seed(0))
        >>> chains = Replay(Chains(network, theta, torch.arange(60), torch.zeros(2, 60)))
        >>> settings = {"every": 1, "gan_steps": 1, "capacity": 20, "looks": (10,), "seed": 0}
        >>> posterior, _, course = fit(chains, network, partial(pca, k=2), torch.ones(7, 2), **settings)
        >>> len(posterior.sample(100, generator=torch.Generator())), course.steps.tolist()
        (100, [15, 30, 45, 60])
    """
    if not isinstance(source, Run | Replay):
        raise ValueError(f"source is a {type(source).__name__}; wanted a Run without a bar, or Replay(chains)")
    if restart is not None and not isinstance(source, Run):
        raise ValueError(f"source is a {type(source).__name__}; wanted a Run where there is a restart")
    draws, start = count_kept(len(source), 0, every), time.perf_counter()
    plan = Plan(find, gan_steps, capacity, looks, rule, recipe, hold_out)
    learner = Learner(network, x, plan, plan.total(draws), seed)
    position = source.start() if isinstance(source, Run) else None
    walk = source.walk(position) if position else iter(source)
    ends = [every * (draws * (i + 1) // recipe.checkpoints) for i in range(recipe.checkpoints)]
    rng, sections = stream(seed, "restart", device=x.device), []
    for begin, end in zip([0, *ends], ends, strict=False):
        theta, level = _follow(walk, end - begin, every, learner)
        posterior, moved = learner.posterior(), torch.zeros_like(level[0])
        if restart is not None and end < ends[-1]:
            moved = (restarted := restart(posterior, rng)).sub(theta).norm(dim=-1)
            walk = source.walk(Position(end, source.sampler.init(restarted), position.generators))
        seen = learner.critic_cost(), learner.distance(posterior), learner.outside(), level, moved, learner.most
        sections.append([torch.as_tensor(value).cpu() for value in (end, *seen)])
    evaluations = ends[-1] * len(theta) if position else 0
    course = Course(*map(torch.stack, zip(*sections, strict=True)))
    return posterior, Cost(evaluations, time.perf_counter() - start), course


def _follow(walk: Iterator[Step], steps: int, every: int, learner: Learner) -> tuple[Tensor, Tensor]:
    """Let the learner take a draw every few steps; give the last state and the log posterior of each tenth."""
    sums, counts = None, torch.zeros(PARTS)
    for i, (_, state, info) in enumerate(islice(walk, steps)):
        sums = info.log_posterior.new_zeros(PARTS, len(info.log_posterior)) if sums is None else sums
        sums[i * PARTS // steps] += info.log_posterior
        counts[i * PARTS // steps] += 1
        if (i + 1) % every == 0:
            learner.take(state.theta)
    return state.theta.clone(), sums / counts[:, None].to(sums)
