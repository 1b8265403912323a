"""Toy sets, and four kinds of posterior of each: all sets of one size are sampled and distilled as one stack."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.data.toy import two_clusters, two_moons
from apdlab.density import LogDensity
from apdlab.diagnostics import summary
from apdlab.distill import gan, gaussian
from apdlab.draws import Draws, Posterior
from apdlab.likelihoods import categorical
from apdlab.networks import Network, mlp
from apdlab.posterior import sgd
from apdlab.predict import predict
from apdlab.priors import gaussian_prior
from apdlab.samplers.hmc import hmc
from apdlab.samplers.run import Run
from apdlab.samplers.sgld import sgld
from apdlab.scoreboard import distil
from apdlab.store import Store
from apdlab.streams import stream, streams
from apdlab.types import Batch, Data, Likelihood, Sampler

NETWORK = (2, 10, 10, 2)
RECIPE = gan.STEADY._replace(hidden=(50, 50), checkpoints=1)


def clusters(generator: torch.Generator, n: int, noise: float) -> Data:
    """Draw the two clusters of the paper, ``n`` points each, with standard deviation ``noise``; theirs is sqrt .3.

    Example:
        >>> clusters(torch.Generator().manual_seed(0), 10, 0.55).x.shape
        torch.Size([20, 2])
    """
    return two_clusters(generator, n, variance=noise**2)


def moons(generator: torch.Generator, n: int, noise: float) -> Data:
    """Draw two moons of ``n`` points each, twice as large as usual and around the origin, to share a map.

    Example:
        >>> moons(torch.Generator().manual_seed(0), 10, 0.2).x.abs().max() < 5
        tensor(True)
    """
    set_ = two_moons(generator, n, noise=noise / 2)
    return Data(2 * set_.x - set_.x.new_tensor([1.0, 0.5]), set_.y)


SETS: dict[str, Callable[[torch.Generator, int, float], Data]] = {"clusters": clusters, "moons": moons}


class Budget(NamedTuple):
    """What learning a stack of toy sets may cost.

    Attributes:
        chains: Of each sampler, for each set.
        step_size: ``eps`` of SGLD.
        steps: Of SGLD; the first quarter is burn-in.
        kept: States of SGLD and of HMC that are kept of a chain.
        leap: Step of a leapfrog, where HMC's search for one begins.
        leapfrogs: In a move of HMC.
        moves: Of HMC; the first quarter is warm-up.
        descent: Steps of gradient descent to the point estimate.
        learning_rate: Of that descent.
        directions: Principal directions that distillers work in.
        gan_steps: Generator steps.
    """

    chains: int = 4
    step_size: float = 0.01
    steps: int = 10_000
    kept: int = 150
    leap: float = 0.1
    leapfrogs: int = 15
    moves: int = 400
    descent: int = 1000
    learning_rate: float = 0.1
    directions: int = 64
    gan_steps: int = 300


class Learned(NamedTuple):
    """Posteriors of one set: a point estimate, what was distilled from SGLD, and the chains of SGLD and HMC."""

    data: Data
    sgd: Draws
    apd: Posterior
    gaussian: Posterior
    sgld: Chains
    hmc: Chains

    def draws(self, n: int, seed: int) -> dict[str, Draws]:
        """Give up to ``n`` draws of each posterior in random order, under the id of its method.

        Any first ``k`` of them are as good as any other ``k``. The point estimate has one, a chain no more than it has.
        """
        posteriors = {"sgd": self.sgd, "sgld": self.sgld.thin(), "apd": self.apd, "gaussian": self.gaussian}
        return {
            name: posterior.sample(
                min(n, len(posterior)) if isinstance(posterior, Draws) else n, generator=stream(seed, f"toy {name}")
            )
            for name, posterior in (posteriors | {"hmc": self.hmc.thin()}).items()
        }


def side_by_side(sets: Sequence[Data], chains: int, dtype: torch.dtype) -> Callable[[int], Batch]:
    """Give each of ``chains`` chains of each set the whole of it in every step: ``x [len(sets) chains, n, ...]``.

    Raises:
        ValueError: If there is no set, or they differ in size.

    Example:
        >>> import torch
        >>> sets = [Data(torch.zeros(6, 2), torch.zeros(6, dtype=torch.long))] * 3
        >>> side_by_side(sets, 4, torch.float64)(0).x.shape
        torch.Size([12, 6, 2])
    """
    if len({len(s.y) for s in sets}) != 1:
        seen = [len(s.y) for s in sets]
        raise ValueError(f"sets have {seen} examples; wanted sets of one size: learn those of each size apart")
    x, y = (torch.stack([s[part] for s in sets]).repeat_interleave(chains, 0) for part in (0, 1))
    batch = Batch(x.to(dtype), y.to(dtype) if y.is_floating_point() else y, torch.arange(y.shape[1])[None])
    return lambda step: batch


def learn(
    sets: Sequence[Data],
    layers: Sequence[int],
    likelihood: Likelihood,
    x: Tensor,
    *,
    precision: float,
    budget: Budget,
    seed: int,
    store: Store,
) -> list[Learned]:
    """Find point estimate, SGLD, HMC, APD and low-rank Gaussian of each set, all sets side by side, or open them.

    Every gradient is of the whole set: what SGLD is off from HMC, its step and its length are to blame for. HMC runs in
    float64. APD and the Gaussian know of the set only what SGLD's chains tell.

    Args:
        sets: Of one size, on one device.
        layers: Sizes of the perceptron's, e.g. ``(2, 10, 10, 2)``.
        likelihood: Of outputs.
        x: Inputs on which distillers match their noise ``[N, ...]``. Of a regression they cannot: take as many
            ``directions`` as weights, which leaves no noise to match.
        precision: Of the Gaussian prior, 1 / variance, in all weights.
        budget: What it may cost.
        seed: Of starts, noise, and distillers.
        store: Where chains and fits are kept.

    Returns:
        What was learned of each set, in their order.

    Raises:
        ValueError: If the sets differ in size, or a number of the budget is out of its range.
    """
    single, double = (mlp(*layers, dtype=dtype) for dtype in (torch.float32, torch.float64))
    density, exact = (_density(network, likelihood, precision, sets) for network in (single, double))
    keep = partial(_keep, sets, precision, budget, seed, store)
    langevin = keep(sgld(density, budget.step_size), single, budget.steps)
    gold = keep(hmc(exact, budget.leap, budget.leapfrogs, budget.moves // 4), double, budget.moves)
    gold = replace(gold, network=single, theta=gold.theta.float())
    start = torch.stack([single.init(g) for g in streams(seed, "toy init", len(sets))])
    once = side_by_side(sets, 1, torch.float32)
    descent = {"steps": budget.descent, "learning_rate": budget.learning_rate}
    points, _ = store.fit(single, sgd.fit, density, start, once, **descent)
    fits = {"apd": partial(gan.fit, steps=budget.gan_steps, recipe=RECIPE), "gaussian": gaussian.fit}
    made = distil(fits, langevin, budget.directions, x, seed=seed, through=store.fit)
    own = [slice(i * budget.chains, (i + 1) * budget.chains) for i in range(len(sets))]
    return [
        Learned(s, points[i : i + 1], made["apd"][0][mine], made["gaussian"][0][mine], langevin[mine], gold[mine])
        for i, (s, mine) in enumerate(zip(sets, own, strict=True))
    ]


def survey(
    noises: Sequence[float],
    sizes: Sequence[int],
    x: Tensor,
    *,
    precision: float,
    budget: Budget,
    seed: int,
    store: Store,
) -> dict[tuple[str, float, int], Learned]:
    """Learn each of ``SETS`` with each noise and of each size by a network 2-10-10-2: one stack for each size.

    Args:
        noises: Standard deviations of the sets.
        sizes: Points a class.
        x: Inputs on which distillers match their noise, ``[N, 2]``.
        precision: Of the prior.
        budget: Of each stack.
        seed: Of sets, starts, noise.
        store: Where chains and fits are kept.

    Returns:
        What was learned, under ``(data set, noise, size)``.
    """
    found = {}
    for size in sizes:
        keys = [(name, noise, size) for name in SETS for noise in noises]
        sets = [SETS[name](stream(seed, name), size, noise) for name, noise, _ in keys]
        how = {"precision": precision, "budget": budget, "seed": seed, "store": store}
        found |= dict(zip(keys, learn(sets, NETWORK, categorical(), x, **how), strict=True))
    return found


def mixing(chains: Chains, x: Tensor, name: str) -> dict[str, str | int | float]:
    """Sum up R-hat and effective sample size of a network's last output, less its first if it has several, on ``x``.

    Args:
        chains: To be judged.
        x: Inputs ``[N, ...]``.
        name: Of the row.

    Example:
        >>> theta = torch.randn(4, 50, 6, generator=torch.Generator().manual_seed(0))
        >>> chains = Chains(mlp(2, 2), theta, torch.arange(50), torch.zeros(4, 50))
        >>> mixing(chains, torch.ones(5, 2), "sgld")["quantities"]
        5
    """
    outputs = predict(chains.thin(), x, predictive=lambda outputs: outputs)
    values = outputs[..., -1] - (outputs[..., 0] if outputs.shape[-1] > 1 else 0)
    return summary(values.unflatten(0, chains.theta.shape[:2]), name)


def _density(network: Network, likelihood: Likelihood, precision: float, sets: Sequence[Data]) -> LogDensity:
    return LogDensity(network, likelihood, gaussian_prior(network, precision), n=len(sets[0].y))


def _keep(
    sets: Sequence[Data],
    precision: float,
    budget: Budget,
    seed: int,
    store: Store,
    kernel: Sampler,
    network: Network,
    steps: int,
) -> Chains:
    """Run chains of all sets from draws of the prior, and keep states of the last three quarters."""
    seen = side_by_side(sets, budget.chains, network.dtype)
    start = torch.stack([torch.randn(network.size, generator=g) for g in streams(seed, "toy prior", len(seen(0).y))])
    start = (start / precision**0.5).to(seen(0).x)
    burn_in = steps // 4
    thin = max(1, (steps - burn_in) // budget.kept)
    return store.keep(Run(kernel, start, seen, seed, steps), network, burn_in=burn_in, thin=thin)[0]
