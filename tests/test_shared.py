import pytest
import torch

from apdlab.data import batches, digits
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, keep, layerwise_mass, sghmc, sgld
from apdlab.shared import mixing_run, paper_run, posterior
from apdlab.streams import streams

DATA = digits()
N = len(DATA.train.y)


def by_hand():
    network = mlp(64, 10, 10)
    density = LogDensity(network, categorical(), gaussian_prior(network, 20.0), N)
    start = torch.stack([network.init(g) for g in streams(3, "init", 2)])
    yield "paper", Run(sgld(density, 1e-3), start, batches(DATA.train, 100, seed=3, chains=2), 3, 20)
    start = torch.stack([torch.randn(network.size, generator=g) for g in streams(3, "prior", 2)]) / 20**0.5
    mass = layerwise_mass(density, start, batches(DATA.train, 50, seed=4, chains=2))
    kernel = sghmc(density, 2e-3, 10.0, mass=mass)
    yield "mixing", Run(kernel, start, batches(DATA.train, 50, seed=3, chains=2), 3, 20)


def shared():
    common = {"precision": 20.0, "steps": 20, "chains": 2, "seed": 3}
    yield "paper", paper_run(DATA, "64-10-10", step_size=1e-3, **common)
    yield "mixing", mixing_run(DATA, "64-10-10", step_size=2e-3, friction=10.0, batch=50, **common)


@pytest.mark.parametrize("name", ["paper", "mixing"])
def test_a_shared_run_is_the_one_made_by_hand(name):
    density, run = dict(shared())[name]
    assert torch.equal(keep(run, density.network).theta, keep(dict(by_hand())[name], density.network).theta)


@pytest.mark.parametrize("layers", ["", "64", "64-10.0-10", "64--10", "a-b"])
def test_layers_that_are_no_sizes_are_refused_by_name(layers):
    with pytest.raises(ValueError, match=r"layers is .*wanted"):
        posterior(DATA, layers, 20.0)
