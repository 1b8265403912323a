"""Laws of products in low precision: what a sampler draws keeps its moments."""

import pytest
import torch
from torch import nn

from apdlab.density import LogDensity
from apdlab.likelihoods import gaussian
from apdlab.networks import Network
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, sghmc, sgld
from apdlab.types import Batch

N, INPUTS, NOISE, PRECISION, CHAINS = 200, 8, 0.5, 1.0, 64
K = N / NOISE**2  # curvature, about
KERNELS = {
    "sgld": lambda density: sgld(density, 0.4 / K),
    "sghmc": lambda density: sghmc(density, 0.4 / K**0.5, K**0.5),
}


def regression():
    """A linear regression whose posterior is known: the batch, its mean, its covariance."""
    x = torch.randn(N, INPUTS, generator=torch.Generator().manual_seed(0))
    w = torch.randn(INPUTS, generator=torch.Generator().manual_seed(1))
    y = x @ w + NOISE * torch.randn(N, generator=torch.Generator().manual_seed(2))
    covariance = torch.linalg.inv(x.double().T @ x.double() / NOISE**2 + PRECISION * torch.eye(INPUTS).double())
    mean = covariance @ (x.double().T @ y.double()) / NOISE**2
    return Batch(x[None], y[None, :, None], torch.arange(N)[None]), mean, covariance


def moments(network, kernel, steps=400):
    """Mean and covariance of all chains after half of the steps, which is many relaxations."""
    batch, mean, _ = regression()
    density = LogDensity(network, gaussian(noise=NOISE), gaussian_prior(network, PRECISION), N)
    start = mean.float().expand(CHAINS, -1)
    seen = [s.state.theta.double() for s in Run(kernel(density), start, lambda _: batch, 3, steps) if s.number > 200]
    away = torch.stack(seen).flatten(0, 1) - mean
    return away.mean(0), away.T @ away / len(away)


WAYS = {"by hand": nn.Sequential(nn.Linear(INPUTS, 1, bias=False)), "autograd": nn.Linear(INPUTS, 1, bias=False)}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("module", WAYS.values(), ids=WAYS)
def test_the_moments_of_a_posterior_do_not_move(module, kernel):
    """Chains with the same noise, so that what differs is rounding: it moves means by 1/70 of a deviation.

    Weights that are cut off, not rounded, move them by 1/9. Beside it the exact mean, to five standard errors of as
    many draws as there are chains, the least that they can be worth.
    """
    network = Network(module)
    (mean, spread), (rounded_mean, rounded_spread) = (moments(each, kernel) for each in (network, network.mixed()))
    covariance = regression()[2]
    sd = covariance.diagonal().sqrt()
    assert ((rounded_mean - mean).abs() < 0.03 * sd).all()
    assert ((rounded_spread.diagonal() / spread.diagonal() - 1).abs() < 0.005).all()
    assert (rounded_mean.abs() < 5 * sd / CHAINS**0.5).all()
