"""Laws of temperatures as densities: one stack at many temperatures is the runs at each; the likelihood alone cools."""

import pytest
import torch
from torch.distributions import Categorical

from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, keep, sghmc, symplectic_euler
from apdlab.tempering import tempered, tempered_likelihood
from apdlab.types import Batch

TEMPERATURES = torch.tensor([2.0, 1.0, 0.05], dtype=torch.float64)
NETWORK = mlp(2, 4, 3, dtype=torch.float64)
N = 7


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


BATCH = Batch(normal(1, N, 2), torch.arange(N)[None] % 3, torch.arange(N)[None])
THETA = normal(3, NETWORK.size, seed=1)


def posterior(likelihood=None):
    return LogDensity(NETWORK, likelihood or categorical(), gaussian_prior(NETWORK, 2.0), N)


@pytest.mark.parametrize("kernel", [sghmc, symplectic_euler])
def test_a_stack_over_the_temperature_moves_as_each_chain_at_its_own(kernel):
    stack = kernel(tempered(posterior(), TEMPERATURES), 0.1, 1.0, mass=1 / TEMPERATURES[:, None])
    together = keep(Run(stack, THETA, lambda t: BATCH, seed=0, steps=9), NETWORK)
    for c, temperature in enumerate(TEMPERATURES.tolist()):
        own = kernel(posterior(), 0.1, 1.0, temperature=temperature)
        alone = keep(Run(own, THETA, lambda t: BATCH, seed=0, steps=9), NETWORK)
        torch.testing.assert_close(together.theta[c], alone.theta[c])
        for name in ("kinetic", "configurational"):
            torch.testing.assert_close(together.measures[name][c], alone.measures[name][c] / temperature)


def test_the_likelihood_alone_is_over_the_temperature_and_predicts_as_before():
    likelihood = tempered_likelihood(categorical(), TEMPERATURES)
    outputs = NETWORK(NETWORK.unravel(THETA), BATCH.x)
    log_lik = Categorical(logits=outputs).log_prob(BATCH.y).sum(-1)
    wanted = gaussian_prior(NETWORK, 2.0)(THETA) + log_lik / TEMPERATURES
    torch.testing.assert_close(posterior(likelihood)(THETA, BATCH), wanted)
    torch.testing.assert_close(likelihood.predictive(outputs), outputs.log_softmax(-1))


@pytest.mark.parametrize(
    "function", [lambda t: tempered(posterior(), t), lambda t: tempered_likelihood(categorical(), t)]
)
@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -1.0], [1.0, torch.nan], [torch.inf], [[1.0]]], ids=str)
def test_what_is_no_temperature_is_refused(function, bad):
    with pytest.raises(
        ValueError, match=r"temperatures has shape .*; wanted finite numbers above 0, one a chain, \[C\]"
    ):
        function(torch.tensor(bad))
