"""Laws of descent: the formula one member at a time, the mode where there is a closed form, no company needed."""

import math
from typing import NamedTuple

import pytest
import torch

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.draws import Draws
from apdlab.likelihoods import categorical, gaussian
from apdlab.networks import Network, mlp
from apdlab.posterior import sgd
from apdlab.priors import gaussian_prior
from apdlab.samplers import Diverged
from apdlab.types import Batch, Data

N = 20
NETWORK = mlp(3, 5, 4, activation=torch.nn.Tanh, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(precision=3.0, n=N):
    y = torch.randint(4, (N,), generator=torch.Generator().manual_seed(1))
    return LogDensity(NETWORK, categorical(), gaussian_prior(NETWORK, precision), n), Data(normal(N, 3, seed=2), y)


def by_hand(theta, batch, precision, n, steps, rate, momentum):
    """One member, ``theta [D]``: cross entropy and weight decay, and the update as it is written."""
    velocity = torch.zeros_like(theta)
    for t in range(steps):
        x, y, _ = batch(t)
        leaf = theta.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(NETWORK(NETWORK.unravel(leaf), x), y)
        (grad,) = torch.autograd.grad(loss + precision / n * leaf.square().sum() / 2, leaf)
        velocity = momentum * velocity + grad
        theta = theta - rate * (1 + math.cos(math.pi * t / steps)) / 2 * (grad + momentum * velocity)
    return theta


@pytest.mark.parametrize("momentum", [0, 0.5, 0.9])
@pytest.mark.parametrize(("members", "size", "n"), [(1, 4, N), (3, 4, N), (3, None, 2 * N)], ids=str)
def test_a_member_takes_the_steps_of_the_formula(members, size, n, momentum):
    log_posterior, data = problem(n=n)
    start, draw = normal(members, NETWORK.size), batches(data, size, seed=0, chains=members)
    found, _ = sgd.fit(log_posterior, start, draw, steps=13, learning_rate=0.7, momentum=momentum)
    for c in range(members):
        own = [Batch(*(part[c % len(part)] for part in draw(t))) for t in range(13)]
        wanted = by_hand(start[c], own.__getitem__, 3.0, n, 13, 0.7, momentum)
        torch.testing.assert_close(found.theta[c], wanted, rtol=1e-10, atol=1e-12)


def test_a_member_is_the_same_in_any_company():
    log_posterior, data = problem()
    start, draw = normal(4, NETWORK.size), batches(data, 4, seed=0, chains=4)
    together, _ = sgd.fit(log_posterior, start, draw, steps=60, learning_rate=0.3)
    for c in range(4):
        own = slice(c, c + 1)
        alone, _ = sgd.fit(
            log_posterior, start[own], lambda t, own=own: Batch(*(part[own] for part in draw(t))),
            steps=60, learning_rate=0.3,
        )  # fmt: skip
        torch.testing.assert_close(together.theta[own], alone.theta, rtol=1e-10, atol=1e-10)
    assert (together.theta[0] - together.theta[1]).abs().max() > 0.1


@pytest.mark.parametrize("noise", [0.5, 2.0])
@pytest.mark.parametrize("precision", [0.1, 30.0])
def test_descent_finds_the_mode_of_ridge_regression(noise, precision):
    """``theta = (X^T X / noise^2 + precision)^-1 X^T y / noise^2``."""
    x, y = normal(N, 3), normal(N, 1, seed=1)
    network = Network(torch.nn.Linear(3, 1, bias=False, dtype=torch.float64))
    log_posterior = LogDensity(network, gaussian(noise), gaussian_prior(network, precision), N)
    draw = batches(Data(x, y), None, seed=0)
    found, _ = sgd.fit(log_posterior, 3 * normal(2, 3, seed=2), draw, steps=500, learning_rate=0.1)
    wanted = torch.linalg.solve(x.T @ x / noise**2 + precision * torch.eye(3), x.T @ y / noise**2)[:, 0]
    torch.testing.assert_close(found.theta, wanted.expand(2, 3), rtol=1e-5, atol=1e-5)


def test_a_fit_gives_draws_and_its_cost_and_leaves_its_start_alone():
    log_posterior, data = problem()
    start = normal(3, NETWORK.size)
    before = start.clone()
    found, cost = sgd.fit(log_posterior, start, batches(data, 5, seed=0, chains=3), steps=7, learning_rate=0.1)
    assert isinstance(found, Draws) and found.network is NETWORK and len(found) == 3
    assert not found.theta.requires_grad and torch.equal(start, before)
    assert cost.gradient_evaluations == 3 * 7 and cost.seconds > 0


class Valley(NamedTuple):
    """A log posterior that needs no examples."""

    log_prob: object
    network: Network = mlp(1, 1, dtype=torch.float64)
    n: int = 2

    def __call__(self, theta, batch):
        return self.log_prob(theta)


DIVERGING = {
    # log posterior, where the members start, the one that leaves, the step that says so
    "not a number at once": (lambda theta: theta.sum(-1).log(), [[1.0, 1.0], [-1.0, 0.0]], 1, 1),
    "a rate too large": (lambda theta: -theta.pow(4).sum(-1), [[0.1, 0.1], [0.1, 0.1], [0.1, 90.0]], 2, 5),
    "the slope alone, at the last step": (lambda theta: -theta.clamp(min=0).sqrt().sum(-1), [[0.0, 1.0]], 0, 1),
}


@pytest.mark.parametrize(("log_prob", "start", "member", "number"), DIVERGING.values(), ids=DIVERGING)
def test_a_member_that_leaves_the_numbers_is_named(log_prob, start, member, number, refusal):
    start = torch.tensor(start, dtype=torch.float64)
    steps = number if number == 1 else 50
    said = refusal(
        lambda: sgd.fit(Valley(log_prob), start, lambda t: None, steps=steps, learning_rate=0.5), error=Diverged
    )
    assert said.startswith(f"member {member} is not finite at step {number} with learning_rate 0.5: try ")


def fitted(start=None, steps=3, learning_rate=0.1, momentum=0.9):
    start = torch.ones(2, 2, dtype=torch.float64) if start is None else start
    bowl = Valley(lambda theta: -theta.square().sum(-1))
    return sgd.fit(bowl, start, lambda t: None, steps=steps, learning_rate=learning_rate, momentum=momentum)


REFUSED = {
    "one network without its axis": ("start has shape (2,); wanted [C, D]", lambda: fitted(torch.ones(2))),
    "no steps": ("steps is 0", lambda: fitted(steps=0)),
    "a rate of 0": ("learning_rate is 0", lambda: fitted(learning_rate=0)),
    "a rate of nan": ("learning_rate is nan", lambda: fitted(learning_rate=math.nan)),
    "an infinite rate": ("learning_rate is inf", lambda: fitted(learning_rate=math.inf)),
    "momentum of 1": ("momentum is 1", lambda: fitted(momentum=1)),
    "momentum below 0": ("momentum is -0.1", lambda: fitted(momentum=-0.1)),
    "minibatches of more chains": ("x has shape (3, 4, 3); wanted", lambda: sgd.fit(
        problem()[0], normal(2, NETWORK.size), batches(problem()[1], 4, seed=0, chains=3),
        steps=1, learning_rate=0.1)),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_descents_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
