"""Laws of the exercises of the notebooks: one answer is right, others are told what is off."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from apdlab.lessons import (
    AGREED_DOUBT,
    ANSWERED_SHARE,
    BLIND_BRIGHTNESS,
    BLIND_MEASURE,
    ENOUGH_DRAWS,
    FLATTERING_ATTACK,
    HOT_BY_A_TWENTIETH,
    REAL_TEMPERATURE,
    RUNNING_MAXIMUM,
    SHARE_OF_A_WALK,
    WIDER_BY_A_QUARTER,
    WORTH_IT,
)
from apdlab.metrics import expected_entropy, mutual_information
from apdlab.moments import moments
from apdlab.ood import detection
from apdlab.paths import walk_spectrum
from apdlab.samplers import laws
from apdlab.types import Data


def predictions(seed):
    generator = torch.Generator().manual_seed(seed)
    return moments((2 * torch.randn(6, 21, 4, generator=generator)).log_softmax(-1))


def right_answer(m):
    """Sort by mutual information, keep the lower half, look for the largest entropy."""
    agreed = sorted(range(21), key=lambda n: mutual_information(m)[n].item())[:11]
    return max(agreed, key=lambda n: expected_entropy(m)[n].item()), set(agreed)


@pytest.mark.parametrize("seed", range(5))
def test_one_digit_is_right_and_every_other_is_told_why_not(seed):
    m = predictions(seed)
    best, agreed = right_answer(m)
    for number in range(21):
        verdict = AGREED_DOUBT.check(number, m)
        assert verdict.right == (number == best) and "\n" not in verdict.text
        if number != best:
            assert ("less sure" if number in agreed else "disagree more") in verdict.text


@pytest.mark.parametrize("kind", [torch.tensor, float, str, lambda number: [number], lambda number: 1000])
def test_other_kinds_of_answers_get_a_verdict(kind):
    m = predictions(0)
    verdict = AGREED_DOUBT.check(kind(right_answer(m)[0]), m)
    assert verdict.right == (kind is torch.tensor)
    assert verdict.text.startswith("Right!" if verdict.right else "Not yet")


def test_no_answer_is_asked_for_one():
    assert "in place of None" in AGREED_DOUBT.check(None, predictions(0)).text


def test_the_answer_that_is_shown_is_right():
    code = AGREED_DOUBT.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    m = predictions(1)
    names = {
        "torch": torch,
        "m_sgld": m,
        "mutual_information": mutual_information,
        "expected_entropy": expected_entropy,
    }
    exec("\n".join(code[:-1]), names)
    assert AGREED_DOUBT.check(eval(code[-1], names), m)


MEASURES = ["accuracy", "nll", "brier", "ece", "mutual_information"]


def rows(blind):
    """Four repeats; the mean of the weights is a tenth of a standard deviation off on one measure, far on others."""
    table = []
    for seed in range(4):
        row = {m: 0.5 + 0.01 * torch.randn((), generator=torch.Generator().manual_seed(seed)).item() for m in MEASURES}
        table.append(row | {"method": "sgld"})
        table.append({m: v + (0.001 if m == blind else 0.05) for m, v in row.items()} | {"method": "mean"})
    return table


@pytest.mark.parametrize("blind", MEASURES)
def test_the_measure_that_sees_least_of_a_collapse_is_right(blind):
    for measure in MEASURES:
        assert bool(BLIND_MEASURE.check(measure, rows(blind))) == (measure == blind)
    assert "none of" in BLIND_MEASURE.check("bytes", rows(blind)).text
    assert "in place of None" in BLIND_MEASURE.check(None, rows(blind)).text


@pytest.mark.parametrize("blind", MEASURES)
def test_the_answer_that_is_shown_finds_it(blind):
    code = BLIND_MEASURE.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"pd": pd, "table": rows(blind), "list_of_measures": MEASURES}
    exec(code[0], names)
    assert eval(code[1], names) == blind


def answers(seed):
    """Sixty predictions, the more often wrong the more doubtful, some of equal doubt."""
    generator = torch.Generator().manual_seed(seed)
    doubt = (40 * torch.rand(60, generator=generator)).round() / 40
    return doubt, torch.rand(60, generator=generator) > 0.6 * doubt


def largest_share(doubt, right):
    """Try every threshold, keep those with at most half the error."""
    error = (~right).double().mean()
    kept = [doubt <= threshold for threshold in doubt.tolist()]
    return max((k.double().mean().item() for k in kept if (~right[k]).double().mean() <= error / 2), default=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_share_is_right_and_others_are_told_the_direction(seed):
    doubt, right = answers(seed)
    best = largest_share(doubt, right)
    assert 0 < best < 1
    assert ANSWERED_SHARE.check(best, doubt, right) and ANSWERED_SHARE.check(best + 0.004, doubt, right)
    assert "more can be" in ANSWERED_SHARE.check(best - 0.01, doubt, right).text
    assert "half of the error" in ANSWERED_SHARE.check(best + 0.01, doubt, right).text
    assert "in place of None" in ANSWERED_SHARE.check(None, doubt, right).text


def test_the_answer_that_is_shown_is_the_largest_share():
    code = ANSWERED_SHARE.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = dict(zip(("doubt", "right"), answers(3), strict=True))
    exec("\n".join(code[:-1]), names)
    assert ANSWERED_SHARE.check(eval(code[-1], names), *answers(3))


STEPS = [(60.0, 50.0, 20000.0), (20.0, 20.0, 400.0), (1.0, 5.0, 0.5)]  # friction, precision, gradient noise


def variance_of(h, friction, precision, noise):
    """The variance that the step leaves, by iterating its covariance: kick, half a drift, friction, half a drift."""
    c = torch.tensor(-friction * h, dtype=torch.float64).exp()
    kick = torch.tensor([[1, 0], [-h * precision, 1]], dtype=torch.float64)
    drift, forget = torch.tensor([[1, h / 2], [0, 1]], dtype=torch.float64), torch.diag(torch.stack([c / c, c]))
    step = drift @ forget @ drift @ kick
    heard = drift @ forget @ drift @ torch.tensor([[0, 0], [0, h * h * noise]], dtype=torch.float64)
    added = heard @ (drift @ forget @ drift).T + drift @ torch.diag(torch.stack([0 * c, 1 - c * c])) @ drift.T
    for _ in range(60):  # doubling: after n rounds 2^n steps
        added, step = added + step @ added @ step.T, step @ step
    return added[0, 0].item()


@pytest.mark.parametrize(("friction", "precision", "noise"), STEPS)
def test_the_step_that_heats_by_a_twentieth_is_right(friction, precision, noise):
    low, high = 1e-9, 1.9 / precision**0.5
    for _ in range(60):
        middle = (low + high) / 2
        cold = precision * variance_of(middle, friction, precision, noise) < 1.05
        low, high = (middle, high) if cold else (low, middle)
    assert HOT_BY_A_TWENTIETH.check(low, friction, precision, noise)
    for wrong in (0.9 * low, 1.1 * low):
        assert "too hot" in HOT_BY_A_TWENTIETH.check(wrong, friction, precision, noise).text
    assert "in place of None" in HOT_BY_A_TWENTIETH.check(None, friction, precision, noise).text
    assert not HOT_BY_A_TWENTIETH.check(-1.0, friction, precision, noise)


@pytest.mark.parametrize(("friction", "precision", "noise"), STEPS)
def test_the_answer_that_is_shown_heats_by_a_twentieth(friction, precision, noise):
    code = HOT_BY_A_TWENTIETH.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"laws": laws, "friction": friction, "p": SimpleNamespace(precision=precision), "calmer": noise}
    exec("\n".join(code[:-1]), names)
    assert HOT_BY_A_TWENTIETH.check(eval(code[-1], names), friction, precision, noise)


CHECKS = [
    {"condition": name, "temperature": t, "kinetic": k}
    for name, rows in {"sweep": {0.001: 50.0, 1.0: 1.0}, "minibatches": {0.01: 9.0, 1.0: 1.2}}.items()
    for t, k in rows.items()
]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (0.09, None),
        (0.091, None),
        (0.01, "too cold"),
        (1.0, "too warm"),
        (9.0, "multiply"),
        (None, "None"),
        ("x", "kind"),
    ],
)
def test_the_real_temperature_is_the_share_times_the_one_asked_for(answer, word):
    verdict = REAL_TEMPERATURE.check(answer, CHECKS)
    assert verdict.right == (word is None)
    assert word is None or word in verdict.text


def test_the_answer_that_is_shown_is_the_real_temperature():
    code = REAL_TEMPERATURE.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"diagnostics": pd.DataFrame(CHECKS).set_index(["condition", "temperature"])}
    exec(code[0], names)
    assert eval(code[1], names) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("target=gaussian&sampler=sgld&step_size=0.72", None),
        ("target=gaussian&sampler=sgld&step_size=0.6", "1.129"),
        ("target=gaussian&sampler=sgld&step_size=0.72&noise=1", "noise"),
        ("target=gaussian&sampler=sghmc&step_size=0.72", "question is of sgld"),
        ("target=moon", "kind"),
        (None, "None"),
    ],
)
def test_the_state_that_widens_by_a_quarter_is_one_of_sgld_and_of_the_step_alone(state, word):
    verdict = WIDER_BY_A_QUARTER.check(state)
    assert verdict.right == (word is None)
    assert word is None or word in verdict.text


OPINIONS = (2 * torch.randn(40, 30, 2, generator=torch.Generator().manual_seed(1))).log_softmax(-1)


def test_one_number_of_draws_is_enough_for_the_first_time():
    shares = [float(mutual_information(moments(OPINIONS[:k])).mean()) for k in range(1, 41)]
    enough = next(k for k, share in enumerate(shares, 1) if share >= 0.95 * shares[-1])
    assert 5 < enough < 30
    for k in range(1, 41):
        verdict = ENOUGH_DRAWS.check(k, OPINIONS)
        assert verdict.right == (k == enough)
        assert k == enough or ("more" if k < enough else "fewer") in verdict.text


@pytest.mark.parametrize(
    ("answer", "word"), [(None, "None"), (0, "1 to 40"), (41, "1 to 40"), (2.5, "1 to"), ("x", "kind")]
)
def test_no_number_of_draws_is_told_so(answer, word):
    assert word in ENOUGH_DRAWS.check(answer, OPINIONS).text


def test_the_answer_that_is_shown_is_enough():
    code = ENOUGH_DRAWS.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"mutual_information": mutual_information, "moments": moments, "opinions": OPINIONS}
    exec(code[0], names)
    assert ENOUGH_DRAWS.check(eval(code[1], names), OPINIONS)


@pytest.mark.parametrize("length", [30, 700])
def test_the_share_of_a_walk_ten_times_as_long_is_right_and_others_are_told_why_not(length):
    code = SHARE_OF_A_WALK.answer.split("```")[1].removeprefix("python\n").strip()
    right = eval(code, {"walk_spectrum": walk_spectrum, "kept": length})
    assert SHARE_OF_A_WALK.check(right, length) and SHARE_OF_A_WALK.check(float(right) + 0.005, length)
    for wrong, why in ((None, "in place of None"), (61, "from 0 to 1"), (0.061, "smaller"), (0.9, "larger")):
        assert not (verdict := SHARE_OF_A_WALK.check(wrong, length)) and why in verdict.text
    assert not SHARE_OF_A_WALK.check("most", length)


@pytest.mark.parametrize(("held", "size", "chains", "draws"), [(2401, 100, 2, 4), (2400, 100, 2, 3), (1, 9, 1, 1)])
def test_draws_that_weigh_as_much_as_what_was_held_are_counted(held, size, chains, draws):
    assert 4 * size * chains * (draws - 1) < held <= 4 * size * chains * draws
    assert WORTH_IT.check(draws, held, size, chains)
    assert "weigh less" in WORTH_IT.check(draws - 1, held, size, chains).text
    assert "fewer would do" in WORTH_IT.check(draws + 1, held, size, chains).text
    assert "in place of None" in WORTH_IT.check(None, held, size, chains).text


def bright(seed):
    generator = torch.Generator().manual_seed(seed)
    inside = 2 * torch.rand(80, 1, 6, 6, generator=generator) - 1
    return inside, (0.5 + seed) * torch.randn(70, 1, 6, 6, generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_the_scale_that_is_shown_blinds_brightness_and_others_do_not(seed):
    inside, outside = bright(seed)
    code = BLIND_BRIGHTNESS.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"inside": Data(inside, None), "sets": {"gaussian": outside}, "detection": detection}
    exec("\n".join(code[:-1]), names)
    scale = eval(code[-1], names)
    assert BLIND_BRIGHTNESS.check(scale, inside, outside)
    for wrong, area in ((scale / 9, "0.000"), (scale * 9, "1.000")):
        verdict = BLIND_BRIGHTNESS.check(wrong, inside, outside)
        assert not verdict and f"AUROC of {area}" in verdict.text
    assert "in place of None" in BLIND_BRIGHTNESS.check(None, inside, outside).text
    assert "not the kind of value" in BLIND_BRIGHTNESS.check("dark", inside, outside).text


ASKED = [
    {"method": method, "acquisition": "bald", "seed": seed, "labels": labels, "accuracy": accuracy}
    for method, seed, curve in (("sgld", 0, (0.5, 0.7, 0.6)), ("sgld", 1, (0.4, 0.5, 0.8)), ("apd", 0, (0.6, 0.4, 0.5)))
    for labels, accuracy in zip((20, 30, 40), curve, strict=True)
][::-1]  # in any order
FLATTERY = (0.1 + 0.0 + 0.2 + 0.1) / 9


@pytest.mark.parametrize(
    ("answer", "word"),
    [(FLATTERY, None), (1.015 * FLATTERY, None), (1.1 * FLATTERY, "less"), (0.0, "more"), (None, "None")],
)
def test_the_running_maximum_flatters_by_what_each_round_lacks_to_the_best_before_it(answer, word):
    verdict = RUNNING_MAXIMUM.check(answer, ASKED)
    assert verdict.right == (word is None)
    assert word is None or word in verdict.text


def test_the_answer_that_is_shown_is_how_much_the_running_maximum_flatters():
    code = RUNNING_MAXIMUM.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"table": ASKED, "pd": pd}
    exec("\n".join(code[:-1]), names)
    assert eval(code[-1], names) == pytest.approx(FLATTERY)


@pytest.mark.parametrize("weakest", ["fgsm", "pgd", "square"])
def test_the_attack_that_flatters_most_is_right_and_the_answer_that_is_shown_finds_it(weakest):
    kinds, generator = ("clean", "noise", "fgsm", "pgd", "square", "strongest"), torch.Generator().manual_seed(0)
    found = {name: 0.9 if name in ("clean", "noise") else 0.1 for name in kinds} | {weakest: 0.4}
    rows = [
        {"method": method, "attack": name, "accuracy": value + 0.01 * float(torch.rand(1, generator=generator))}
        for method in ("sgd", "sgld")
        for name, value in (found if method == "sgld" else dict.fromkeys(kinds, 0.5)).items()
        for _ in range(3)
    ]
    for name in ("fgsm", "pgd", "square"):
        assert FLATTERING_ATTACK.check(name, rows).right == (name == weakest)
    assert "none of" in FLATTERING_ATTACK.check("noise", rows).text
    code = FLATTERING_ATTACK.answer.split("```")[1].removeprefix("python\n").strip().split("\n")
    names = {"pd": pd, "rows": rows}
    exec("\n".join(code[:-1]), names)
    assert FLATTERING_ATTACK.check(eval(code[-1], names), rows)
