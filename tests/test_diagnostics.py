import functools
import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch

from apdlab import diagnostics
from apdlab.diagnostics import ess_bulk, ess_mean, ess_tail, mcse_mean, r_hat, summary, walk_correlation

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor", category=FutureWarning)
    import arviz

CORRELATIONS = [-0.9, -0.5, 0.0, 0.5, 0.9, 0.99, 1.0]
SIZES = [(2, 4), (4, 5), (2, 10), (3, 11), (2, 13), (4, 100), (3, 107), (3, 287), (5, 257), (4, 1000)]
ORACLES = {
    r_hat: functools.partial(arviz.rhat, method="rank"),
    ess_bulk: functools.partial(arviz.ess, method="bulk"),
    ess_tail: functools.partial(arviz.ess, method="tail"),
    ess_mean: functools.partial(arviz.ess, method="mean"),
    mcse_mean: functools.partial(arviz.mcse, method="mean"),
}
one_chain = {statistic: ORACLES[statistic] for statistic in ORACLES if statistic is not r_hat}
named = functools.partial(pytest.mark.parametrize, ids=lambda case: getattr(case, "__name__", str(case)))


def autoregression(chains, draws, correlations=CORRELATIONS, seed=0):
    """Chains x_t = a x_(t-1) + noise of each correlation a, [C, T, Q]; 1 is a random walk."""
    noise = np.random.default_rng(seed).normal(size=(chains, draws, len(correlations)))
    for t in range(1, draws):
        noise[:, t] += np.array(correlations) * noise[:, t - 1]
    return torch.from_numpy(noise)


def one_by_one(oracle, values):
    return np.array([oracle(values[..., q].numpy()) for q in range(values.shape[-1])])


@named("statistic", ORACLES)
@named("size", SIZES)
def test_each_statistic_is_that_of_arviz(statistic, size):
    values = torch.cat([autoregression(*size, seed=seed) for seed in range(3)], dim=-1)
    np.testing.assert_allclose(statistic(values), one_by_one(ORACLES[statistic], values), rtol=1e-6)


@named("statistic", one_chain)
@pytest.mark.parametrize("draws", [4, 9, 41, 101, 500])
def test_one_chain_is_enough_for_arviz(statistic, draws):
    values = autoregression(1, draws)
    np.testing.assert_allclose(statistic(values), one_by_one(ORACLES[statistic], values), rtol=1e-6)


@pytest.mark.parametrize("draws", [8, 9, 500])
def test_r_hat_of_one_chain_compares_its_halves(draws):
    values = autoregression(1, draws)
    halves = torch.cat([values[:, : draws // 2], values[:, -(draws // 2) :]]).numpy()

    def scores(x):
        rank = scipy.stats.rankdata(x).reshape(x.shape)
        return arviz.rhat(scipy.stats.norm.ppf((rank - 3 / 8) / (x.size + 1 / 4)), method="identity")

    wanted = [max(scores(x), scores(abs(x - np.median(x)))) for x in np.moveaxis(halves, -1, 0)]
    np.testing.assert_allclose(r_hat(values), wanted, rtol=1e-6)


TIES = {
    "three levels": lambda x: x.round().clamp(-1, 1),
    "rejections": lambda x: x[:, ::3].repeat_interleave(3, 1),
    "rare spikes": lambda x: (x > 2.0).double(),
    "signs": lambda x: x.sign(),
    "one chain frozen": lambda x: torch.cat([x[:1], x[:1, :1].expand_as(x[:1])]),
    "tenths": lambda x: x.round(decimals=1),
    "heavy tails": lambda x: x.pow(5),
    "far from 0": lambda x: 1e6 + x,
}


@named("statistic", ORACLES)
@pytest.mark.parametrize("change", TIES.values(), ids=TIES.keys())
def test_ties_and_odd_shapes_are_treated_as_in_arviz(statistic, change):
    values = change(autoregression(4, 240, [-0.5, 0.0, 0.7]))
    np.testing.assert_allclose(statistic(values), one_by_one(ORACLES[statistic], values), rtol=1e-6)


@named("statistic", ORACLES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool], ids=str)
def test_every_precision_is_worked_on_in_float64(statistic, dtype):
    values = autoregression(4, 120, [0.0, 0.7]).clamp(min=0).floor().to(dtype)
    torch.testing.assert_close(statistic(values), statistic(values.double()), rtol=0.0, atol=0.0)


@named("statistic", ORACLES)
def test_a_constant_has_nothing_to_diagnose(statistic):
    values = autoregression(4, 100, [0.0, 0.5])
    values[..., 0] = 0.1
    result = statistic(values)
    assert result[0].isnan()
    torch.testing.assert_close(result[1:], statistic(values[..., 1:]))


@named("statistic", ORACLES)
@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("at_once", [1, 4])
def test_every_quantity_is_judged_alone(statistic, shape, at_once, monkeypatch):
    values = autoregression(3, 60, [0.3] * math.prod(shape)).reshape(3, 60, *shape)
    alone = torch.stack([statistic(x) for x in values.reshape(3, 60, -1).unbind(-1)]).reshape(shape)
    monkeypatch.setattr(diagnostics, "CHUNK", 3 * 59 * at_once)
    result = statistic(values)
    assert result.shape == shape
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, alone, rtol=1e-9, atol=0.0)


@named("statistic", [r_hat, ess_bulk, ess_tail])
@pytest.mark.parametrize("change", [torch.exp, lambda x: x.pow(3), lambda x: -x], ids=["exp", "cube", "minus"])
def test_ranks_see_only_the_order(statistic, change):
    # Folding measures distances, so only the location part of R-hat is free of scale: compare where it is the larger.
    values = autoregression(4, 200, [0.5, 0.9])
    values += torch.arange(4)[:, None, None]
    rtol = 0.05 if statistic is ess_tail else 1e-9
    torch.testing.assert_close(statistic(change(values)), statistic(values), rtol=rtol, atol=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_independent_chains_pass(seed):
    # tau sums the few first autocorrelations, each with sd 1/sqrt(4000), twice: its sd is below 10%, so 50 quantities
    # stay within 40% (four sd) and their median within 10%.
    values = torch.randn(4, 1000, 50, generator=torch.Generator().manual_seed(seed))
    assert r_hat(values).max() < 1.01
    for statistic in (ess_bulk, ess_tail, ess_mean):
        size = statistic(values) / 4000
        assert 0.6 < size.min()
        assert size.max() < 1.4
        assert 0.9 < size.median() < 1.1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("correlation", [-0.5, 0.5, 0.9])
def test_ess_of_an_autoregression_is_the_known_one(correlation, seed):
    # tau = (1 + a) / (1 - a); the estimate's relative sd is about sqrt(tau * few / N) <= 10%, the mean of 50 far less.
    values = autoregression(4, 2000, [correlation] * 50, seed)
    wanted = 8000 * (1 - correlation) / (1 + correlation)
    assert ess_mean(values).mean().item() == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_antithetic_chains_are_worth_more_than_their_length_but_capped(seed):
    values = autoregression(4, 500, [-0.9, -0.999], seed)
    assert (ess_mean(values) > 2 * 2000).all()
    assert (ess_mean(values) <= 2000 * math.log10(2000) * (1 + 1e-12)).all()


@pytest.mark.parametrize("seed", range(3))
def test_chains_that_differ_in_mean_or_in_scale_fail(seed):
    values = torch.randn(2, 500, 2, generator=torch.Generator().manual_seed(seed))
    values[1, :, 0] += 1.0
    values[1, :, 1] *= 4.0
    assert (r_hat(values) > 1.1).all()


@pytest.mark.parametrize("seed", range(3))
def test_random_walks_fail(seed):
    values = autoregression(4, 1000, [1.0] * 20, seed)
    assert r_hat(values).median() > 1.2
    assert ess_bulk(values).median() < 40


def test_chains_frozen_apart_are_far_from_mixed():
    values = torch.tensor([0.1, 0.7])[:, None].expand(2, 50)
    assert r_hat(values) > 1e3
    assert ess_bulk(values) < 4


def test_a_summary_counts_constants_and_leaves_them_out():
    values = autoregression(4, 100, [0.0, 0.5, 0.9, 0.0, 0.3])
    values[..., 3] = 2.0
    row = summary(values, "weights")
    moving = values[..., [0, 1, 2, 4]]
    assert (row["name"], row["quantities"], row["constant"]) == ("weights", 5, 1)
    assert row["r_hat_max"] == r_hat(moving).max()
    assert row["r_hat_median"] in r_hat(moving).sort().values[1:3]
    assert row["r_hat_90"] == row["r_hat_max"]
    assert row["ess_bulk_min"] == ess_bulk(moving).min()
    assert row["ess_bulk_median"] in ess_bulk(moving).sort().values[1:3]


def test_a_summary_takes_frozen_chains_and_constants():
    frozen = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 50, 3)
    assert summary(frozen, "frozen")["r_hat_median"] > 1e3
    assert math.isnan(summary(torch.ones(2, 50, 3), "constant")["r_hat_max"])


FINE = torch.randn(2, 10, 3, generator=torch.Generator().manual_seed(0))
BAD = {
    "one axis": (FINE[0, :, 0], r"values has shape \(10,\); wanted \[C, T, \.\.\.\]"),
    "no chains": (FINE[:0], r"values has shape \(0, 10, 3\); wanted"),
    "no quantities": (FINE[..., :0], r"values has shape \(2, 10, 0\); wanted"),
    "3 draws": (FINE[:, :3], "values has 3 draws a chain; wanted 4 or more"),
    "nan": (FINE.where(FINE < FINE.max(), math.nan), "values holds NaN or infinity"),
    "minus infinity": (FINE.where(FINE > FINE.min(), -math.inf), "values holds NaN or infinity"),
    "infinity": (FINE.where(FINE < FINE.max(), math.inf), "values holds NaN or infinity"),
}


@named("statistic", ORACLES)
@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_not_chains_is_refused_in_one_line(statistic, values, message):
    with pytest.raises(ValueError, match=message) as refusal:
        statistic(values)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("seed", range(3))
def test_components_of_a_random_walk_are_cosines_and_those_of_noise_are_not(seed):
    noise = torch.randn(2, 200, 5000, generator=torch.Generator().manual_seed(seed))
    for path, walks in ((noise.cumsum(1), True), (noise, False)):
        centred = path - path.mean(1, keepdim=True)
        components = torch.stack([torch.linalg.svd(chain, full_matrices=False)[0][:, :4] for chain in centred])
        found = walk_correlation(components)
        assert found.shape == (2, 4) and (found > 0.95).all() if walks else (found < 5 / 200**0.5).all()


def test_correlation_with_cosines_is_numpy_s():
    components = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    time = (np.arange(50) + 0.5) / 50
    for c, chain in enumerate(components.numpy()):
        for m in range(3):
            wanted = abs(np.corrcoef(chain[:, m], np.cos(np.pi * (m + 1) * time))[0, 1])
            assert walk_correlation(components)[c, m].item() == pytest.approx(wanted, rel=1e-5)
