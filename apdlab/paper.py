"""The toy experiment of the APD paper: chain, point estimate, and the GAN on raw weights while it learns."""

from collections.abc import Sequence

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.density import LogDensity
from apdlab.distill import Distilled, gan, raw
from apdlab.distill.generator import normal
from apdlab.draws import Draws
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.posterior import sgd
from apdlab.priors import gaussian_prior
from apdlab.samplers.run import Run
from apdlab.samplers.sgld import sgld
from apdlab.store import Store
from apdlab.streams import streams
from apdlab.toys import NETWORK, side_by_side
from apdlab.types import Data

RECIPE = gan.PAPER._replace(hidden=(50, 50, 50), latent=normal(100), learning_rate=1e-3)


def paper_chain(data: Data, *, steps: int, chains: int, descent: int, seed: int, store: Store) -> tuple[Chains, Draws]:
    """Walk and descend as the toy experiment of the paper's code does: precision 0.02, ``eps`` 0.0025, small starts.

    Args:
        data: Two classes in the plane.
        steps: Of SGLD; the first quarter is burn-in, and about 450 states a chain are kept.
        chains: How many.
        descent: Steps of gradient descent to the point estimate, from the first chain's start.
        seed: Of starts and noise.
        store: Where they are kept.

    Source: Wang et al., 2018, https://arxiv.org/abs/1806.10317, and its code
    """
    network = mlp(*NETWORK)
    density = LogDensity(network, categorical(), gaussian_prior(network, 0.02), n=len(data.y))
    start = torch.stack([network.init(g) for g in streams(seed, "toy init", chains)]).to(data.x.device)
    run = Run(sgld(density, 2.5e-3), start, side_by_side([data], chains, network.dtype), seed, steps)
    path, _ = store.keep(run, network, burn_in=steps // 4, thin=max(1, steps // 600))
    once = side_by_side([data], 1, network.dtype)
    point, _ = store.fit(network, sgd.fit, density, start[:1], once, steps=descent, learning_rate=0.1)
    return path, point


def snapshots(
    path: Chains, x: Tensor, numbers: Sequence[int], *, seed: int, store: Store
) -> tuple[dict[int, Distilled], gan.Trace]:
    """Train the generator of the paper's toy experiment to several lengths, and give the longest one's trace.

    The learning rate is constant, so that each training is the beginning of the longer ones; at 1e-3 it is ten times
    the paper's, which took 20,000 steps.

    Args:
        path: What it learns from; every fifth state is held out.
        x: Inputs on which generated and held-out predictions are compared, ``[N, 2]``.
        numbers: Generator steps, ascending.
        seed: Of the training.
        store: Where they are kept.
    """
    train, held_out = path.hold_out(5)
    known = train, held_out, raw(train.theta, path.network), x
    fits = {n: store.fit(path.network, gan.fit, *known, steps=n, seed=seed, recipe=RECIPE) for n in numbers}
    return {n: posterior for n, (posterior, *_) in fits.items()}, fits[numbers[-1]][2]
