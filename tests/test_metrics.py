import math
from functools import reduce

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
import torchmetrics.functional.classification as oracle

from apdlab import metrics
from apdlab.moments import merge, moments

SHAPES = [(1, 2), (50, 2), (300, 3), (1000, 10), (40, 200)]
PER_EXAMPLE = [
    metrics.predictive_entropy,
    metrics.expected_entropy,
    metrics.mutual_information,
    metrics.variation_ratio,
    metrics.model_variance,
    metrics.max_probability,
]


def labelled(examples, classes, dtype=torch.float64, seed=0):
    """Predictions that are right more often than not, and too sure."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (examples,), generator=generator)
    logits = torch.randn(examples, classes, generator=generator, dtype=dtype)
    logits[torch.arange(examples), y] += 1.0
    return (2 * logits).log_softmax(-1), y


def drawn(draws, examples, classes, spread=2.0, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(draws, examples, classes, generator=generator, dtype=torch.float64)
    return logits.to(dtype).log_softmax(-1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_accuracy_is_that_of_torchmetrics(shape):
    log_probs, y = labelled(*shape)
    wanted = oracle.multiclass_accuracy(log_probs.exp(), y, num_classes=shape[1], average="micro")
    assert metrics.accuracy(log_probs, y) == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nll_is_the_log_loss_of_sklearn(shape):
    log_probs, y = labelled(*shape)
    wanted = sklearn.metrics.log_loss(y.numpy(), log_probs.exp().numpy(), labels=range(shape[1]))
    assert metrics.nll(log_probs, y) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_brier_is_the_squared_error_of_one_hot_labels(shape):
    log_probs, y = labelled(*shape)
    wanted = shape[1] * sklearn.metrics.mean_squared_error(np.eye(shape[1])[y.numpy()], log_probs.exp().numpy())
    assert metrics.brier(log_probs, y) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 10, 15, 40])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ece_is_that_of_torchmetrics(shape, bins):
    log_probs, y = labelled(*shape)
    wanted = oracle.multiclass_calibration_error(log_probs.exp(), y, num_classes=shape[1], n_bins=bins, norm="l1")
    assert metrics.ece(log_probs, y, bins) == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_sorts_every_example_into_one_bin(bins):
    log_probs, y = labelled(500, 3)
    by_bin = metrics.reliability(log_probs, y, bins)
    assert by_bin.count.sum() == 500
    for b in range(bins):
        confidence, label = log_probs.exp().max(-1)
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        assert by_bin.count[b] == inside.sum()
        torch.testing.assert_close(by_bin.confidence[b], confidence[inside].mean(), equal_nan=True)
        torch.testing.assert_close(by_bin.accuracy[b], (label == y)[inside].double().mean(), equal_nan=True)


@pytest.mark.parametrize(("probability", "bin_of"), [(0.5, 0), (0.75, 1), (0.7501, 2), (1.0, 2)])
def test_a_bin_owns_its_upper_edge(probability, bin_of):
    # Three classes keep the other two below 1/2; edges of 4 bins are exact, and confidence 1 has no bin of its own.
    rest = (1 - probability) / 2
    log_probs = torch.tensor([[probability, rest, rest]], dtype=torch.float64).log()
    count = metrics.reliability(log_probs, torch.tensor([0]), bins=4).count
    assert count.argmax() == bin_of + 1


CERTAIN = torch.eye(3).log()


@pytest.mark.parametrize(
    ("metric", "right", "wrong"),
    [(metrics.accuracy, 1, 0), (metrics.nll, 0, math.inf), (metrics.brier, 0, 2), (metrics.ece, 0, 1)],
    ids=lambda case: getattr(case, "__name__", None),
)
def test_certainty_scores_the_ends_of_the_range(metric, right, wrong):
    y = torch.arange(3)
    assert metric(CERTAIN, y) == right
    assert metric(CERTAIN, (y + 1) % 3) == wrong
    assert isinstance(metric(CERTAIN, y), float)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize(
    "metric", [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece], ids=lambda metric: metric.__name__
)
def test_any_integer_type_labels(metric, dtype):
    log_probs, y = labelled(20, 3)
    assert metric(log_probs, y.to(dtype)) == metric(log_probs, y)


LOG_PROBS, Y = labelled(6, 3)
BAD = {
    "short": (LOG_PROBS, Y[:5], r"y has shape \(5,\); wanted \[N\] = \(6,\)"),
    "column": (LOG_PROBS, Y[:, None], r"y has shape \(6, 1\); wanted \[N\] = \(6,\)"),
    "float": (LOG_PROBS, Y.double(), r"y is torch.float64; wanted integer labels"),
    "bool": (LOG_PROBS, Y > 0, r"y is torch.bool; wanted integer labels"),
    "too high": (LOG_PROBS, Y.clamp(max=2) + 1, r"y has labels from \d to 3; wanted 0 to 2"),
    "negative": (LOG_PROBS, Y - 1, r"y has labels from -1 to \d; wanted 0 to 2"),
    "logits": (LOG_PROBS + 1, Y, r"log_probs .* wanted normalised log probabilities"),
    "stacked": (LOG_PROBS[None], Y, r"log_probs has shape \(1, 6, 3\); wanted \[N, C\]"),
}


@pytest.mark.parametrize(("log_probs", "y", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(
    "metric", [metrics.accuracy, metrics.nll, metrics.brier, metrics.ece], ids=lambda metric: metric.__name__
)
def test_bad_predictions_and_labels_are_refused_in_one_line(metric, log_probs, y, message):
    with pytest.raises(ValueError, match=message) as refusal:
        metric(log_probs, y)
    assert "\n" not in str(refusal.value)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins is 0; wanted 1 or more"):
        metrics.ece(LOG_PROBS, Y, bins=0)


ORACLES = {
    "predictive_entropy": lambda p: scipy.stats.entropy(p.mean(0), axis=-1),
    "expected_entropy": lambda p: scipy.stats.entropy(p, axis=-1).mean(0),
    "mutual_information": lambda p: scipy.stats.entropy(p, p.mean(0, keepdims=True), axis=-1).mean(0),
    "variation_ratio": lambda p: 1 - scipy.stats.mode(p.argmax(-1), axis=0).count / len(p),
    "model_variance": lambda p: (p**2).sum(-1).mean(0) - (p.mean(0) ** 2).sum(-1),
    "max_probability": lambda p: -p.mean(0).max(-1),
}


@pytest.mark.parametrize("chunk", [3, 20], ids=["merged", "whole"])
@pytest.mark.parametrize("spread", [0.1, 2.0, 20.0])
@pytest.mark.parametrize("name", ORACLES)
def test_uncertainties_are_their_definitions(name, spread, chunk):
    log_probs = drawn(20, 30, 7, spread)
    m = reduce(merge, map(moments, log_probs.split(chunk)))
    ours = getattr(metrics, name)(m)
    np.testing.assert_allclose(ours.numpy(), ORACLES[name](log_probs.exp().numpy()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(1, 5, 3), (1, 1, 4099), (1, 257, 1000), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("layout", [(0, 1, 2), (0, 2, 1), (2, 1, 0)], ids=["SNC", "SCN", "CNS"])
def test_one_draw_knows_exactly_nothing_of_its_own_ignorance(shape, layout, dtype):
    log_probs = drawn(*shape, dtype=dtype)
    stored = log_probs.permute(layout).contiguous().permute(tuple(np.argsort(layout)))
    m = moments(stored)
    for statistic in (metrics.mutual_information, metrics.variation_ratio, metrics.model_variance):
        assert (statistic(m) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1e-4, 0.1, 3.0, 1000.0])
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("chunk", [1, 16], ids=["merged", "whole"])
def test_uncertainties_stay_in_their_ranges(classes, spread, dtype, chunk):
    log_probs = drawn(16, 40, classes, spread, dtype)
    m = reduce(merge, map(moments, log_probs.split(chunk)))
    most = 1 - 1 / classes
    ceilings = [math.log(classes)] * 3 + [most, most, -1 / classes]
    floors = [0.0] * 5 + [-1.0]
    for statistic, floor, ceiling in zip(PER_EXAMPLE, floors, ceilings, strict=True):
        value = statistic(m)
        assert value.shape == (40,)
        assert value.dtype == torch.float64
        assert floor - (1e-12 if statistic is metrics.mutual_information else 1e-6) <= value.min()
        assert value.max() <= ceiling + 1e-6


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_certain_draws_that_all_disagree_reach_the_ceilings(classes):
    m = moments(torch.eye(classes)[:, None].log())
    assert metrics.expected_entropy(m).item() == 0
    assert metrics.mutual_information(m).item() == pytest.approx(math.log(classes), abs=1e-6)
    assert metrics.variation_ratio(m).item() == pytest.approx(1 - 1 / classes)
    assert metrics.model_variance(m).item() == pytest.approx(1 - 1 / classes, abs=1e-6)
    assert metrics.max_probability(m).item() == pytest.approx(-1 / classes)


def curve_by_hand(score, correct):
    """Keep, for each example, all that are at most as uncertain."""
    points = []
    for threshold in sorted(score):
        kept = [c for s, c in zip(score, correct, strict=True) if s <= threshold]
        points.append((len(kept) / len(score), sum(not c for c in kept) / len(kept)))
    return torch.tensor(points, dtype=torch.float64).T


def judged(examples, levels, seed=0):
    """Scores of so many different values, and hits that are rarer where the score is high."""
    generator = torch.Generator().manual_seed(seed)
    score = torch.randint(levels, (examples,), generator=generator) / levels
    return score, torch.rand(examples, generator=generator) > score / 2


@pytest.mark.parametrize(("examples", "levels"), [(1, 1), (2, 1), (40, 1), (40, 3), (200, 50), (200, 10**6)])
def test_a_risk_coverage_curve_is_that_of_the_obvious_loop(examples, levels):
    score, correct = judged(examples, levels)
    curve = metrics.risk_coverage(score, correct)
    coverage, risk = curve_by_hand(score.tolist(), correct.tolist())
    torch.testing.assert_close(curve, metrics.RiskCoverage(coverage, risk))
    assert curve.area == pytest.approx(risk.mean().item())
    assert curve.coverage[-1] == 1 and curve.risk[-1].item() == pytest.approx((~correct).double().mean().item())


@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_a_curve_does_not_see_the_order_of_examples_nor_the_scale_of_the_score(levels):
    score, correct = judged(100, levels)
    wanted = metrics.risk_coverage(score, correct)
    for seed in range(5):
        order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(
            metrics.risk_coverage(score[order].exp() - 3, correct[order]), wanted, rtol=0, atol=0
        )


@pytest.mark.parametrize(("examples", "errors"), [(10, 0), (10, 3), (10, 10), (1000, 20)])
def test_errors_that_all_come_last_have_the_least_area_and_first_the_largest(examples, errors):
    correct = torch.arange(examples) < examples - errors
    score = torch.linspace(0, 1, examples)
    least = sum(max(0, n - (examples - errors)) / n for n in range(1, examples + 1)) / examples
    most = sum(min(n, errors) / n for n in range(1, examples + 1)) / examples
    assert metrics.risk_coverage(score, correct).area == pytest.approx(least, abs=1e-12)
    assert metrics.risk_coverage(-score, correct).area == pytest.approx(most, abs=1e-12)
    assert metrics.risk_coverage(0 * score, correct).area == pytest.approx(errors / examples, abs=1e-12)


def test_scores_may_be_infinite():
    score, correct = torch.tensor([math.inf, -math.inf, 0, math.inf]), torch.tensor([False, True, True, True])
    torch.testing.assert_close(
        metrics.risk_coverage(score, correct).risk, torch.tensor([0, 0, 0.25, 0.25], dtype=torch.float64)
    )


BAD_CURVES = {
    "stacked": (torch.zeros(2, 3), torch.ones(2, 3).bool(), r"score has shape (2, 3); wanted [N]"),
    "empty": (torch.zeros(0), torch.ones(0).bool(), r"score has shape (0,); wanted [N]"),
    "short": (
        torch.zeros(3),
        torch.ones(2).bool(),
        r"correct is torch.bool of shape (2,); wanted torch.bool of shape (3,)",
    ),
    "numbers": (torch.zeros(3), torch.ones(3), r"correct is torch.float32 of shape (3,); wanted torch.bool"),
    "NaN": (torch.tensor([0, math.nan]), torch.ones(2).bool(), "score holds NaN; wanted numbers that can be ordered"),
}


@pytest.mark.parametrize("name", BAD_CURVES)
def test_scores_that_cannot_be_ordered_or_matched_are_refused(name, refusal):
    score, correct, message = BAD_CURVES[name]
    assert message in refusal(lambda: metrics.risk_coverage(score, correct))
