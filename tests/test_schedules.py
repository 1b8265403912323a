"""Laws of the step sizes."""

import math

import pytest

from apdlab.schedules import constant, cosine, polynomial, ramp, step_sizes, temperatures

POLYNOMIALS = {
    "delayed": (0.01, 10.0, 0.55),
    "half of the first": (1.0, 1.0, 1.0),
    "slow": (2.5, 1e4, 0.51),
}


@pytest.mark.parametrize("step_size", [1e-9, 0.1, 3.0])
def test_a_constant_schedule_never_changes(step_size):
    assert {constant(step_size)(t) for t in (0, 1, 7, 10**6)} == {step_size}


@pytest.mark.parametrize(("a", "b", "gamma"), POLYNOMIALS.values(), ids=POLYNOMIALS)
def test_a_polynomial_schedule_is_its_formula(a, b, gamma):
    schedule = polynomial(a, b, gamma)
    for t in (0, 1, 2, 100, 10**6):
        assert math.isclose(schedule(t), math.exp(math.log(a) - gamma * math.log(b + t)), rel_tol=1e-12)


@pytest.mark.parametrize(("a", "b", "gamma"), POLYNOMIALS.values(), ids=POLYNOMIALS)
def test_a_polynomial_schedule_falls(a, b, gamma):
    values = [polynomial(a, b, gamma)(t) for t in range(50)]
    assert values == sorted(values, reverse=True) and values[-1] < values[0]


@pytest.mark.parametrize("period", [1, 4, 1000])
def test_a_cosine_is_its_formula_again_in_every_cycle_and_never_0(period):
    schedule = cosine(0.3, period)
    for t in range(3 * period):
        share = t % period / period
        assert math.isclose(schedule(t), 0.3 * math.cos(math.pi * share / 2) ** 2, rel_tol=1e-9) and schedule(t) > 0


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 9), (-1, 0)])
def test_a_ramp_is_0_then_a_straight_line_then_the_temperature(start, end):
    schedule = ramp(2.5, start, end)
    for t in range(20):
        wanted = 0.0 if t <= start else 2.5 if t >= end else 2.5 * (t - start) / (end - start)
        assert math.isclose(schedule(t), wanted, rel_tol=1e-12)


def test_numbers_become_schedules_and_schedules_stay_what_they_are():
    assert step_sizes(0.3)(7) == temperatures(0.3)(7) == 0.3 and temperatures(0)(7) == 0
    assert [step_sizes(lambda t: 1 / (1 + t))(t) for t in range(3)] == [1, 1 / 2, 1 / 3]
    assert [temperatures(lambda t: 2 - t)(t) for t in range(3)] == [2, 1, 0]


REFUSED = {
    "cosine of 0": ("step_size is 0", lambda: cosine(0, 10)),
    "no period": ("period is 0", lambda: cosine(0.1, 0)),
    "ramp below 0": ("temperature is -1", lambda: ramp(-1, 0, 1)),
    "ramp that ends before it starts": ("start, end are 3, 3", lambda: ramp(1, 3, 3)),
    "a schedule that reaches 0": ("step_size is 0 at step 4; wanted finite", lambda: step_sizes(lambda t: 4 - t)(4)),
    "a schedule of nan": ("step_size is nan at step 0", lambda: step_sizes(lambda t: math.nan)(0)),
    "a temperature of nan": ("temperature is nan at step 2", lambda: temperatures(lambda t: math.nan)(2)),
    "zero": ("step_size is 0", lambda: constant(0)),
    "negative": ("step_size is -0.1", lambda: constant(-0.1)),
    "infinite": ("step_size is inf", lambda: constant(math.inf)),
    "nan": ("step_size is nan", lambda: constant(math.nan)),
    "scale": ("a, b are 0, 1", lambda: polynomial(0, 1, 0.55)),
    "delay": ("a, b are 1, 0", lambda: polynomial(1, 0, 0.55)),
    "nan scale": ("a, b are nan, 1", lambda: polynomial(math.nan, 1, 0.55)),
    "infinite delay": ("a, b are 1, inf", lambda: polynomial(1, math.inf, 0.55)),
    "power too small": ("gamma is 0.5", lambda: polynomial(1, 1, 0.5)),
    "power too large": ("gamma is 1.01", lambda: polynomial(1, 1, 1.01)),
    "nan power": ("gamma is nan", lambda: polynomial(1, 1, math.nan)),
}


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_step_sizes_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
