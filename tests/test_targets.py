"""Laws of the targets over two weights: their formula, their window, their precision."""

import math

import pytest
import torch

from apdlab import targets

POINTS = torch.tensor([[0.3, -1.2], [2.0, 0.5], [-1.1, 0.2]], dtype=torch.float64)
X = [-2 + 4 * i / 19 for i in range(20)]


def log_sigmoid(value):
    return -math.log1p(math.exp(-value))


SLOW = {
    "gaussian": lambda a, b: -0.5 * (a * a - 1.6 * a * b + b * b) / 0.36,
    "banana": lambda a, b: -0.5 * (a * a + ((b - 0.5 * a * a) / 0.5) ** 2),
    "mixture": lambda a, b: math.log(sum(math.exp(-((a - c) ** 2 + b * b) / 0.72) for c in (-1.5, 1.5))),
    "ring": lambda a, b: -0.5 * ((math.hypot(a, b) - 2) / 0.3) ** 2,
    "two_weights": lambda a, b: (
        sum(log_sigmoid((1 if (x > 0) != (abs(x) < 0.35) else -1) * b * math.tanh(a * x)) for x in X)
        - (a * a + b * b) / 8
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_target_is_its_formula(name):
    wanted = torch.tensor([SLOW[name](*point) for point in POINTS.tolist()], dtype=torch.float64)
    torch.testing.assert_close(getattr(targets, name)().log_posterior(POINTS), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SLOW)
def test_the_window_holds_nearly_all_of_a_target(name):
    target = getattr(targets, name)()
    (left, right), (low, high) = target.window
    wide = target._replace(window=((2 * left - 1, 2 * right + 1), (2 * low - 1, 2 * high + 1)))
    x, y, values = wide.on_grid(400)
    inside = ((x > left) & (x < right)) & ((y > low) & (y < high))[:, None]
    p = values.flatten().softmax(0).view_as(values)
    assert p[inside].sum() > 0.99


def test_the_grid_has_a_row_for_each_second_weight():
    x, y, values = targets.banana().on_grid(7)
    assert values[2, 5] == targets.banana().log_posterior(torch.stack([x[5], y[2]]))


def test_only_the_gaussian_has_a_precision_which_is_its_curvature():
    target = targets.gaussian(0.3)
    curvature = torch.autograd.functional.hessian(target.log_posterior, torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(target.precision, -curvature)
    assert [name for name in SLOW if getattr(targets, name)().precision is not None] == ["gaussian"]


@pytest.mark.parametrize("correlation", [-1.0, 1.0, 2.0, math.nan])
def test_what_is_no_correlation_is_refused(correlation):
    with pytest.raises(ValueError, match=r"^correlation is .*; wanted a number between -1 and 1$"):
        targets.gaussian(correlation)
