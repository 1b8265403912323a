"""Laws of the playground: one string holds it, its exact laws solve its steps, a walk goes on as if uninterrupted."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.linalg import solve_discrete_lyapunov

from apdlab import playground
from apdlab.playground import RANGES, SAMPLERS, TARGETS, Settings, Walk, exact, kernel, marginals, read, reading, write
from apdlab.streams import streams
from apdlab.targets import gaussian

LINEAR = ("sgld", "sghmc", "symplectic_euler")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_string_holds_all_settings(target, sampler):
    settings = Settings(target, sampler, 0.123, 2.5, 3.0, 0.7, 5, 11)
    assert read(write(settings)) == settings
    assert read(f"  target={target}&chains=5 ") == Settings(target=target, chains=5)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("colour=red", r"state names \['colour'\]; wanted some of \['target', .*"),
        ("hello", r"state names \['hello'\]; wanted .*"),
        ("target=moon", "target is 'moon'; wanted one of gaussian, .*"),
        ("sampler=", "sampler is ''; wanted one of sgld, .*"),
        ("chains=2.5", "chains is '2.5'; wanted a number from 1 to 8"),
        ("step_size=nan", "step_size is 'nan'; wanted a number from 0.01 to 1.5"),
        ("temperature=-1", "temperature is '-1'; wanted a number from 0.05 to 4.0"),
        ("noise=much", "noise is 'much'; wanted a number from 0.0 to 10.0"),
        ("seed=1e3", "seed is '1e3'; wanted .*"),
    ],
)
def test_a_bad_string_is_refused_in_one_line(text, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        read(text)


def probed(settings, target):
    """The covariance of both weights, from the step as a linear map of what goes into it, ``S = F S F' + G G'``."""
    momenta = 0 if settings.sampler == "sgld" else 2
    size, h, T = 2 + momenta, settings.step_size, settings.temperature
    k, gamma, sd = target.precision.numpy(), settings.friction, settings.noise

    def step(state, thermal, noise):
        theta, m = state[:2], state[2:]
        push = -k @ theta + sd * noise
        if settings.sampler == "sgld":
            return theta + h**2 / 2 * push + h * math.sqrt(T) * thermal
        if settings.sampler == "symplectic_euler":
            m = (1 - gamma * h) * m + h * push + math.sqrt(2 * gamma * h * T) * thermal
            return np.concatenate([theta + h * m, m])
        m = m + h * push
        theta = theta + h / 2 * m
        m = math.exp(-gamma * h) * m + math.sqrt(T * (1 - math.exp(-2 * gamma * h))) * thermal
        return np.concatenate([theta + h / 2 * m, m])

    zero, units = np.zeros(2), np.eye(2)
    F = np.stack([step(unit, zero, zero) for unit in np.eye(size)], 1)
    G = np.stack([step(np.zeros(size), *pair) for u in units for pair in ((u, zero), (zero, u))], 1)
    return solve_discrete_lyapunov(F, G @ G.T)


@pytest.mark.parametrize("sampler", LINEAR)
@pytest.mark.parametrize("changes", [{}, {"noise": 2.0}, {"temperature": 0.4, "friction": 3.0}, {"step_size": 0.45}])
def test_the_exact_law_solves_the_step(sampler, changes):
    settings, target = Settings(sampler=sampler)._replace(**changes), gaussian(0.6)
    found, wanted = exact(settings, target), probed(settings, target)
    np.testing.assert_allclose(found.variance, np.diag(wanted)[:2], rtol=1e-9)
    if found.kinetic is not None:
        np.testing.assert_allclose(found.kinetic, np.diag(wanted)[2:].mean(), rtol=1e-9)


@pytest.mark.parametrize("sampler", LINEAR)
def test_a_walk_takes_the_steps_of_its_sampler_with_the_noise_it_says(sampler):
    """The variance of what the noise adds to one step of many equal chains."""
    settings, target = Settings(sampler=sampler, noise=5.0, temperature=0.05), gaussian()
    chains = 4000
    batch = torch.randn(chains, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step = kernel(settings, target)
    state, _ = step.step(step.init(torch.zeros(chains, 2).double()), batch, streams(0, "noise", chains))
    quiet = kernel(settings._replace(noise=0.0), target)
    other, _ = quiet.step(quiet.init(torch.zeros(chains, 2).double()), batch, streams(0, "noise", chains))
    c, h = math.exp(-settings.friction * settings.step_size), settings.step_size
    gain = {"sgld": h**2 / 2, "sghmc": h**2 / 2 * (1 + c), "symplectic_euler": h**2}[sampler]
    torch.testing.assert_close(state.theta - other.theta, gain * 5.0 * batch)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_marginals_are_integrals(name, temperature):
    target = TARGETS[name]()
    low, high = target.window[1]

    def p(a, b):
        return math.exp(float(target.log_posterior(torch.tensor([a, b], dtype=torch.float64))) / temperature)

    (x, density), _ = marginals(target, temperature, points=161)
    looked = [60, 80, 110]
    inner = [quad(lambda b, a=float(x[i]): p(a, b), low, high, limit=200, points=[0.0])[0] for i in looked]
    ratio = torch.tensor(inner, dtype=torch.float64) / density[looked]
    torch.testing.assert_close(ratio, ratio[:1].expand(3), rtol=0.01, atol=0)
    assert abs(float(density.sum() * (x[1] - x[0])) - 1) < 1e-9


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_in_parts_is_the_walk_in_one(sampler):
    settings = Settings("banana", sampler, step_size=0.1, noise=1.0, chains=3)
    whole, parts = Walk(settings), Walk(settings)
    whole.advance(30)
    for steps in (7, 0, 23):
        parts.advance(steps)
    assert torch.equal(whole.theta, parts.theta) and whole.steps == parts.steps == 30
    parts.reset()
    parts.advance(30)
    assert torch.equal(whole.theta, parts.theta)


def test_a_long_walk_remembers_its_last_states(monkeypatch):
    whole = Walk(Settings(chains=2))
    whole.advance(70)
    monkeypatch.setattr(playground, "ROOM", 20)
    short = Walk(Settings(chains=2))
    short.advance(70)
    kept = short.theta.shape[1]
    assert 10 <= kept <= 20
    assert torch.equal(short.theta, whole.theta[:, -kept:]) and torch.equal(short.kinetic, whole.kinetic[:, -kept:])


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [({"step_size": 0.2}, True), ({"sampler": "sgld"}, True), ({"target": "ring"}, False), ({"chains": 2}, False)],
)
def test_other_settings_go_on_from_where_the_chains_are_unless_they_cannot(change, goes_on):
    walk = Walk(Settings())
    start = Walk(Settings()._replace(**change))
    walk.advance(50)
    before = walk.theta[:, -1].clone()
    walk.change(Settings()._replace(**change))
    assert walk.theta.shape[1] == 0 and walk.steps == (50 if goes_on else 0)
    walk.advance(1), start.advance(1)
    near = (walk.theta[:, 0] - before).abs().max() if goes_on else (walk.theta - start.theta).abs().max()
    assert near < (2.0 if goes_on else 1e-12)


def test_a_walk_that_diverges_stops_and_says_so():
    walk = Walk(Settings(target="ring", sampler="sgld", step_size=1.5))
    assert not walk.advance(500)
    steps = walk.steps
    assert walk.theta.isfinite().all() and not walk.advance(10) and walk.steps == steps
    walk.reset()
    assert walk.alive


def test_a_reading_waits_for_states_and_then_agrees_with_the_exact_law():
    walk = Walk(Settings(sampler="symplectic_euler", step_size=0.4, chains=8))
    assert reading(walk) is None
    walk.advance(3000)
    said, law = reading(walk), exact(walk.settings, walk.target)
    mean, error = said.kinetic
    assert abs(mean - law.kinetic) < 5 * error and said.r_hat < 1.05
    assert math.isnan(reading_of("sgld").kinetic[0])


def reading_of(sampler):
    walk = Walk(Settings(sampler=sampler))
    walk.advance(40)
    return reading(walk)


def test_ranges_hold_the_settings_to_begin_with():
    for name, (low, high) in RANGES.items():
        assert low <= getattr(Settings(), name) <= high
