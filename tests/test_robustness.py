"""Laws of surveys of attacks: their numbers are those of single examples, and the checks see what is broken."""

from functools import partial

import pytest
import torch
from sklearn.metrics import roc_auc_score

from apdlab import attacks, robustness
from apdlab.attacks import apgd, evasive, fgsm, pgd
from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy
from apdlab.networks import mlp
from apdlab.predict import predict, predict_moments
from apdlab.predictor import averages, log_mean, mean_log, predictor
from apdlab.types import Data


def made(seed=0, draws=7, examples=24):
    network, generator = mlp(16, 10, 4), torch.Generator().manual_seed(seed)
    theta = torch.randn(draws, network.size, generator=generator)
    ensemble = Draws(network, theta[:1] + 0.3 * theta)
    x = (2 * torch.rand(examples, 1, 4, 4, generator=generator) - 1).contiguous()
    return ensemble, Data(x, predictor(ensemble)(x).argmax(-1))


PLANS = {
    "fgsm": (log_mean, partial(fgsm, eps=0.1)),
    "pgd": (log_mean, partial(pgd, eps=0.1, steps=5)),
    "mean of losses": (mean_log, partial(pgd, eps=0.1, steps=5)),
}


def test_the_strongest_is_what_withstands_every_attack():
    draws, data = made()
    rows = {row["attack"]: row for row in robustness.survey({"sgld": draws}, PLANS, data)}
    assert rows["clean"]["accuracy"] == 1
    withstood = torch.ones(len(data.y), dtype=torch.bool)
    for name, (statistic, attack) in PLANS.items():
        x = attack(predictor(draws, statistic), *data)
        p = predict(draws, x).exp().mean(0)
        withstood &= p.argmax(-1) == data.y
        assert rows[name]["accuracy"] == pytest.approx(float((p.argmax(-1) == data.y).double().mean()))
        assert rows[name]["mutual_information"] == pytest.approx(
            float(mutual_information(predict_moments(draws, x)).mean())
        )
    assert rows["strongest"]["accuracy"] == pytest.approx(float(withstood.double().mean()))
    assert 0 < rows["strongest"]["accuracy"] < 1


def test_the_battery_has_one_size():
    draws, data = made()
    plans = robustness.battery(0.1, steps=5, queries=20, seed=0)
    for statistic, attack in plans.values():
        change = attack(predictor(draws, statistic), *data) - data.x
        assert 0.09 < change.abs().max() < 0.1 + 1e-6


def test_what_was_attacked_before_changes_no_dice():
    (draws, data), others = made(), {"sgd": made(1, draws=1)[0]}
    plans = robustness.battery(0.1, steps=5, queries=20, seed=0)
    alone = robustness.survey({"sgld": draws}, plans, data)
    after = robustness.survey(others | {"sgld": draws}, plans, data)
    assert alone == [row for row in after if row["method"] == "sgld"]


def test_transfer_has_sources_in_rows_and_targets_in_columns():
    ways = {"sgd": made(1, draws=1)[0], "sgld": made()[0]}
    _, data = made()
    found = {m: pgd(predictor(d), *data, eps=0.2, steps=10) for m, d in ways.items()}
    table = robustness.transfer(ways, found, data.y)
    for i, source in enumerate(ways):
        for j, target in enumerate(ways):
            m = predict_moments(ways[target], found[source])
            assert float(table[i, j]) == pytest.approx(robustness.score(m, data.y)["accuracy"])
    assert table[1, 1] < table[0, 1]


def test_attacks_of_growing_size_are_those_that_were_asked():
    seeds = [{"sgld": made()[0]}, {"sgld": made(2)[0]}]
    _, data = made()
    climbs = {size: partial(pgd, eps=size, steps=4) for size in (0.0, 0.1, 0.3)}
    curves, found = robustness.against_size(seeds, climbs, data)
    for seed, ways in enumerate(seeds):
        for place, (size, attack) in enumerate(climbs.items()):
            x = attack(predictor(ways["sgld"]), *data)
            expected = robustness.score(predict_moments(ways["sgld"], x), data.y)
            assert {what: curves[what]["sgld"][seed, place] for what in expected} == pytest.approx(expected)
            assert seed or (found[size]["sgld"] == x).all()


@pytest.mark.parametrize("name", ["entropy", "mutual_information"])
def test_detection_is_the_auroc_of_right_and_fooled(name):
    draws, data = made()
    x = apgd(predictor(draws), *data, eps=0.2, steps=10)
    clean, attacked = predict_moments(draws, data.x), predict_moments(draws, x)
    doubt = {"entropy": predictive_entropy, "mutual_information": mutual_information}[name]
    wrong = attacked.log_mean.argmax(-1) != data.y
    values = [*doubt(clean).tolist(), *doubt(attacked)[wrong].tolist()]
    expected = roc_auc_score([0] * len(data.y) + [1] * int(wrong.sum()), values)
    found = robustness.detection(clean, attacked, data.y)
    assert found[name] == pytest.approx(expected) and found["fooled"] == pytest.approx(float(wrong.double().mean()))
    limit = sorted(doubt(clean).tolist())
    limit = limit[21] + 0.85 * (limit[22] - limit[21])  # 95 % of 24: all are right
    seen = sum(bool(w) and d <= limit for w, d in zip(wrong, doubt(attacked).tolist(), strict=True))
    assert found[f"unnoticed by {name}"] == pytest.approx(seen / 24)
    nobody = robustness.detection(clean, clean, data.y)
    assert nobody["fooled"] == nobody[f"unnoticed by {name}"] == 0 and nobody[name] != nobody[name]


def test_who_knows_of_the_detector_escapes_it_better():
    draws, data = made(examples=60)
    rows = robustness.watch({"sgld": draws}, [0.3], data, steps=20, weight=5.0)
    by = {row["attack"]: row for row in rows}
    assert by["on mutual_information"]["mutual_information"] < by["plain"]["mutual_information"]
    x = apgd(predictor(draws, averages), *data, eps=0.3, steps=20, loss=evasive(5.0))
    expected = robustness.detection(predict_moments(draws, data.x), predict_moments(draws, x), data.y)
    assert {k: by["on mutual_information"][k] for k in expected} == pytest.approx(expected)


LIMITS = {"eps": 0.1, "largest": 2.0, "steps": 8, "queries": 20, "seed": 0}


def failed(draws, data):
    return [row["check"] for row in robustness.sanity(draws, data, **LIMITS) if not row["passed"]]


def test_sound_attacks_pass_every_check():
    assert failed(*made()) == []


def too_short(*args, eps, **kwargs):
    return pgd(*args, eps=eps, **kwargs | {"step_size": 1e-3 * eps})


def nowhere(predictor, x, y, **kwargs):
    return x.clone()


BROKEN = {
    "steps that are too short": ("pgd", too_short, "PGD against FGSM"),
    "a step rule that stands still": ("apgd", nowhere, "eps as large as the box"),
    "noise as strong as an attack": (
        "noise",
        lambda f, x, y, *, eps, generator: pgd(f, x, y, eps=eps),
        "noise of the same size",
    ),
    "an attack that is weaker than a search": ("apgd", nowhere, "without gradients"),
}


@pytest.mark.parametrize(("name", "broken", "check"), BROKEN.values(), ids=BROKEN)
def test_a_broken_attack_is_seen(monkeypatch, name, broken, check):
    import importlib

    monkeypatch.setattr(importlib.import_module("apdlab.robustness.sanity"), name, broken)
    assert any(line.startswith(check) for line in failed(*made()))


def test_gradients_that_vanish_are_seen():
    draws, data = made()
    assert failed(draws, Data(data.x, data.y)) == []
    dead = draws.theta.clone()
    draws.network.unravel(dead)["1.bias"].fill_(-1e3)  # no unit is ever active
    assert any(line.startswith("gradients") for line in failed(Draws(draws.network, dead), data))


def test_gradients_of_sure_draws_vanish_only_where_they_are_written_naively():
    draws, data = made()
    sure = Draws(draws.network, 30 * draws.theta[:1] + 0.01 * draws.theta)
    found = robustness.gradients(sure, Data(data.x, predictor(sure)(data.x).argmax(-1)))
    assert found["naive"] > 0.5 and found["zeros"] == 0
    assert robustness.gradients(draws, data)["error"] < 1e-5


RULE = {
    "keeps": ({"sgd": [0.1, 0.1], "sgld": [0.95, 0.93]}, "defends"),
    "above": ({"sgd": [0.1, 0.12], "sgld": [0.4, 0.44]}, "delays"),
    "keeps, as does a point estimate": ({"sgd": [0.96, 0.95], "sgld": [0.95, 0.97]}, "no defence"),
    "above in one seed": ({"sgd": [0.1, 0.1], "sgld": [0.1, 0.3]}, "no defence"),
    "below": ({"sgd": [0.3, 0.31], "sgld": [0.1, 0.1]}, "no defence"),
}


@pytest.mark.parametrize(("left", "word"), RULE.values(), ids=RULE)
def test_the_verdict_follows_its_rule(left, word):
    rows = [
        {"method": method, "seed": seed, "attack": attack, "accuracy": value if attack == "strongest" else 1.0}
        for method, values in left.items()
        for seed, value in enumerate(values)
        for attack in ("clean", "FGSM", "strongest")
    ]
    found = robustness.verdict(rows)
    assert found.verdict["sgld"] == word and found.verdict["sgd"] == "no defence"
    difference = torch.tensor(left["sgld"]) - torch.tensor(left["sgd"])
    assert found.gain["sgld"] == pytest.approx(float(difference.mean()), abs=1e-6)
    assert found.error["sgld"] == pytest.approx(float(difference.std() / 2**0.5), abs=1e-6)


def test_a_grid_holds_every_attack_in_its_place():
    ways = {"sgd": made(1, draws=1)[0], "sgld": made()[0]}
    data = made()[1].first(3)
    plans = {"PGD": (log_mean, attacks.pgd), "adaptive": (averages, partial(attacks.pgd, loss=evasive(3.0)))}
    grid = robustness.grid(ways, plans, [0.1, 0.3], [1, 5], data)
    for p, draws in enumerate(ways.values()):
        for a, (statistic, attack) in enumerate(plans.values()):
            for e, eps in enumerate(grid.axes[2]):
                for t, steps in enumerate(grid.axes[3]):
                    x = attack(predictor(draws, statistic), *data, eps=eps, steps=steps)
                    assert (grid.found[p, a, e, t] == x).all() and grid.axes[:2] == (tuple(ways), tuple(plans))
                    probs, m = predict(draws, x).exp(), predict_moments(draws, x)
                    torch.testing.assert_close(grid.probs[p, a, e, t, :, 1], probs.mean(0))
                    torch.testing.assert_close(grid.probs[p, a, e, t, :, 2], probs.quantile(0.95, 0))
                    torch.testing.assert_close(grid.doubts[p, a, e, t, :, 2], mutual_information(m))
    torch.testing.assert_close(grid.clean_doubts[1, :, 0], predictive_entropy(predict_moments(ways["sgld"], data.x)))
