"""The first rung of the ladder (see ``laws.py``): a step is its formula, written out by hand.

On a linear regression with minibatches and a prior, with schedules of the step and the temperature, and masses.
"""

import math
from functools import partial

import torch
from torch import nn

from apdlab.data import batches
from apdlab.likelihoods import gaussian
from apdlab.networks import Network, mlp
from apdlab.streams import stream, streams
from apdlab.types import Data

same = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream(seed, "test"), dtype=torch.float64)


N, B, C, D, NOISE, PRIOR = 24, 6, 3, 5, 0.7, 2.0
FRICTION, MASS = 3.0, torch.tensor([1.0, 2.0, 5.0, 0.5, 1.0], dtype=torch.float64)
STEPS, WARMTH = [0.05, 0.02, 0.04, 0.01], [2.5, 0.3, 0.0, 1.7]


def regression(ns, seed):
    """A model, its data, and the gradient of its log posterior by hand."""
    network = Network(nn.Linear(D, 1, bias=False, dtype=torch.float64))
    data = Data(normal(N, D, seed=seed), normal(N, 1, seed=seed + 1))
    log_posterior = ns.LogDensity(network, gaussian(NOISE), ns.gaussian_prior(network, PRIOR), N)

    def gradient(theta, batch):
        rows = zip(theta, batch.x.expand(C, -1, -1), batch.y.expand(C, -1, -1), strict=True)
        fits = [x.T @ (y[:, 0] - x @ row) / NOISE**2 * N / len(y) - PRIOR * row for row, x, y in rows]
        return torch.stack(fits)

    return log_posterior, data, gradient


def at(values):
    return lambda t: values[t]


def sgld_by_hand(s, t, grad, xi):
    return {"theta": s["theta"] + STEPS[t] / 2 * grad + math.sqrt(STEPS[t] * WARMTH[t]) * xi}


def psgld_by_hand(s, t, grad, xi, damping=4.0, decay=0.9, adapt=3):
    square = s.get("square", grad**2)
    square = decay * square + (1 - decay) * grad**2 if t < adapt else square
    gain = damping / (damping + square**0.5)
    theta = s["theta"] + STEPS[t] / 2 * gain * grad + (STEPS[t] * WARMTH[t] * gain) ** 0.5 * xi
    return {"theta": theta, "square": square}


def sghmc_by_hand(s, t, grad, xi):
    h, c = STEPS[t], math.exp(-FRICTION * STEPS[t])
    kicked = s["momentum"] + h * grad
    momentum = c * kicked + ((1 - c * c) * WARMTH[t] * MASS) ** 0.5 * xi
    return {"theta": s["theta"] + h / 2 * (kicked + momentum) / MASS, "momentum": momentum}


def euler_by_hand(s, t, grad, xi):
    h, beta = STEPS[t], 1 - FRICTION * STEPS[t]
    momentum = beta * s["momentum"] + h * grad + (2 * (1 - beta) * WARMTH[t] * MASS) ** 0.5 * xi
    return {"theta": s["theta"] + h * momentum / MASS, "momentum": momentum}


def sgnht_by_hand(s, t, grad, xi):
    h, thermostat, kicked = STEPS[t], s.get("xi", torch.full((C, 1), FRICTION)), s["momentum"] + STEPS[t] * grad
    half = thermostat + h / 2 * ((kicked**2).mean(1, keepdim=True) - WARMTH[t])
    c = (-h * half).exp()
    momentum = c * kicked + (WARMTH[t] * FRICTION * (1 - c * c) / half) ** 0.5 * xi
    full = half + h / 2 * ((momentum**2).mean(1, keepdim=True) - WARMTH[t])
    return {"theta": s["theta"] + h / 2 * (kicked + momentum), "momentum": momentum, "xi": full}


ALGEBRA = {
    "sgld": (lambda ns, f: ns.sgld(f, at(STEPS), at(WARMTH)), sgld_by_hand, None),
    "psgld": (
        lambda ns, f: ns.psgld(f, at(STEPS), at(WARMTH), damping=4.0, adapt=3, decay=0.9),
        psgld_by_hand,
        None,
    ),
    "sghmc": (lambda ns, f: ns.sghmc(f, at(STEPS), FRICTION, at(WARMTH), MASS), sghmc_by_hand, MASS),
    "symplectic_euler": (
        lambda ns, f: ns.symplectic_euler(f, at(STEPS), FRICTION, at(WARMTH), MASS),
        euler_by_hand,
        MASS,
    ),
    "sgnht": (lambda ns, f: ns.sgnht(f, at(STEPS), FRICTION, at(WARMTH)), sgnht_by_hand, 1.0),
}


def a_step_is_its_formula(ns, seed, name):
    make, by_hand, mass = ALGEBRA[name]
    log_posterior, data, gradient = regression(ns, seed)
    kernel, draw = make(ns, log_posterior), batches(data, B, seed=seed, chains=C)
    state, wanted = kernel.init(normal(C, D, seed=seed)), {"theta": normal(C, D, seed=seed)}
    own, again = streams(seed, "noise", C), streams(seed, "noise", C)
    fresh = lambda: torch.stack([torch.randn(D, generator=each, dtype=torch.float64) for each in again])  # noqa: E731
    if mass is not None:
        wanted["momentum"] = (WARMTH[0] * mass) ** 0.5 * fresh()
    for t in range(len(STEPS)):
        before, grad = dict(wanted), gradient(wanted["theta"], draw(t))
        wanted = by_hand(wanted, t, grad, fresh() if WARMTH[t] else 0.0)
        state, info = kernel.step(state, draw(t), own)
        for key, value in wanted.items():
            same(getattr(state, key), value)
        same(info.configurational, -(before["theta"] * grad).sum(1) / D)
        assert (info.kinetic is None) == (mass is None) and (info.step_size, state.step) == (STEPS[t], t + 1)
        if mass is not None:
            same(info.kinetic, (before["momentum"] ** 2 / mass).mean(1))


def cold_symplectic_euler_is_sgd_with_momentum(ns, seed):
    lr, beta = 0.03, 0.8
    log_posterior, data, _ = regression(ns, seed)
    kernel = ns.symplectic_euler(log_posterior, *ns.from_wenzel(lr, beta, N), temperature=0)
    state, draw = kernel.init(normal(1, D, seed=seed)), batches(data, B, seed=seed)
    leaf = normal(1, D, seed=seed).requires_grad_()
    sgd = torch.optim.SGD([leaf], lr=lr, momentum=beta)
    for t in range(9):
        state, _ = kernel.step(state, draw(t), streams(seed, "noise", 1))
        (x,), (y,), _ = draw(t)
        loss = ((y[:, 0] - x @ leaf[0]) ** 2).mean() / (2 * NOISE**2) + PRIOR / (2 * N) * (leaf**2).sum()
        leaf.grad = torch.autograd.grad(loss, leaf)[0]
        sgd.step()
        same(state.theta, leaf.detach())


def a_move_of_hmc_is_its_formula(ns, seed):
    step, leapfrogs, warmth = 0.1, 4, 2.5
    log_posterior, data, gradient = regression(ns, seed)
    whole, kernel = batches(data, None, seed=seed), ns.hmc(log_posterior, step, leapfrogs, 0, warmth)
    state, own, again = kernel.init(normal(C, D, seed=seed)), streams(seed, "noise", C), streams(seed, "noise", C)
    (x,), (y,), _ = whole(0)
    energy = lambda q, m: ((y - x @ q[:, None]) ** 2).sum() / (2 * NOISE**2) + PRIOR / 2 * q @ q + m @ m / 2  # noqa: E731
    taken = []
    for t in range(12):
        old, (state, info) = state.theta.clone(), kernel.step(state, whole(t), own)
        for c, generator in enumerate(again):
            m = warmth**0.5 * torch.randn(D, generator=generator, dtype=torch.float64)
            chance, jitter = torch.rand(2, generator=generator, dtype=torch.float64)
            q, h, before = old[c], step * (0.8 + 0.4 * jitter), energy(old[c], m)
            m = m + h / 2 * gradient(q.expand(C, D), whole(0))[c]
            for left in reversed(range(leapfrogs)):
                q = q + h * m
                m = m + (h if left else h / 2) * gradient(q.expand(C, D), whole(0))[c]
            acceptance = min(1.0, math.exp((before - energy(q, m)) / warmth))
            same(float(info.acceptance[c]), acceptance)
            taken.append(bool(chance < acceptance))
            same(state.theta[c], q if taken[-1] else old[c])
    assert len(taken) == 36


def a_new_mass_keeps_the_temperature(ns, seed):
    old, new = MASS, MASS.flip(0) * 3
    kernel = ns.sghmc(lambda theta, batch: -theta.square().sum(-1), 0.1, 1.0)
    state = kernel.init(normal(C, D, seed=seed))._replace(momentum=normal(C, D, seed=seed + 1))
    scaled = ns.with_mass(state, old, new)
    same(scaled.momentum**2 / new, state.momentum**2 / old)
    assert torch.equal(scaled.momentum.sign(), state.momentum.sign()) and torch.equal(scaled.theta, state.theta)


def the_mass_of_a_layer_is_the_size_of_its_gradients(ns, seed):
    network = mlp(D, 4, 1, activation=nn.Tanh, dtype=torch.float64)
    data = Data(normal(N, D, seed=seed), 3 * normal(N, 1, seed=seed + 1))
    log_posterior = ns.LogDensity(network, gaussian(NOISE), ns.gaussian_prior(network, PRIOR), N)
    theta, draw = normal(2, network.size, seed=seed), batches(data, B, seed=seed, chains=2)
    mass = ns.layerwise_mass(log_posterior, theta, draw, count=3)
    for c in range(2):
        params = {name: part.clone().requires_grad_() for name, part in network.unravel(theta[c]).items()}
        second = dict.fromkeys(params, 0.0)
        for t in range(3):
            loss = ((draw(t).y[c] - network(params, draw(t).x[c])) ** 2).mean() / (2 * NOISE**2)
            loss = loss + PRIOR / (2 * N) * sum((part**2).sum() for part in params.values())
            for name, grad in zip(params, torch.autograd.grad(loss, list(params.values())), strict=True):
                second[name] += float((grad**2).mean()) / 3
        each = {name: math.sqrt(value + 1e-7) for name, value in second.items()}
        for name, part in network.unravel(mass[c]).items():
            same(part, torch.full_like(part, each[name] / min(each.values())))


CHECKS = {
    **{f"1 {name}": partial(a_step_is_its_formula, name=name) for name in ALGEBRA},
    "1 symplectic_euler at T=0": cold_symplectic_euler_is_sgd_with_momentum,
    "1 hmc": a_move_of_hmc_is_its_formula,
    "1 with_mass": a_new_mass_keeps_the_temperature,
    "1 layerwise_mass": the_mass_of_a_layer_is_the_size_of_its_gradients,
}
