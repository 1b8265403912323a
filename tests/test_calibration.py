"""Simulation-based calibration: where the weights that made the data fall among draws of their posterior.

Weights are drawn from the prior and data from the weights; then the rank of a quantity of the true weights among
independent draws of the posterior is uniform (Talts et al., 2018, https://arxiv.org/abs/1804.06788), whatever the
quantity. Each chain has data of its own, so that all simulations are one run. The log likelihood is among the
quantities, as a sampler that ignores the data passes on the weights alone.
"""

import math

import pytest
import torch
from laws import likely
from scipy import stats

from apdlab.density import LogDensity
from apdlab.likelihoods import gaussian
from apdlab.networks import Network
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, hmc, keep, sghmc
from apdlab.types import Batch

SIMULATIONS, N, D, DRAWS, NOISE, PRIOR = 800, 12, 3, 19, 0.8, 2.0


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def simulated(seed, n=N, prior=PRIOR):
    """True weights ``[S, D]``, a batch of the data of each, and what a sampler believes: a prior, ``n`` examples."""
    network = Network(torch.nn.Linear(D, 1, bias=False, dtype=torch.float64))
    theta, x = (
        normal(SIMULATIONS, D, seed=seed) / math.sqrt(PRIOR),
        normal(N, D, seed=seed + 1).expand(SIMULATIONS, N, D),
    )
    y = network(network.unravel(theta), x) + NOISE * normal(SIMULATIONS, N, 1, seed=seed + 2)
    log_posterior = LogDensity(network, gaussian(NOISE), gaussian_prior(network, prior), n=n)
    return network, theta, Batch(x, y, torch.arange(N).expand(SIMULATIONS, N)), log_posterior


def quantities(network, theta, batch):
    """The weights, and the log likelihood of the data, ``[S, D + 1]``."""
    fit = gaussian(NOISE).log_prob(network(network.unravel(theta), batch.x), batch.y).sum(-1, keepdim=True)
    return torch.cat([theta, fit], -1)


def ranks(kernel, every, seed, **believed):
    """The rank of each quantity of the true weights among draws, ``[S, D + 1]``, 0 to DRAWS."""
    network, theta, batch, log_posterior = simulated(seed, **believed)
    start = normal(SIMULATIONS, D, seed=seed + 3)  # of no posterior
    run = Run(kernel(log_posterior), start, lambda t: batch, seed, every * (DRAWS + 3))
    chains = keep(run, network, burn_in=3 * every, thin=every)
    true = quantities(network, theta, batch)
    drawn = torch.stack([quantities(network, chains.theta[:, t], batch) for t in range(DRAWS)])
    return (drawn < true).sum(0)


def uniformity(rank):
    """The chi-square of the ranks of one quantity, of DRAWS degrees of freedom if they are uniform."""
    counts = rank.bincount(minlength=DRAWS + 1).double()
    return float(((counts - SIMULATIONS / (DRAWS + 1)).square() / (SIMULATIONS / (DRAWS + 1))).sum())


KERNELS = {
    "sghmc": (lambda f: sghmc(f, 0.15, 4.0), 34),
    "hmc": (lambda f: hmc(f, 0.3, 5, warm_up=6), 2),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_weights_that_made_the_data_rank_anywhere_among_draws(name):
    kernel, every = KERNELS[name]
    law = stats.chi2(DRAWS)
    for rank in ranks(kernel, every, seed=10).T:
        statistic = uniformity(rank)
        likely(law.cdf(statistic), law.sf(statistic))


@pytest.mark.parametrize("wrong", [{"n": 3 * N}, {"prior": 12.0}], ids=str)
def test_a_wrong_belief_shows(wrong):
    kernel, every = KERNELS["sghmc"]
    assert max(stats.chi2(DRAWS).isf(1e-12) < uniformity(rank) for rank in ranks(kernel, every, seed=20, **wrong).T)
