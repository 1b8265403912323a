"""Laws of the step sizes."""

import math

import pytest

from apdlab.schedules import constant, polynomial

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


REFUSED = {
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
