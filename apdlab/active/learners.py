"""Posteriors that learn from few labels: ``(sets of labelled examples, seed) -> draws of each repeat``.

The sets are those of ``R`` repeats, ``x [R, n, ...]`` and ``y [R, n]``; a repeat learns from its own alone. Everything
is made anew, from the initialisation on: a round of active learning owes nothing to the one before it but its labels.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.data import own_batches
from apdlab.density import LogDensity
from apdlab.distill import Distilled, gan, pca
from apdlab.draws import Draws
from apdlab.posterior import dropout as masks
from apdlab.posterior import sgd as descent
from apdlab.samplers import Run, keep
from apdlab.samplers import sgld as langevin
from apdlab.streams import stream, streams
from apdlab.types import Data

Learner = Callable[[Data, int], list[Draws]]


def sampled(
    own: Data, seed: int, *, density: LogDensity, step_size: float, steps: int, burn_in: int, thin: int, batch: int
) -> Chains:
    """Run one chain of SGLD for each repeat.

    Args:
        own: The sets of labelled examples.
        seed: Of starts, minibatches and noise.
        density: The log posterior; its ``n`` is replaced by the number of labels.
        step_size: ``eps``.
        steps: How many.
        burn_in: How many pass before a state is kept.
        thin: Keep every ``thin``-th state.
        batch: Examples in a minibatch; all, while there are no more.

    Returns:
        ``R`` chains.
    """
    start = _starts(own, seed, density)
    run = Run(langevin(_of(own, density), step_size), start, own_batches(own, batch, seed=seed), seed, steps)
    return keep(run, density.network, burn_in=burn_in, thin=thin)


def sgld(own: Data, seed: int, *, chains: Callable[[Data, int], Chains], draws: int) -> list[Draws]:
    """Draw by SGLD.

    Args:
        own: The sets of labelled examples.
        seed: Of the chains.
        chains: What runs them, e.g. ``partial(sampled, density=..., ...)``.
        draws: How many of each chain, evenly spaced.
    """
    return [chain.thin(draws) for chain in chains(own, seed)]


def distilled(
    own: Data,
    seed: int,
    *,
    chains: Callable[[Data, int], Chains],
    x: Tensor,
    directions: int,
    steps: int,
    recipe: gan.Recipe,
) -> Distilled:
    """Run the chains of SGLD, and train a new generator on each.

    Args:
        own: The sets of labelled examples.
        seed: Of the chains and the generators.
        chains: What runs them.
        x: Inputs to match the noise on, ``[N, ...]``, without labels, e.g. some of the pool.
        directions: Principal directions of each chain that its generator works in.
        steps: Of the generators.
        recipe: How they are trained.
    """
    train, held_out = chains(own, seed).hold_out(5)
    coordinates = pca(train.theta, train.network, directions)
    return gan.fit(train, held_out, coordinates, x, steps=steps, seed=seed, recipe=recipe)[0]


def apd(own: Data, seed: int, *, made: Callable[[Data, int], Distilled], draws: int) -> list[Draws]:
    """Draw from generators; the chains that they learned from are thrown away.

    Args:
        own: The sets of labelled examples.
        seed: Of the chains, the generators and the draws.
        made: What trains them, e.g. ``partial(distilled, chains=..., ...)``.
        draws: How many of each generator.
    """
    generators = streams(seed, "apd", len(own.y), own.x.device)
    return [one.sample(draws, generator=g) for one, g in zip(made(own, seed), generators, strict=True)]


def dropout(
    own: Data, seed: int, *, density: LogDensity, steps: int, learning_rate: float, batch: int, draws: int
) -> list[Draws]:
    """Train with dropout, and draw with it.

    Args:
        own: The sets of labelled examples.
        seed: Of starts, minibatches and masks.
        density: Of a network with dropout; its ``n`` is replaced by the number of labels.
        steps: How many.
        learning_rate: On the mean scale.
        batch: Examples in a minibatch; all, while there are no more.
        draws: How many masks.
    """
    found = []
    for r, start in enumerate(_starts(own, seed, density)):
        mine = own_batches(Data(own.x[r : r + 1], own.y[r : r + 1]), batch, seed=seed + r)
        settings = {"steps": steps, "learning_rate": learning_rate, "seed": seed + r}
        posterior, _ = masks.fit(_of(own, density), start, mine, **settings)
        found.append(posterior.sample(draws, generator=stream(seed, "masks", r, own.x.device)))
    return found


def sgd(own: Data, seed: int, *, density: LogDensity, steps: int, learning_rate: float, batch: int) -> list[Draws]:
    """Descend to one mode: a point estimate, which has entropy but no mutual information.

    Args:
        own: The sets of labelled examples.
        seed: Of starts and minibatches.
        density: The log posterior; its ``n`` is replaced by the number of labels.
        steps: How many.
        learning_rate: On the mean scale.
        batch: Examples in a minibatch; all, while there are no more.
    """
    settings = {"steps": steps, "learning_rate": learning_rate}
    start = _starts(own, seed, density)
    modes, _ = descent.fit(_of(own, density), start, own_batches(own, batch, seed=seed), **settings)
    return [modes[r : r + 1] for r in range(len(modes))]


def _of(own: Data, density: LogDensity) -> LogDensity:
    return replace(density, n=own.y.shape[1])


def _starts(own: Data, seed: int, density: LogDensity) -> Tensor:
    return torch.stack([density.network.init(g) for g in streams(seed, "init", len(own.y))]).to(own.x.device)
