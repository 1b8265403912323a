"""Laws of temperatures: the band holds what it says, the noise of minibatches is their variance, means have errors."""

import math

import pytest
import torch
from scipy.stats import binom

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, keep, laws, sghmc, symplectic_euler
from apdlab.temperatures import averaged, gradient_noise, kinetic_band
from apdlab.types import Data


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 16, 2304])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("level", [0.9, 0.99])
def test_the_band_holds_as_many_as_it_says_of_momenta_at_that_temperature(size, temperature, level):
    trials = 2000
    low, high = kinetic_band(size, temperature, level)
    kinetic = (temperature * normal(trials, size).square()).mean(-1)
    for outside in ((kinetic < low).sum(), (kinetic > high).sum()):
        assert binom.cdf(int(outside), trials, (1 - level) / 2) > 1e-5
        assert binom.sf(int(outside) - 1, trials, (1 - level) / 2) > 1e-5


def test_the_band_misses_a_correct_symplectic_euler_and_its_law_does_not():
    """Chains of 20,000 weights: hot by 2 / (1 + beta), which the law says and the band around T does not hold."""
    target, h = lambda theta, batch: -0.5 * theta.square().sum(-1), 0.1
    network = mlp(99, 200)
    run = Run(symplectic_euler(target, h, 1.0), normal(2, network.size).float(), lambda t: None, 0, 200)
    found = averaged(keep(run, network, burn_in=100).measures["kinetic"])
    expected = laws.symplectic_euler(h, 1.0, 1.0).kinetic
    assert abs(found.mean - expected) < 5 * math.hypot(found.error, math.sqrt(2 / (2 * network.size)))
    assert not kinetic_band(network.size)[0] < found.mean < kinetic_band(network.size)[1]


def stack():
    network = mlp(3, 4)
    data = Data(normal(60, 3).float(), torch.arange(60) % 4)
    return network, data, LogDensity(network, categorical(), gaussian_prior(network, 2.0), n=60)


@pytest.mark.parametrize("size", [5, 20])
def test_the_noise_of_minibatches_is_the_variance_between_examples(size):
    network, data, log_posterior = stack()
    theta = normal(2, network.size).float()
    each = []
    for x, y in zip(data.x, data.y, strict=True):
        leaf = theta.clone().requires_grad_()
        outputs = network(network.unravel(leaf), x[None, None])
        each.append(torch.autograd.grad(-60 * categorical().log_prob(outputs, y[None, None]).sum(), leaf)[0])
    wanted = torch.stack(each).double().var(0).mean(-1) / size
    looked = 1500
    found = gradient_noise(log_posterior, theta, batches(data, size, seed=3, chains=2), looked)
    # Minibatches of an epoch are drawn without replacement: their variance is smaller by up to (N - B) / (N - 1).
    torch.testing.assert_close(found, wanted * (60 - size) / 59, rtol=0.12, atol=0)


def test_with_the_whole_set_there_is_no_noise():
    network, data, log_posterior = stack()
    found = gradient_noise(log_posterior, normal(2, network.size).float(), batches(data, None, seed=0), 5)
    assert found.shape == (2,) and (found < 1e-8).all()


def test_an_average_is_within_its_errors():
    """Of chains with correlation .8 between neighbours, whose mean has an error of 3 times the independent one."""
    misses = 0
    for seed in range(40):
        values, noise = torch.zeros(4, 2000), normal(4, 2000, seed=seed)
        for t in range(1, 2000):
            values[:, t] = 0.8 * values[:, t - 1] + noise[:, t]
        found = averaged(1 + values[:, 200:])
        misses += abs(found.mean - 1) > 2 * found.error
    assert misses <= binom.isf(1e-5, 40, 0.06)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: kinetic_band(0), "size, temperature, level are 0, 1.0, 0.99; wanted"),
        (lambda: kinetic_band(3, -1.0), "size, temperature, level are 3, -1.0"),
        (lambda: kinetic_band(3, level=1.0), "size, temperature, level are 3, 1.0, 1.0"),
        (lambda: gradient_noise(sghmc, torch.zeros(1, 2), lambda t: None, 1), "n is 1; wanted 2 minibatches or more"),
        (lambda: averaged(torch.zeros(2, 3)), "values has 3 draws a chain; wanted 4 or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, line):
    with pytest.raises(ValueError, match=f"^{line}"):
        call()
