"""The two runs that notebooks share: the chains of the paper, and chains that mix.

The store finds a chain by what made it, so notebooks that ask for these runs with equal arguments open one another's
chains. Both draw from the posterior of a perceptron with a Gaussian prior, at temperature 1.
"""

import torch

from apdlab.data.batches import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers.precondition import layerwise_mass
from apdlab.samplers.run import Run
from apdlab.samplers.sghmc import sghmc
from apdlab.samplers.sgld import sgld
from apdlab.streams import streams
from apdlab.types import Split


def posterior(data: Split, layers: str, precision: float) -> LogDensity:
    """Give the log posterior of a perceptron, ``log N(theta; 0, 1 / precision) + sum log p(y | x, theta)``.

    Args:
        data: Its ``train`` part is learned from.
        layers: Sizes of the layers, e.g. ``"784-100-10"``.
        precision: Of the prior, 1 / variance, in all weights.

    Returns:
        The log posterior; its ``network`` is the perceptron.

    Raises:
        ValueError: If the layers are no sizes, or the precision is not above 0.

    Example:
        >>> from apdlab.data import digits
        >>> posterior(digits(), "64-10-10", 20.0).network.size
        760
    """
    sizes = layers.split("-")
    if len(sizes) < 2 or not all(size.isdigit() for size in sizes):
        raise ValueError(f"layers is {layers!r}; wanted sizes with - between them, e.g. '784-100-10'")
    network = mlp(*map(int, sizes))
    return LogDensity(network, categorical(), gaussian_prior(network, precision), len(data.train.y))


def paper_run(
    data: Split, layers: str, *, precision: float, step_size: float, steps: int, chains: int, seed: int
) -> tuple[LogDensity, Run]:
    """Make the run of the paper's SGLD: minibatches of 100, from the usual small initialisation.

    Args:
        data: Its ``train`` part is learned from.
        layers: Sizes of the layers, e.g. ``"784-100-10"``.
        precision: Of the prior; the paper's code has 50.
        step_size: ``eps``; the paper's code has 1e-6.
        steps: How many.
        chains: How many.
        seed: Of starts, minibatches and noise.

    Returns:
        The log posterior, and the run for ``store.keep(run, density.network, ...)``.

    Raises:
        ValueError: If a setting is none.

    Source: Wang et al., 2018, Adversarial distillation of Bayesian neural network posteriors,
    https://arxiv.org/abs/1806.10317, and its code

    Example:
        >>> from apdlab.data import digits
        >>> settings = {"precision": 20.0, "step_size": 1e-3, "steps": 10, "chains": 2, "seed": 0}
        >>> density, run = paper_run(digits(), "64-10-10", **settings)
        >>> run.theta.shape
        torch.Size([2, 760])
    """
    density, device = posterior(data, layers, precision), data.train.x.device
    start = torch.stack([density.network.init(g) for g in streams(seed, "init", chains)]).to(device)
    seen = batches(data.train, 100, seed=seed, chains=chains)
    return density, Run(sgld(density, step_size), start, seen, seed, steps)


def mixing_run(
    data: Split,
    layers: str,
    *,
    precision: float,
    step_size: float,
    friction: float,
    batch: int,
    steps: int,
    chains: int,
    seed: int,
) -> tuple[LogDensity, Run]:
    """Make a run of SGHMC with a mass for each layer, from draws of the prior: where most weights belong at once.

    Args:
        data: Its ``train`` part is learned from.
        layers: Sizes of the layers, e.g. ``"784-100-10"``.
        precision: Of the prior.
        step_size: ``h``.
        friction: Per unit of time.
        batch: Examples in a minibatch; more of them heat less.
        steps: How many.
        chains: How many.
        seed: Of starts, minibatches and noise; the mass is estimated on minibatches of ``seed + 1``.

    Returns:
        The log posterior, and the run for ``store.keep(run, density.network, ...)``.

    Raises:
        ValueError: If a setting is none.

    Example:
        >>> from apdlab.data import digits
        >>> settings = {"step_size": 1e-3, "friction": 10.0, "batch": 50, "steps": 10, "chains": 2, "seed": 0}
        >>> density, run = mixing_run(digits(), "64-10-10", precision=20.0, **settings)
        >>> run.theta.shape
        torch.Size([2, 760])
    """
    density, device = posterior(data, layers, precision), data.train.x.device
    start = torch.stack([torch.randn(density.network.size, generator=g) for g in streams(seed, "prior", chains)])
    start = start.to(device) / precision**0.5
    seen, others = (batches(data.train, batch, seed=s, chains=chains) for s in (seed, seed + 1))
    mass = layerwise_mass(density, start, others)
    return density, Run(sghmc(density, step_size, friction, mass=mass), start, seen, seed, steps)
