"""The ladder's last rung: on a network small enough for HMC, samplers with a step predict what HMC predicts."""

import pytest
import torch

from apdlab.data.batches import batches
from apdlab.density import LogDensity
from apdlab.diagnostics import summary
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.predict import label_log_probs
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, hmc, keep, sghmc, sgld, sgnht, symplectic_euler
from apdlab.streams import streams
from apdlab.types import Data

CHAINS, NETWORK = 16, mlp(2, 3, 2, dtype=torch.float64)
X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DATA = Data(X[:20], (X[:20, 0] * X[:20, 1] > 0).long())  # no single unit can tell these classes
ASKED = Data(X[20:], torch.zeros(20).long())
SAMPLERS = {
    "sgld": (lambda density, warmth: sgld(density, 0.02, warmth), 8000),
    "sghmc": (lambda density, warmth: sghmc(density, 0.1, 1.0, warmth), 4000),
    "symplectic_euler": (lambda density, warmth: symplectic_euler(density, 0.05, 1.0, warmth), 4000),
    "sgnht": (lambda density, warmth: sgnht(density, 0.1, 1.0, warmth), 3000),
}


def probabilities(make, steps, warmth=1.0):
    """Probabilities of class 0 of the inputs that are asked about, ``[C, T, 20]``."""
    density = LogDensity(NETWORK, categorical(), gaussian_prior(NETWORK, 1.0), len(DATA.y))
    start = torch.stack([torch.randn(NETWORK.size, generator=g).double() for g in streams(0, "start", CHAINS)])
    run = Run(make(density, warmth), start, batches(DATA, None, seed=0), seed=1, steps=steps)
    chains = keep(run, NETWORK, burn_in=steps // 2, thin=max(1, steps // 500))
    return label_log_probs(chains.thin(), ASKED).exp().unflatten(0, chains.theta.shape[:2])


@pytest.fixture(scope="module")
def gold():
    return probabilities(lambda density, warmth: hmc(density, 0.15, 10, 100, warmth), 800)


def distances(these, those):
    """Differences of the means as multiples of their error, which independent chains tell: ``[20]``."""
    means = [each.mean(1) for each in (these, those)]
    error = sum(each.var(0) / CHAINS for each in means).sqrt()
    return (means[0].mean(0) - means[1].mean(0)).abs() / error


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_predicts_what_hmc_predicts(name, gold):
    found = probabilities(*SAMPLERS[name])
    assert summary(found, name)["r_hat_max"] < 1.1 and summary(gold, "hmc")["r_hat_max"] < 1.1
    # of 80 numbers with Student's t of some 25 degrees of freedom, one once in fifty thousand times
    assert distances(found, gold).max() < 7


def test_at_half_the_temperature_it_does_not(gold):
    assert distances(probabilities(*SAMPLERS["sghmc"], warmth=0.5), gold).max() > 8
