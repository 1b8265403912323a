"""Laws of the one loop: what is kept, when it stops, and that watching changes nothing."""

import copy
import io
import math
from functools import partial
from itertools import islice
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from apdlab.networks import mlp
from apdlab.samplers import Diverged, Position, Run, keep, keep_at, progress, sgld
from apdlab.types import Info, Sampler

NETWORK = mlp(1, 1)  # 2 weights


class Count(NamedTuple):
    theta: Tensor
    seen: Tensor


def counter():
    """A kernel that adds 1 to every weight and uses all its memory again at the next step."""

    def step(state, batch, generators):
        state.seen.copy_(-state.theta.sum(-1))
        state.theta.add_(1)
        return state, Info(state.seen, 0.1)

    return Sampler(lambda theta: Count(theta.clone(), theta.new_zeros(len(theta))), step)


def counted(steps, chains=2):
    start = 1000 * torch.arange(chains, dtype=torch.float64)[:, None].expand(chains, 2)
    return Run(counter(), start, lambda t: None, seed=0, steps=steps)


def bowl(theta, batch):
    return -0.5 * theta.square().sum(-1)


def gaussian_run(chains=4, steps=20, seed=0, step_size=0.3):
    theta = torch.linspace(-1, 1, chains * 2, dtype=torch.float64).view(chains, 2)
    return Run(sgld(bowl, step_size), theta, lambda t: None, seed=seed, steps=steps)


def counted_run():
    return counted(20)


KEPT = {
    "all": (5, 0, 1, [1, 2, 3, 4, 5]),
    "thinned": (10, 0, 3, [3, 6, 9]),
    "after a burn-in": (6, 4, 1, [5, 6]),
    "thinned after a burn-in": (20, 5, 4, [9, 13, 17]),
    "the last alone": (7, 0, 7, [7]),
    "the last after a burn-in": (7, 6, 1, [7]),
}


@pytest.mark.parametrize(("steps", "burn_in", "thin", "numbers"), KEPT.values(), ids=KEPT)
def test_kept_are_the_states_after_the_burn_in_and_every_thinth_step(steps, burn_in, thin, numbers):
    chains = keep(counted(steps), NETWORK, burn_in=burn_in, thin=thin)
    wanted = torch.tensor(numbers, dtype=torch.float64)
    assert chains.network is NETWORK and chains.steps.tolist() == numbers
    for c in range(2):
        assert torch.equal(chains.theta[c], (1000 * c + wanted)[:, None].expand(-1, 2))
        assert torch.equal(chains.log_posterior[c], -2 * (1000 * c + wanted - 1))


@pytest.mark.parametrize("numbers", [[7], [1, 2, 20], range(3, 20, 4)], ids=str)
def test_kept_at_are_the_states_after_these_steps(numbers):
    chains, all_states = keep_at(counted(20), NETWORK, numbers), keep(counted(20), NETWORK)
    places = [number - 1 for number in numbers]
    assert chains.steps.tolist() == list(numbers) and torch.equal(chains.theta, all_states.theta[:, places])
    assert torch.equal(chains.log_posterior, all_states.log_posterior[:, places])


def test_steps_are_numbered_and_see_the_batch_of_their_place():
    asked = []
    run = Run(counter(), torch.zeros(1, 2), asked.append, seed=0, steps=4)
    assert [step.number for step in run] == [1, 2, 3, 4] and len(run) == 4
    assert asked == [0, 1, 2, 3]


def test_progress_shows_and_changes_nothing():
    text = io.StringIO()
    plain = keep(gaussian_run(), NETWORK)
    watched = keep(progress(gaussian_run(), bar=partial(tqdm, file=text)), NETWORK)
    assert torch.equal(plain.theta, watched.theta) and torch.equal(plain.log_posterior, watched.log_posterior)
    assert "20/20" in text.getvalue()
    assert f"log posterior {plain.log_posterior[:, -1].mean():.4g}" in text.getvalue()


def test_a_run_starts_afresh_at_every_iteration_and_leaves_its_start_alone():
    run = gaussian_run()
    start = run.theta.clone()
    first = keep(run, NETWORK)
    for step in run:
        if step.number == 7:
            break
    again = keep(run, NETWORK)
    assert torch.equal(first.theta, again.theta) and torch.equal(run.theta, start)


@pytest.mark.parametrize("taken", [0, 1, 7, 19, 20])
@pytest.mark.parametrize("make", [gaussian_run, counted_run], ids=["noise", "memory used again"])
def test_a_run_goes_on_from_any_position_as_if_it_had_not_stopped(make, taken):
    run, position = make(), make().start()
    for step in islice(run.walk(position), taken):
        position = position._replace(number=step.number, state=step.state)
    state = type(position.state)(*map(copy.copy, position.state))
    noise = [torch.Generator().set_state(generator.get_state()) for generator in position.generators]
    rest = [(step.number, step.state.theta.clone()) for step in run.walk(Position(taken, state, noise))]
    whole = [(step.number, step.state.theta.clone()) for step in make()]
    assert [number for number, _ in rest] == list(range(taken + 1, 21))
    assert all(torch.equal(own, its) for (_, own), (_, its) in zip(rest, whole[taken:], strict=True))


def test_at_the_end_or_past_it_no_step_is_left():
    run = counted(4)
    assert list(run.walk(run.start()._replace(number=4))) == list(run.walk(run.start()._replace(number=9))) == []


@pytest.mark.parametrize("chains", [1, 3, 16])
def test_a_chain_is_the_same_in_any_company(chains):
    many = gaussian_run(chains=16)
    few = keep(Run(many.sampler, many.theta[:chains], many.batches, many.seed, many.steps), NETWORK)
    assert torch.equal(few.theta, keep(many, NETWORK).theta[:chains])


def test_chains_and_seeds_have_their_own_noise():
    runs = [Run(sgld(bowl, 0.3), torch.zeros(3, 2), lambda t: None, seed=seed, steps=1) for seed in (0, 1)]
    numbers = torch.cat([keep(run, NETWORK).theta.flatten() for run in runs])
    assert len(numbers.unique()) == 12


def drifting(theta, batch):
    """Pushes up by 1 a step of size 0.1, and is not a number above 10."""
    return torch.where(theta[:, 0] > 10, torch.nan, 20 * theta[:, 0])


def quartic(theta, batch):
    return -0.25 * theta.pow(4).sum(-1)


def cliff(theta, batch):
    """Pushes up by 1 a step of size 0.1, and at 10.5 has a value but an infinite gradient."""
    return 20 * theta[:, 0] - torch.where(theta[:, 0] > 10, theta[:, 0] - 10.5, 1.0).sqrt()


DIVERGING = {
    # kernel, where the chains start, chain that leaves, step that says so, steps kept with thin=2
    "past a bound": (sgld(drifting, 0.1, 0), [[0.0, 1.0], [5.5, 1.0], [0.0, 1.0]], 1, 6, [2, 4]),
    "past a bound at once": (sgld(drifting, 0.1, 0), [[0.0, 1.0], [0.0, 1.0], [10.5, 1.0]], 2, 1, None),
    "past a bound before any is kept": (sgld(drifting, 0.1, 0), [[9.5, 1.0], [0.0, 1.0]], 0, 2, None),
    "by a step too large": (sgld(quartic, 0.5, 0), [[0.1, 0.1], [0.1, 20.0]], 1, 5, [2, 4]),
    "by its gradient alone": (sgld(cliff, 0.1, 0), [[0.0, 1.0], [5.5, 1.0]], 1, 6, [2, 4]),
}


@pytest.mark.parametrize(("kernel", "start", "chain", "number", "kept"), DIVERGING.values(), ids=DIVERGING)
def test_a_chain_that_leaves_the_numbers_is_named_and_what_was_kept_is_finite(kernel, start, chain, number, kept):
    run = Run(kernel, torch.tensor(start, dtype=torch.float64), lambda t: None, seed=0, steps=50)
    with pytest.raises(Diverged) as caught:
        keep(run, NETWORK, thin=2)
    said, chains = str(caught.value), caught.value.chains
    assert said.startswith(f"chain {chain} is not finite at step {number} with step_size 0.") and "\n" not in said
    assert (chains and chains.steps.tolist()) == kept
    if kept:
        short = keep(Run(kernel, run.theta, run.batches, seed=0, steps=kept[-1]), NETWORK, thin=2)
        assert chains.theta.isfinite().all() and torch.equal(chains.theta, short.theta)
        assert torch.equal(chains.log_posterior, short.log_posterior)


def test_a_run_that_no_one_keeps_stops_too():
    run = Run(sgld(drifting, 0.1, 0), torch.tensor([[0.0, 0.0], [7.5, 0.0]]), lambda t: None, seed=0, steps=50)
    seen = []
    with pytest.raises(Diverged, match="chain 1 is not finite at step 4"):
        seen.extend(step.number for step in run)
    assert seen == [1, 2, 3]


def test_a_step_size_that_the_message_proposes_is_a_quarter():
    run = Run(sgld(quartic, 0.5, 0), torch.full((1, 2), 20.0), lambda t: None, seed=0, steps=50)
    with pytest.raises(Diverged, match=r"step_size 0\.5: try step_size 0\.12,"):
        keep(run, NETWORK)


REFUSED = {
    "no steps": ("steps is 0", lambda: counted(0)),
    "steps below 0": ("steps is -5", lambda: counted(-5)),
    "burn-in of all": ("burn_in is 10, thin 1 of 10 steps", lambda: keep(counted(10), NETWORK, burn_in=10)),
    "burn-in below 0": ("burn_in is -1", lambda: keep(counted(10), NETWORK, burn_in=-1)),
    "thin of 0": ("thin 0 of 10 steps", lambda: keep(counted(10), NETWORK, thin=0)),
    "thin below 0": ("thin -2", lambda: keep(counted(10), NETWORK, thin=-2)),
    "thin past the end": ("burn_in is 5, thin 6 of 10", lambda: keep(counted(10), NETWORK, burn_in=5, thin=6)),
    "no numbers": ("numbers has 0 entries; wanted some of 1 to 10", lambda: keep_at(counted(10), NETWORK, [])),
    "numbers past the end": ("numbers has 2 entries", lambda: keep_at(counted(10), NETWORK, [3, 11])),
    "numbers out of order": ("in ascending order", lambda: keep_at(counted(10), NETWORK, [4, 3])),
    "a number twice": ("in ascending order", lambda: keep_at(counted(10), NETWORK, [3, 3])),
    "number 0": ("wanted some of 1", lambda: keep_at(counted(10), NETWORK, [0, 3])),
    "theta without chains": ("theta has shape (2,)", lambda: keep(
        Run(sgld(bowl, 0.1), torch.zeros(2), lambda t: None, seed=0, steps=1), NETWORK)),
    "seed below 0": ("seed is -1", lambda: keep(gaussian_run(seed=-1), NETWORK)),
    "step size of nan": ("step_size is nan", lambda: gaussian_run(step_size=math.nan)),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_runs_that_cannot_be_are_refused_before_they_start(said, call, refusal):
    assert said in refusal(call)
