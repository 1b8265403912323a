"""Laws of the verdict: a temperature chosen on validation, and runs that are what they say."""

import pytest
import torch
from scipy import stats

from apdlab.chains import Chains
from apdlab.cold import curve, diagnose, judge, score
from apdlab.draws import Draws
from apdlab.metrics import nll
from apdlab.networks import mlp
from apdlab.predict import predict_moments
from apdlab.samplers import Run, keep, laws, sghmc
from apdlab.tempering import tempered
from apdlab.types import Data, Split

NETWORK = mlp(2, 3, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(test, valid=None):
    """Rows of temperatures whose seeds have these NLL."""
    valid = valid or test
    return [
        {"temperature": t, "seed": i, "nll": v, "valid_nll": valid[t][i]}
        for t, values in test.items()
        for i, v in enumerate(values)
    ]


LOW, HIGH, WILD = [0.20, 0.21, 0.20], [0.30, 0.32, 0.31], [0.10, 0.50, 0.25]
VERDICTS = {
    "colder is better": ("cold", 0.1, {0.1: LOW, 1.0: HIGH}, None),
    "hotter is better": ("warm", 2.0, {0.1: HIGH, 1.0: HIGH, 2.0: LOW}, None),
    "one is best": ("none", 1.0, {0.1: HIGH, 1.0: LOW}, None),
    "seeds disagree": ("not resolved", 0.1, {0.1: WILD, 1.0: HIGH}, None),
    "validation misled": ("none", 0.1, {0.1: HIGH, 1.0: LOW}, {0.1: LOW, 1.0: HIGH}),
    "the best on test is not chosen": ("not resolved", 1.0, {0.1: LOW, 1.0: HIGH}, {0.1: HIGH, 1.0: LOW}),
    "one is best, and seeds disagree": ("not resolved", 1.0, {0.1: WILD, 1.0: LOW}, None),
}


@pytest.mark.parametrize(("verdict", "best", "test", "valid"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_follows_the_rule(verdict, best, test, valid):
    found = judge(rows(test, valid))
    assert (found["verdict"], found["best_t"]) == (verdict, best)
    other = found["other_t"]
    assert other == best or (best == 1.0 and other != 1.0)
    assert found["gap"] == pytest.approx(sum(test[other]) / 3 - sum(test[1.0]) / 3)
    assert found["nll_best"] == pytest.approx(sum(test[best]) / 3)


@pytest.mark.parametrize(
    "bad", [{0.1: LOW, 0.3: LOW}, {0.1: LOW[:2], 1.0: LOW}, {1.0: LOW}], ids=["no 1", "a seed less", "no other"]
)
def test_temperatures_that_cannot_be_compared_are_refused(bad):
    with pytest.raises(ValueError, match=r"rows have temperatures .*; wanted 1\.0 and others"):
        judge(rows(bad))


def test_a_row_says_whose_scores_it_has():
    test, valid = (Data(normal(9, 2, seed=i), torch.arange(9) % 3) for i in (1, 2))
    posteriors = [Draws(NETWORK, normal(4, 9, seed=i)) for i in range(4)]
    found = score(posteriors, [0.1, 0.1, 1.0, 1.0], Split(test, valid, test), method="x")
    assert [(row["temperature"], row["seed"]) for row in found] == [(0.1, 0), (0.1, 1), (1.0, 0), (1.0, 1)]
    for row, draws in zip(found, posteriors, strict=True):
        for name, part in (("nll", test), ("valid_nll", valid)):
            assert row[name] == nll(predict_moments(draws, part.x).log_mean, part.y)
        assert row["method"] == "x"


def test_a_curve_has_means_and_standard_errors_of_each_temperature():
    found = curve(rows({1.0: HIGH, 0.1: LOW}), "nll")
    assert found["temperature"] == [0.1, 1.0]
    assert found["mean"] == pytest.approx([sum(LOW) / 3, sum(HIGH) / 3])
    assert found["error"] == pytest.approx([stats.sem(LOW), stats.sem(HIGH)])


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_chains_are_found_at_their_temperature_and_as_hot_as_their_gradients_make_them(noise):
    """On ``log p = -|theta|^2 / 200 + <theta, noise>``, nearly flat, so that the law of flat directions holds."""
    temperatures, h, friction = [2.0, 2.0, 0.5, 0.5], 0.5, 1.0
    warmth = torch.tensor(temperatures, dtype=torch.float64)
    target = tempered(lambda theta, batch: -0.005 * theta.square().sum(-1) + (theta * batch).sum(-1), warmth)
    kernel = sghmc(target, h, friction, mass=1 / warmth[:, None])
    run = Run(kernel, normal(4, 9), lambda t: noise * normal(4, 9, seed=t), seed=0, steps=4000)
    chains = keep(run, NETWORK, burn_in=200, thin=2)
    data = Data(normal(4, 2), torch.zeros(4).long())
    fresh = lambda t: noise * normal(4, 9, seed=10**6 + t)  # noqa: E731
    found = diagnose(target, chains, temperatures, fresh, data, step_size=h, friction=friction, condition="flat")
    assert [row["temperature"] for row in found] == [2.0, 0.5]
    for row in found:
        wanted = laws.sghmc(h, friction, 0.01, row["temperature"], noise**2).kinetic / row["temperature"]
        assert abs(row["kinetic"] - wanted) < 4 * row["kinetic_error"] + 0.01 * (wanted - 1)
        # the variance of 8 gradients of 18 weights has a standard deviation of sqrt(2 / 126)
        assert row["predicted"] - 1 == pytest.approx(wanted - 1, rel=5 * (2 / 126) ** 0.5, abs=1e-9)
        assert row["condition"] == "flat"


def test_frozen_chains_have_not_mixed():
    theta = normal(4, 1, 9) + 1e-3 * normal(4, 40, 9, seed=1)
    measures = {name: normal(4, 40).square() for name in ("kinetic", "configurational")}
    chains = Chains(NETWORK, theta, torch.arange(40), torch.zeros(4, 40), measures)
    free = lambda theta, batch: -theta.square().sum(-1)  # noqa: E731
    data = Data(normal(4, 2), torch.zeros(4).long())
    (row,) = diagnose(free, chains, [1.0] * 4, lambda t: None, data, step_size=0.1, friction=1.0)
    assert row["r_hat"] > 2 and row["predicted"] == 1
