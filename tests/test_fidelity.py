"""Laws of fidelity of predictions: a distance that is one, and a correlation that no level of noise can tune."""

import math

import numpy as np
import pytest
import torch

from apdlab import metrics
from apdlab.fidelity import agreement, scores, total_variation, uncertainty_correlation
from apdlab.moments import moments


def predictions(draws=6, examples=17, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(draws, examples, classes, generator=generator, dtype=torch.float64)).log_softmax(-1)


def total_variation_by_hand(a, b):
    p, q = a.exp().mean(0).tolist(), b.exp().mean(0).tolist()
    halves = [sum(abs(s - t) for s, t in zip(*rows, strict=True)) / 2 for rows in zip(p, q, strict=True)]
    return sum(halves) / len(halves)


@pytest.mark.parametrize(("examples", "classes"), [(1, 2), (17, 4), (5, 10)])
@pytest.mark.parametrize("draws", [1, 6])
def test_total_variation_is_half_the_absolute_differences(draws, examples, classes):
    a, b = predictions(draws, examples, classes), predictions(draws + 2, examples, classes, seed=1)
    assert total_variation(moments(a), moments(b)) == pytest.approx(total_variation_by_hand(a, b), rel=1e-12)


def test_total_variation_is_a_distance_from_0_to_1():
    a, b, c = (moments(predictions(seed=seed)) for seed in range(3))
    assert total_variation(a, a) == 0 and total_variation(a, b) == total_variation(b, a)
    assert 0 < total_variation(a, c) <= total_variation(a, b) + total_variation(b, c) <= 2
    sure = [moments(torch.eye(4)[[k]].log().expand(3, 1, 4)) for k in (0, 1)]
    assert total_variation(*sure) == 1


@pytest.mark.parametrize(("examples", "classes"), [(1, 2), (17, 4), (5, 10), (200, 2)])
def test_agreement_is_the_share_of_equal_choices(examples, classes):
    a, b = predictions(3, examples, classes), predictions(5, examples, classes, seed=1)
    choices = [p.exp().mean(0).tolist() for p in (a, b)]
    equal = [p.index(max(p)) == q.index(max(q)) for p, q in zip(*choices, strict=True)]
    assert agreement(moments(a), moments(b)) == pytest.approx(sum(equal) / examples, abs=1e-12)
    assert agreement(moments(a), moments(a)) == 1 and agreement(moments(a), moments(a.roll(1, -1))) == 0


def test_agreement_is_of_the_mean_prediction_not_of_the_votes():
    sure, unsure = (torch.tensor([p]).log() for p in ([0.99, 0.01], [0.4, 0.6]))
    a = torch.stack([sure, unsure, unsure])
    assert agreement(moments(a), moments(sure[None])) == 1 and agreement(moments(a), moments(unsure[None])) == 0


@pytest.mark.parametrize("compare", [agreement, total_variation, uncertainty_correlation])
@pytest.mark.parametrize("shape", [(1, 4), (17, 1), (16, 4)], ids=str)
def test_predictions_of_other_examples_are_refused(compare, shape, refusal):
    a, b = moments(predictions()), moments(predictions(6, *shape))
    assert "wanted the same examples and classes" in refusal(lambda: compare(a, b))


@pytest.mark.parametrize("floor", [1e-9, 1e-3])
def test_correlation_is_that_of_log_mutual_informations(floor):
    a, b = moments(predictions()), moments(predictions(seed=1))
    wanted = np.corrcoef(*((metrics.mutual_information(m).numpy() + floor) for m in (a, b)))[0, 1]
    logs = [np.log(metrics.mutual_information(m).numpy() + floor) for m in (a, b)]
    assert uncertainty_correlation(a, b, floor) == pytest.approx(np.corrcoef(*logs)[0, 1], rel=1e-10)
    assert uncertainty_correlation(a, b, floor) != pytest.approx(wanted)
    assert uncertainty_correlation(a, a, floor) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("examples", [1, 2, 3, 7, 10, 17, 100, 1001])
def test_a_point_estimate_that_doubts_nothing_has_no_correlation(examples):
    one, many = predictions(1, examples), predictions(6, examples, seed=1)
    for a, b in ((one, many), (many, one), (one, one)):
        assert math.isnan(uncertainty_correlation(moments(a), moments(b)))


def test_scores_are_the_metrics_of_the_mean_prediction():
    m, y = moments(predictions()), torch.arange(17) % 4
    got = scores(m, y)
    wanted = {name: getattr(metrics, name)(m.log_mean, y) for name in ("accuracy", "nll", "brier", "ece")}
    assert got == wanted | {"mutual_information": metrics.mutual_information(m).mean().item()}
    assert len(set(got.values())) == 5
