"""Runs to store, and how their results are compared."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, preconditioned, sghmc, sgld
from apdlab.schedules import polynomial
from apdlab.types import Data, Info, Sampler

CHAINS, STEPS = 2, 12


def set_of(shift=0.0):
    return Data(torch.linspace(-1, 1, 16).view(8, 2) + shift, torch.arange(8) % 3)


def bayes(steps=STEPS, seed=0, step=1e-2, temperature=1.0, prior=1.0, shift=0.0, activation=nn.ReLU, start=0.0):
    """A run on a network, as a notebook has it."""
    network = mlp(2, 3, 3, activation=activation)
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, prior), n=8)
    theta = torch.linspace(-1, 1, CHAINS * network.size).view(CHAINS, -1) + start
    minibatches = batches(set_of(shift), 3, seed=seed, chains=CHAINS)
    return Run(sgld(log_posterior, step, temperature), theta, minibatches, seed, steps), network


class Inner(NamedTuple):
    momentum: Tensor
    noise: Tensor
    count: int
    scale: float
    later: Tensor | None


class Outer(NamedTuple):
    theta: Tensor
    step: int
    inner: tuple[Inner, Tensor, None]


def nested(friction=0.5):
    """A kernel whose state has all that a state may have, in place and not, contiguous and not."""

    def init(theta):
        momentum, noise = torch.zeros_like(theta), theta.new_zeros(theta.shape[::-1]).T  # a row is drawn by its layout
        return Outer(theta.clone(), 0, (Inner(momentum, noise, 0, 1.0, None), torch.zeros(3, dtype=torch.int64), None))

    def step(state, batch, generators):
        theta, number, (inner, counts, nothing) = state
        for row, generator in zip(inner.noise, generators, strict=True):
            row.normal_(generator=generator)
        inner.momentum.mul_(friction).add_(inner.noise, alpha=inner.scale)
        if inner.later is not None:
            theta.add_(inner.later[:, None], alpha=1e-3)
        theta.add_(inner.momentum, alpha=0.1)
        counts[number % 3] += 1
        later = theta.mean(-1) + counts.sum() if number > 4 else None
        inner = Inner(inner.momentum, inner.noise, inner.count + 1, inner.scale * 0.9 + 0.01 * inner.count, later)
        return Outer(theta, number + 1, (inner, counts, nothing)), Info(-theta.square().sum(-1), 0.1)

    return Sampler(init, step)


def strange(steps=STEPS, seed=0):
    network = mlp(5, 3, dtype=torch.float64)
    theta = torch.linspace(-1, 1, CHAINS * 18, dtype=torch.float64).view(CHAINS, 18)
    return Run(nested(), theta, lambda step: None, seed, steps), network


def decaying(steps=STEPS, seed=0):
    return bayes(steps, seed, step=polynomial(1e-2, 1.0, 0.6))


def followed(steps=STEPS, seed=0):
    """A kernel whose mass is estimated anew in every fifth step."""
    run, network = bayes(steps, seed)
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=8)
    own = batches(set_of(), 3, seed=seed + 1, chains=CHAINS)
    kernel = preconditioned(lambda mass: sghmc(log_posterior, 0.1, 1.0, mass=mass), log_posterior, own, 5, count=2)
    return Run(kernel, run.theta, run.batches, seed, steps), network


RUNS = {"sgld": bayes, "a schedule": decaying, "a nested state": strange, "a mass that follows": followed}


def quartic(theta, batch):
    return -0.25 * theta.pow(4).sum(-1)


def equal(one, other):
    pairs = ((one.theta, other.theta), (one.steps, other.steps), (one.log_posterior, other.log_posterior))
    pairs += tuple((values, other.measures[name]) for name, values in one.measures.items())
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


def shards(store):
    return sorted(store.root.glob("chains/*/0*.safetensors"))


class Cut(Exception):
    """What ends a job here."""


def cut(steps, after):
    """A bar that ends the job before a step is seen."""
    for step in steps:
        if step.number > after:
            raise Cut
        yield step
