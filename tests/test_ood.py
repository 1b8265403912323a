"""Laws of detection: the metrics against slow ones and scikit-learn, their invariances, and intervals that cover."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from apdlab import metrics, ood
from apdlab.moments import moments
from apdlab.networks import mlp
from apdlab.ood import SCORES, Case, Resamples, Seen, blame, detect, detection, gaps, intervals, resamples, tabulate
from apdlab.posterior import point
from apdlab.scoreboard import Entry
from apdlab.types import Cost

METRICS = ("auroc", "aupr_out", "aupr_in", "fpr_95")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


CASES = {
    "apart": (normal(50), normal(40, seed=1) + 1),
    "ties": ((3 * normal(60)).round(), (3 * normal(45, seed=1)).round() + 1),
    "two values": (normal(30) > 1, normal(50, seed=1) > -0.5),
    "equal": (torch.zeros(7), torch.zeros(5)),
    "perfect": (normal(20).abs(), -normal(30).abs() + 100),
    "backwards": (normal(20) + 9, normal(30)),
    "one each": (torch.tensor([0.3]), torch.tensor([0.2])),
    "infinite": (torch.tensor([-math.inf, 0.0, 1.0]), torch.tensor([1.0, math.inf])),
}
CASES = {name: tuple(side.double() for side in sides) for name, sides in CASES.items()}
cases = pytest.mark.parametrize(("inside", "outside"), CASES.values(), ids=CASES)


def slow(inside, outside, weights=None):
    """Pairs for the AUROC, scikit-learn for the rest, with the weights of one resample."""
    inside, outside = inside.numpy(), outside.numpy()
    v, w = weights or (np.ones(len(inside)), np.ones(len(outside)))
    wins = (outside[:, None] > inside) + 0.5 * (outside[:, None] == inside)
    label, weight = np.repeat([0, 1], [len(inside), len(outside)]), np.concatenate([v, w])
    score = np.nan_to_num(np.concatenate([inside, outside]))  # scikit-learn knows no infinity
    alarms, found, _ = roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
    return {
        "auroc": w @ wins @ v / (w.sum() * v.sum()),
        "aupr_out": average_precision_score(label, score, sample_weight=weight),
        "aupr_in": average_precision_score(1 - label, -score, sample_weight=weight),
        "fpr_95": alarms[np.argmax(found >= 0.95 - 1e-12)],
    }


@cases
def test_metrics_are_those_of_pairs_and_of_scikit_learn(inside, outside):
    found = detection(inside, outside)
    wanted = slow(inside, outside)
    assert tuple(found) == METRICS
    for name in METRICS:
        assert found[name].item() == pytest.approx(wanted[name], abs=1e-12), name
    label = np.repeat([0, 1], [len(inside), len(outside)])
    whole = roc_auc_score(label, np.nan_to_num(torch.cat([inside, outside]).numpy()))
    assert found["auroc"].item() == pytest.approx(whole, abs=1e-12)


@cases
def test_a_resample_is_a_weighted_set(inside, outside):
    drawn = resamples(len(inside), len(outside), 40, generator=rng(3))
    found = detection(inside, outside, drawn)
    for b, weights in enumerate(zip(*(of.double().numpy() for of in drawn), strict=True)):
        wanted = slow(inside, outside, weights)
        for name in METRICS:  # sums of at most 60 terms in float32
            assert found[name][b].item() == pytest.approx(wanted[name], abs=60 * 2**-23), (b, name)


@cases
def test_turning_a_score_round_turns_the_areas_round(inside, outside):
    here, there = detection(inside, outside), detection(-inside, -outside)
    assert (here["auroc"] + there["auroc"]).item() == pytest.approx(1, abs=1e-12)
    swapped = detection(-outside, -inside)
    assert here["auroc"].item() == pytest.approx(swapped["auroc"].item(), abs=1e-12)
    assert here["aupr_out"].item() == pytest.approx(swapped["aupr_in"].item(), abs=1e-12)
    assert here["aupr_in"].item() == pytest.approx(swapped["aupr_out"].item(), abs=1e-12)


CHANGES = {"exp": torch.exp, "atan": torch.atan, "linear": lambda s: 3 * s - 7, "cubic": lambda s: s**3}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["apart", "ties", "two values"])
def test_only_the_order_of_scores_counts(name, change):
    here, there = (detection(*map(f, CASES[name])) for f in (lambda s: s, change))
    assert all(torch.equal(here[metric], there[metric]) for metric in METRICS)


def test_a_blind_score_has_half_and_the_shares():
    found = detection(torch.zeros(30), torch.zeros(10))
    assert [found[name].item() for name in METRICS] == pytest.approx([0.5, 0.25, 0.75, 1.0])


@pytest.mark.parametrize(("n", "missed", "wanted"), [(20, 1, 0.0), (20, 2, 1.0), (2000, 100, 0.0), (2000, 101, 1.0)])
def test_false_alarms_are_counted_where_exactly_95_percent_are_found(n, missed, wanted):
    outside = torch.cat([torch.zeros(missed), torch.full((n - missed,), 2.0)])
    assert detection(torch.ones(50), outside)["fpr_95"].item() == wanted


def test_resamples_keep_the_sizes_apart_and_are_uniform():
    drawn = resamples(6, 3, 20_000, generator=rng())
    assert (drawn.inside.sum(1) == 6).all() and (drawn.outside.sum(1) == 3).all()
    for counts in drawn:  # each count is binomial(n, 1/n), of variance below 1
        assert (counts.mean(0) - 1).abs().max() < 5 / math.sqrt(20_000)
        assert counts.var(0) == pytest.approx(1 - 1 / counts.shape[1], abs=0.1)


def test_intervals_cover_the_true_area_of_two_gaussians():
    """The percentile bootstrap is exact only in the limit: at 150 images it may lack a percent of its 95."""
    shift, repeats, covered = 1.0, 400, 0
    truth = 0.5 * (1 + math.erf(shift / 2))  # Phi(shift / sqrt 2)
    for seed in range(repeats):
        inside, outside = normal(150, seed=seed), normal(150, seed=seed + 9999) + shift
        drawn = resamples(150, 150, 200, generator=rng(seed))
        row = intervals(detect({"s": inside}, {"s": outside}, drawn)).loc[("s", "auroc")]
        covered += row.low <= truth <= row.high
    error = math.sqrt(0.95 * 0.05 / repeats)
    assert 0.95 - 0.01 - 4 * error <= covered / repeats <= 0.95 + 4 * error


def test_every_score_is_the_uncertainty_of_its_name():
    m = moments((2 * normal(6, 21, 4)).log_softmax(-1))
    found = ood.scores(m)
    assert list(found) == list(SCORES)
    assert all(torch.equal(score, getattr(metrics, name)(m)) for name, score in found.items())


def test_the_curve_has_the_area():
    for inside, outside in CASES.values():
        if inside.isfinite().all() and outside.isfinite().all():
            alarms, found = (side.double() for side in ood.roc(inside, outside))
            area = torch.trapezoid(found, alarms).item()
            assert area == pytest.approx(detection(inside, outside)["auroc"].item(), abs=1e-6)


def seen_by(methods, seeds=(0, 1), n=(40, 30), scale=1.0):
    made = {}
    for i, method in enumerate(methods):
        for seed in seeds:
            for place, shift in (("near", 0.3), ("far", 1.5)):
                sides = normal(n[0], seed=seed), normal(n[1], seed=seed + 7) + shift / (1 + i)
                score = [{"mutual_information": side.exp(), "entropy": side} for side in sides]
                made[Case(method, seed, place, scale)] = Seen(*score)
    return made


def test_a_table_has_every_case_on_the_same_resamples():
    seen = seen_by(["sgld", "apd"])
    table = tabulate(seen, 30, seed=5)
    assert table.index.names == [*Case._fields, "score", "metric"] and table.shape == (len(seen) * 2 * 4, 31)
    drawn = resamples(40, 30, 30, generator=ood.tables.stream(5, "bootstrap"))
    for case, (inside, outside) in seen.items():
        for score in inside:
            value = detection(inside[score], outside[score])
            again = detection(inside[score], outside[score], drawn)
            for metric in METRICS:
                row = table.loc[(*case, score, metric)]
                assert row.value == value[metric].item()
                np.testing.assert_allclose(row.drop("value").astype(float), again[metric], rtol=1e-6)


def test_intervals_are_quantiles_of_the_resamples_alone():
    frame = pd.DataFrame({"value": [99.0], **{b: [float(b)] for b in range(101)}})
    row = intervals(frame, level=0.9).iloc[0]
    assert (row.value, row.low, row.high) == pytest.approx((99, 5, 95))


def test_parts_of_a_difference_add_up_and_each_side_bears_its_own():
    own, other = (normal(40), normal(30, seed=1) + 1), (normal(40, seed=2), normal(30, seed=3) + 2)
    areas = [detection(*pair)["auroc"].item() for pair in (own, other)]
    assert sum(blame(own, other).values()) == pytest.approx(areas[1] - areas[0], abs=1e-12)
    assert blame(own, (own[0], other[1]))["inside"] == blame(own, (other[0], own[1]))["outside"] == 0
    assert blame(own, (own[0], other[1]))["outside"] > 0 > blame(own, (own[0] + 1, own[1]))["inside"]


def test_gaps_are_paired_means_over_repeats():
    seen = seen_by(["sgld", "apd"])
    table = tabulate(seen, 50, seed=0)
    found = gaps(table, seen, "apd", "sgld", 1.0)
    assert list(found.index) == [("apd", q, s) for q in ("near", "far") for s in ("mutual_information", "entropy")]
    for (_, place, score), row in found.iterrows():
        differences, own, ratios = [], [], []
        for seed in (0, 1):
            pair = [seen[Case(m, seed, place, 1.0)] for m in ("sgld", "apd")]
            areas = [detection(s.inside[score], s.outside[score])["auroc"].item() for s in pair]
            differences.append(areas[1] - areas[0])
            own.append(areas[0])
            doubts = [s.outside["mutual_information"].mean().item() for s in pair]
            ratios.append(doubts[1] / doubts[0])
        assert row.value == pytest.approx(np.mean(differences), abs=1e-12)
        assert row.inside + row.outside == pytest.approx(row.value, abs=1e-12)
        assert row.repeats == pytest.approx(np.std(own, ddof=1))
        assert row.ratio_outside == pytest.approx(np.mean(ratios)) and row.ratio_inside == 1
        assert row.low < row.value < row.high < 0
    same = tabulate(seen | {k._replace(method="apd"): v for k, v in seen.items() if k.method == "sgld"}, 50, seed=0)
    zero = intervals(same.loc["apd"] - same.loc["sgld"])
    assert (zero == 0).all(axis=None)  # paired: of two that say the same, all resamples say so


@pytest.mark.parametrize("value", [-0.02, 0.0099, 0.0101, 0.0])
def test_a_verdict_counts_and_tells_what_is_far(value):
    seen = seen_by(["sgld", "apd"], seeds=(0, 1, 2))
    frame = gaps(tabulate(seen, 20, seed=0), seen, "apd", "sgld", 1.0).assign(value=0.0, low=-0.009, high=0.009)
    frame.iloc[1, 0], frame.iloc[2, 1], frame.iloc[3, 2] = value, -0.011, 0.011
    first, *rest = ood.verdicts(frame)
    near = f"within 0.01 of its reference in {3 if abs(value) > 0.01 else 4} of 4 pairs of set and score"
    assert first == f"apd: {near}, with the whole interval in 2"
    assert [line.split(":")[0] for line in rest] == (["  near, entropy"] if abs(value) > 0.01 else [])


def test_the_point_estimate_is_blind_by_disagreement_and_scale_reaches_those_outside_alone():
    entry = Entry("sgd", "4-6-3", 0, point(mlp(4, 6, 3), normal(51).float()), Cost(1, 1.0))
    x, others = normal(20, 4, seed=1).float(), normal(9, 4, seed=2).float()
    (case, seen), *_ = ood.look([entry], x, {"a": others}, 5.0, 100).items()
    plain = ood.look([entry], x, {"a": 5 * others}, 1.0, 100)[case._replace(scale=1.0)]
    for side, same in zip(seen, plain, strict=True):
        assert all(torch.equal(side[name], same[name]) for name in SCORES)
    for name in ("mutual_information", "model_variance", "variation_ratio"):
        assert detection(seen.inside[name], seen.outside[name])["auroc"].item() == 0.5


def test_brightness_separates_what_a_factor_made():
    x = normal(50, 1, 8, 8).clamp(-1, 1)
    areas = [detection(*(s["mean |x|"] for s in ood.brightness(x, f * x)))["auroc"].item() for f in (1, 5)]
    assert areas == [0.5, 1]


GOOD = torch.zeros(3)
FEW = Resamples(torch.ones(2, 3), torch.ones(2, 4))
BAD = {
    "a matrix": (lambda: detection(torch.zeros(3, 1), GOOD), "inside has shape (3, 1); wanted [N]"),
    "nothing": (lambda: detection(GOOD, torch.zeros(0)), "outside has shape (0,); wanted [N]"),
    "nan": (lambda: detection(GOOD, torch.tensor([math.nan])), "outside holds NaN; wanted"),
    "nan in a curve": (lambda: ood.roc(torch.tensor([math.nan]), GOOD), "inside holds NaN; wanted"),
    "others' resamples": (lambda: detection(GOOD, GOOD, FEW), "drawn has resamples of (3, 4) inputs; wanted (3, 3)"),
    "no resample": (lambda: resamples(3, 3, 0, generator=rng()), "count is 0; wanted"),
    "no image": (lambda: resamples(0, 3, 9, generator=rng()), "inside is 0; wanted"),
    "half an image": (lambda: resamples(3, 2.5, 9, generator=rng()), "outside is 2.5; wanted"),
    "no level": (lambda: intervals(pd.DataFrame({"value": [1.0], 0: [1.0]}), 95), "level is 95; wanted a share"),
    "no rows": (lambda: intervals(pd.DataFrame({"value": [1.0]})), "found has no resamples; wanted"),
    "no cases": (lambda: ood.tabulate({}, 9, seed=0), "seen is empty; wanted scores of 1 or more cases"),
    "lone": (
        lambda: gaps(None, seen_by(["sgld"]), "apd", "sgld", 1.0),
        "method 'apd' and reference 'sgld' have other repeats or sets; wanted the same",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_wrong_input_is_refused_in_one_line(call, message, refusal):
    assert message in refusal(call)
