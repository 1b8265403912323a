"""The ladder of ``laws.py``, climbed once, and the contract that every sampler keeps."""

import math
from functools import partial

import pytest
import torch
from laws import ALPHA, CHECKS, COUNT, NAMES, likely_gaussian, p_values
from scipy import stats
from stored_runs import Cut, cut, equal
from torch import nn

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import (
    Diverged,
    Run,
    from_wenzel,
    hmc,
    keep,
    laws,
    layerwise_mass,
    preconditioned,
    psgld,
    sghmc,
    sgld,
    sgnht,
    symplectic_euler,
    with_mass,
)
from apdlab.schedules import cosine, ramp
from apdlab.store import Store
from apdlab.streams import stream, streams
from apdlab.types import Batch, Data

# The ladder ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_ladder_of(check):
    check(NAMES, seed=0)


def test_there_are_no_more_p_values_than_the_false_alarm_rate_is_shared_by():
    """Comes after the ladder in this file, so it has seen all that the ladder drew."""
    assert len(p_values) <= COUNT and ALPHA <= 1e-4


@pytest.mark.parametrize(("scale", "red"), [(1.0, False), (1.03, True)])
def test_a_p_value_is_small_where_the_law_is_another(scale, red):
    theta = scale * torch.from_numpy(stats.norm.ppf((torch.arange(40_000) + 0.5).numpy() / 40_000))
    if red:
        with pytest.raises(AssertionError):
            likely_gaussian(theta, 1.0)
    else:
        likely_gaussian(theta, 1.0)


# The contract --------------------------------------------------------------------------------------------------------

KERNELS = {
    "sgld": lambda f, T: sgld(f, 1e-3, T),
    "psgld": lambda f, T: psgld(f, 1e-3, T, damping=1.0, adapt=5),
    "sghmc": lambda f, T: sghmc(f, 0.02, 2.0, T),
    "sghmc, schedules, masses": lambda f, T: sghmc(f, cosine(0.02, 4), 2.0, ramp(T, 1, 4), torch.linspace(1, 3, 39)),
    "symplectic_euler": lambda f, T: symplectic_euler(f, *from_wenzel(0.01, 0.9, 20), T),
    "sgnht": lambda f, T: sgnht(f, 0.02, 2.0, T),
    "hmc": lambda f, T: hmc(f, 0.05, 3, warm_up=5, temperature=T),
}
each_kernel = pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)


def classifier(chains, size=4):
    """A small network, its log posterior, where its chains start, its minibatches."""
    network = mlp(2, 6, 3, activation=nn.Tanh, dtype=torch.float64)
    x = torch.randn(20, 2, generator=stream(0, "x"), dtype=torch.float64)
    data = Data(x, torch.randint(3, (20,), generator=stream(0, "y")))
    theta = torch.stack([network.init(generator) for generator in streams(0, "init", chains)])
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), 20)
    return network, log_posterior, theta, batches(data, size, seed=0, chains=chains)


def started(make, chains=2, steps=8):
    network, log_posterior, theta, draw = classifier(chains)
    return Run(make(log_posterior, 1.3), theta, draw, seed=5, steps=steps), network


@each_kernel
def test_chain_1_of_16_is_chain_1_alone(make):
    _, log_posterior, theta, draw = classifier(16)
    few = classifier(2)[3]
    kernel = make(log_posterior, 1.3)
    many, one = kernel.init(theta), kernel.init(theta[1:2])
    crowd, own = streams(5, "noise", 16), [stream(5, "noise", 1)]
    for t in range(12):
        many, _ = kernel.step(many, draw(t), crowd)
        one, _ = kernel.step(one, Batch(*(part[1:2] for part in few(t))), own)
    assert not torch.equal(one.theta, theta[1:2]) and one.step == 12
    torch.testing.assert_close(many.theta[1:2], one.theta, rtol=1e-9, atol=1e-9)


@each_kernel
def test_the_start_is_left_alone_and_its_layout_does_not_matter(make):
    run, network = started(make)
    before, turned = run.theta.clone(), run.theta.T.contiguous().T
    other = keep(Run(run.sampler, turned, run.batches, run.seed, run.steps), network)
    assert torch.equal(keep(run, network).theta, other.theta) and torch.equal(run.theta, before)


@each_kernel
def test_a_stored_run_that_is_killed_goes_on_bit_for_bit(make, tmp_path):
    store = Store(tmp_path)
    with pytest.raises(Cut):
        store.keep(*started(make), every=0.0, bar=partial(cut, after=3))
    chains, _ = store.keep(*started(make))
    assert equal(chains, keep(*started(make)))


@each_kernel
def test_info_is_of_the_state_before_the_move(make):
    run, _ = started(make)
    log_posterior, before = classifier(2)[1], run.theta.clone()
    for step in run:
        leaf = before.clone().requires_grad_()
        value = log_posterior(leaf, run.batches(step.number - 1))
        (grad,) = torch.autograd.grad(value.sum(), leaf)
        torch.testing.assert_close(step.info.log_posterior, value.detach())
        torch.testing.assert_close(step.info.configurational, -(leaf * grad).mean(-1).detach())
        assert step.info.kinetic is None or step.info.kinetic.shape == (2,)
        before = step.state.theta.clone()


@pytest.mark.parametrize("make", [make for name, make in KERNELS.items() if name != "hmc"], ids=list(KERNELS)[:-1])
def test_at_temperature_0_no_number_is_drawn(make):
    _, log_posterior, theta, draw = classifier(2)
    kernel, generators = make(log_posterior, 0.0), streams(5, "noise", 2)
    state = kernel.init(theta)
    for t in range(6):
        state, _ = kernel.step(state, draw(t), generators)
    assert torch.equal(generators[1].get_state(), stream(5, "noise", 1).get_state())
    assert state.theta.isfinite().all() and not torch.equal(state.theta, theta)


# What is refused -----------------------------------------------------------------------------------------------------


def bowl(theta, batch):
    return -0.5 * theta.square().sum(-1)


def stepped(kernel, steps=5):
    state = kernel.init(torch.ones(1, 2))
    for _ in range(steps):
        state, _ = kernel.step(state, None, streams(0, "noise", 1))


BAD = [-1.0, math.nan, math.inf]
MAKERS = {
    "sgld": sgld,
    "psgld": partial(psgld, damping=1.0, adapt=1),
    "sghmc": partial(sghmc, friction=1.0),
    "symplectic_euler": partial(symplectic_euler, friction=1.0),
    "sgnht": partial(sgnht, friction=1.0),
    "hmc": partial(hmc, leapfrogs=1, warm_up=0),
}
STOCHASTIC = {name: make for name, make in MAKERS.items() if name != "hmc"}
WITH_FRICTION = {"sghmc": sghmc, "symplectic_euler": symplectic_euler, "sgnht": sgnht}
REFUSED = {
    **{f"{n}, step size {bad}": (f"step_size is {bad}", lambda m=m, bad=bad: m(bowl, step_size=bad))
       for n, m in MAKERS.items() for bad in [0.0, *BAD]},
    **{f"{n}, temperature {bad}": (f"temperature is {bad}", lambda m=m, bad=bad: m(bowl, 0.1, temperature=bad))
       for n, m in MAKERS.items() for bad in BAD},
    **{f"{n}, a step size that reaches 0": ("step_size is 0.0 at step 2; wanted finite numbers above 0",
       lambda m=m: stepped(m(bowl, step_size=lambda t: 0.1 - 0.05 * t))) for n, m in STOCHASTIC.items()},
    **{f"{n}, a temperature that falls below 0": ("temperature is -1 at step 2",
       lambda m=m: stepped(m(bowl, step_size=0.1, temperature=lambda t: 1 - t))) for n, m in STOCHASTIC.items()},
    **{f"{n}, theta of one chain": ("theta has shape (5,)", lambda m=m: m(bowl, step_size=0.1).init(torch.zeros(5)))
       for n, m in MAKERS.items()},
    **{f"{n}, friction {bad}": (f"friction is {bad}; wanted a finite number above 0 (a momentum below 1)",
       lambda m=m, bad=bad: m(bowl, 0.1, bad)) for n, m in WITH_FRICTION.items() for bad in [0.0, *BAD]},
    "momentum 1": ("beta is 1; wanted a momentum in [0, 1)", lambda: from_wenzel(0.1, 1, 10)),
    "momentum below 0": ("beta is -0.1", lambda: from_wenzel(0.1, -0.1, 10)),
    "lr 0": ("lr is 0", lambda: from_wenzel(0, 0.9, 10)),
    "no examples": ("n is 0", lambda: from_wenzel(0.1, 0.9, 0)),
    "friction too large for the step": ("friction 20 times step_size 0.1 is above 1",
                                        lambda: stepped(symplectic_euler(bowl, 0.1, 20.0))),
    "mass 0": ("mass is between 0 and 1", lambda: sghmc(bowl, 0.1, 1.0, mass=torch.tensor([1.0, 0.0]))),
    "mass nan": ("mass is between nan and nan", lambda: symplectic_euler(bowl, 0.1, 1.0, mass=math.nan)),
    "damping 0": ("damping is 0", lambda: psgld(bowl, 0.1, damping=0, adapt=1)),
    "adapt 0": ("adapt is 0", lambda: psgld(bowl, 0.1, damping=1.0, adapt=0)),
    "decay 1": ("decay is 1", lambda: psgld(bowl, 0.1, damping=1.0, adapt=1, decay=1)),
    "no leapfrogs": ("leapfrogs, warm_up are 0, 1", lambda: hmc(bowl, 0.1, 0, 1)),
    "hmc at temperature 0": ("temperature is 0", lambda: hmc(bowl, 0.1, 1, 1, 0)),
    "acceptance of 1": ("target is 1", lambda: hmc(bowl, 0.1, 1, 1, target=1)),
    "no batches for a mass": ("count is 0", lambda: layerwise_mass(classifier(1)[1], classifier(1)[2], None, count=0)),
    "a batch larger than the data": ("size is 21", lambda: classifier(1, size=21)),
    "a law that diverges": ("step_size * precision is 4, so the step diverges", lambda: laws.sgld(4.0, 1.0)),
    "a law of sghmc that diverges": ("is 4, so the step diverges; wanted below 4", lambda: laws.sghmc(2.0, 1.0, 1.0)),
    "a law of euler that diverges": ("is 3, so the step diverges; wanted below 3",
                                     lambda: laws.symplectic_euler(1.0, 0.5, 3.0)),
    "a thermostat with too much noise": ("gradient_noise 50", lambda: laws.sgnht(0.4, 1.0, 1.0, gradient_noise=50.0)),
    "a law without precision": ("precision is 0", lambda: laws.sgld(0.1, 0.0)),
    "a law of noise below 0": ("gradient_noise is -1", lambda: laws.sgld(0.1, 1.0, gradient_noise=-1)),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_kernels_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)


@pytest.mark.parametrize("make", [KERNELS["sghmc"], KERNELS["symplectic_euler"], KERNELS["sgnht"]])
def test_a_step_that_diverges_is_named(make, refusal):
    steep = lambda theta, batch: -1e6 * theta.square().sum(-1)  # noqa: E731
    run = Run(make(steep, 1.0), torch.ones(2, 3), lambda t: None, seed=0, steps=10_000)
    said = refusal(lambda: [None for _ in run], Diverged)
    assert "is not finite at step" in said and "try step_size" in said


def test_a_mass_follows_its_chains_and_momenta_keep_their_temperature():
    """A cycle with the mass of its start: estimated on batches of its own, momenta scaled, then frozen."""
    _, log_posterior, theta, draw = classifier(2)
    own, position = classifier(2, size=5)[3], None
    of_mass = lambda mass: sghmc(log_posterior, 0.02, 2.0, mass=mass)  # noqa: E731
    kernel = preconditioned(of_mass, log_posterior, own, every=10, count=4)
    followed = [step.state.theta.clone() for step in Run(kernel, theta, draw, seed=0, steps=30)]
    mass = layerwise_mass(log_posterior, theta, own, count=4)
    for cycle in range(3):
        run = Run(sghmc(log_posterior, 0.02, 2.0, mass=mass), theta, draw, seed=0, steps=10 * (cycle + 1))
        position = position or run.start()
        *_, (number, state, _) = run.walk(position)
        assert torch.equal(state.theta, followed[number - 1])
        new = layerwise_mass(log_posterior, state.theta, lambda t, c=cycle: own(4 * (c + 1) + t), count=4)
        scaled = with_mass(state, mass, new)
        torch.testing.assert_close(scaled.momentum.square() / new, state.momentum.square() / mass)
        assert bool((new.amin(-1) == 1).all()) and not torch.equal(new[0], new[1]) and number == run.steps
        position, mass = position._replace(number=number, state=scaled), new
