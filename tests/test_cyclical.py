"""Laws of cycles: when a chain is cold, when it warms up, what is kept, that it finds both modes."""

import math

import pytest
import torch

from apdlab.networks import mlp
from apdlab.samplers import Run, cyclical, keep_at, sgld

PLANS = {
    # steps, cycles, explore, warm_up, thin
    "three phases": (60, 3, 0.5, 0.25, 1),
    "thinned": (60, 3, 0.5, 0.25, 2),
    "no warm-up": (40, 4, 0.6, 0.0, 1),
    "samples throughout": (30, 2, 0.0, 0.0, 1),
    "shares that floats do not have": (20, 2, 0.4, 0.2, 1),
    "the last alone": (40, 4, 0.6, 0.2, 100),
}


@pytest.mark.parametrize(("steps", "cycles", "explore", "warm_up", "thin"), PLANS.values(), ids=PLANS)
def test_a_cycle_is_cold_warms_up_and_samples(steps, cycles, explore, warm_up, thin):
    plan = cyclical(0.2, steps, cycles, explore=explore, warm_up=warm_up, temperature=1.5, thin=thin)
    period, kept = steps // cycles, []
    cold, warm = round(explore * period), round(warm_up * period)
    for t in range(steps):
        place = t % period
        wanted = 0.0 if place < cold else 1.5 if place >= cold + warm else 1.5 * (place - cold) / warm
        assert math.isclose(plan.temperature(t), wanted, rel_tol=1e-12)
        assert math.isclose(plan.step_size(t), 0.1 * (1 + math.cos(math.pi * place / period)))
        if wanted == 1.5 and (period - place - 1) % thin == 0:
            kept.append(t + 1)
    assert plan.kept == kept and set(range(period, steps + 1, period)) <= set(kept)


def test_one_chain_in_cycles_sees_both_modes_where_a_plain_one_stays_in_its_own():
    """Modes ``sech^2(4 (theta -+ 2))``, whose slopes are at most 8: a large step leaps from one to the other."""
    network = mlp(1, 1, dtype=torch.float64)

    def modes(theta, batch):
        return torch.logsumexp(torch.stack([-2 * (4 * (theta + at)).cosh().log() for at in (-2, 2)]), 0).sum(-1)

    plan = cyclical(0.9, steps=4000, cycles=40, explore=0.5, warm_up=0.1)
    start = torch.full((4, 2), 2.0, dtype=torch.float64)
    cycled = Run(sgld(modes, plan.step_size, plan.temperature), start, lambda t: None, seed=0, steps=4000)
    plain = Run(sgld(modes, 0.02), start, lambda t: None, seed=0, steps=4000)
    left = [(keep_at(run, network, plan.kept).theta < 0).double().mean().item() for run in (cycled, plain)]
    assert 0.2 < left[0] < 0.8 and left[1] == 0


REFUSED = {
    "cycles of two lengths": ("steps is 10, cycles 3", lambda: cyclical(0.1, 10, 3)),
    "no cycles": ("steps is 10, cycles 0", lambda: cyclical(0.1, 10, 0)),
    "more cycles than steps": ("steps is 2, cycles 4", lambda: cyclical(0.1, 2, 4)),
    "nothing left": ("explore is 0.9, warm_up 0.1", lambda: cyclical(0.1, 20, 2, explore=0.9)),
    "a share below 0": ("explore is -0.1", lambda: cyclical(0.1, 20, 2, explore=-0.1)),
    "thin 0": ("thin 0", lambda: cyclical(0.1, 20, 2, thin=0)),
    "a step of 0": ("step_size is 0", lambda: cyclical(0, 20, 2)),
    "a temperature below 0": ("temperature is -1", lambda: cyclical(0.1, 20, 2, temperature=-1)),
}


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_plans_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
