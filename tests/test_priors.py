"""Laws of priors: the densities of SciPy, weight by weight, at the variance that was asked for."""

import math

import pytest
import torch
from scipy import integrate, stats

from apdlab.networks import mlp
from apdlab.priors import laplace_prior, student_prior

NETWORK = mlp(3, 2, dtype=torch.float64)
PRECISION = {"1.weight": 4.0, "1.bias": 0.5}
LAWS = {
    "laplace": (laplace_prior, lambda k: stats.laplace(scale=math.sqrt(0.5 / k))),
    "student 3": (student_prior, lambda k: stats.t(3, scale=math.sqrt(1 / 3 / k))),
    "student 6": (lambda *a: student_prior(*a, freedom=6.0), lambda k: stats.t(6, scale=math.sqrt(4 / 6 / k))),
}
laws = pytest.mark.parametrize(("make", "law"), LAWS.values(), ids=LAWS)


@laws
@pytest.mark.parametrize("precision", [3.0, PRECISION], ids=["one", "each"])
def test_the_density_is_that_of_each_weight(make, law, precision):
    theta = 3 * torch.randn(4, NETWORK.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    of_each = (
        [precision["1.weight"]] * 6 + [precision["1.bias"]] * 2 if isinstance(precision, dict) else [precision] * 8
    )
    wanted = [sum(law(k).logpdf(v) for k, v in zip(of_each, row, strict=True)) for row in theta.tolist()]
    torch.testing.assert_close(make(NETWORK, precision)(theta), torch.tensor(wanted, dtype=torch.float64))


@laws
def test_the_variance_is_one_over_the_precision(make, law):
    alone = mlp(1, 1, dtype=torch.float64)  # a weight and a bias

    def density(value):
        return math.exp(make(alone, 4.0)(torch.tensor([[value, value]], dtype=torch.float64)).item() / 2)

    variance = 2 * integrate.quad(lambda v: v**2 * density(v), 0, math.inf, limit=500)[0]
    assert variance == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("make", [laplace_prior, student_prior])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, {"1.weight": 1.0}], ids=str)
def test_what_is_no_precision_is_refused(make, bad):
    with pytest.raises(ValueError, match=r"precision .*; wanted"):
        make(NETWORK, bad)


@pytest.mark.parametrize("freedom", [2.0, 0.0, -1.0, math.nan, math.inf])
def test_tails_without_a_variance_are_refused(freedom):
    with pytest.raises(ValueError, match=r"freedom is .*; wanted a finite number above 2"):
        student_prior(NETWORK, 1.0, freedom)
