"""Laws of surveys of attacks: their numbers are those of single examples, and the checks see what is broken."""

from functools import partial

import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from apdlab import attacks, robustness
from apdlab.attacks import apgd, evasive, fgsm, pgd
from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy
from apdlab.networks import mlp
from apdlab.predict import predict, predict_moments
from apdlab.predictor import averages, fresh_predictor, log_mean, mean_log, predictor
from apdlab.streams import stream
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
    assert rows["strongest"]["right"] == withstood.tolist() and rows["clean"]["right"] == [True] * len(data.y)
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
    rows = robustness.watch({"sgld": draws}, [0.3], data, steps=20, weights=[5.0, 0.5])
    assert [row["weight"] for row in rows] == [0.0, 5.0, 0.5, 5.0, 0.5]
    by = {row["attack"]: row for row in rows if row["weight"] in (0, 5)}
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


def told(shares, seeds=3, images=200, noise=0.0, generator=None):
    """Rows of methods of which these shares of images withstand; with noise each seed has shares of its own."""
    for method, share in shares.items():
        for seed in range(seeds):
            own = share + noise * (seed - (seeds - 1) / 2)
            dice = torch.rand(images, generator=generator) if generator else torch.arange(images) / images
            for attack, right in (("clean", [True] * images), ("strongest", (dice < own).tolist())):
                yield {"method": method, "seed": seed, "size": 0.1, "attack": attack, "right": right}


def judged(rows):
    return robustness.verdict(rows).loc[0.1]


RULE = {
    "keeps": ({"sgd": 0.1, "sgld": 0.94}, 0.0, "defends"),
    "above": ({"sgd": 0.1, "sgld": 0.4}, 0.0, "delays"),
    "keeps, as does a point estimate": ({"sgd": 0.96, "sgld": 0.95}, 0.0, "not resolved"),
    "above, but other images may say otherwise": ({"sgd": 0.5, "sgld": 0.51}, 0.0, "not resolved"),
    "above, but other seeds may say otherwise": ({"sgd": 0.1, "sgld": 0.5}, -0.4, "not resolved"),
    "below": ({"sgd": 0.3, "sgld": 0.1}, 0.0, "weaker"),
}


@pytest.mark.parametrize(("shares", "noise", "word"), RULE.values(), ids=RULE)
def test_the_verdict_follows_its_rule(shares, noise, word):
    rows = list(told({"sgd": shares["sgd"]})) + list(told({"sgld": shares["sgld"]}, noise=noise))
    found = judged(rows)
    assert found.verdict["sgld"] == word and found.verdict["sgd"] == "reference"
    assert found.gain["sgld"] == pytest.approx(shares["sgld"] - shares["sgd"]) and found.gain["sgd"] == 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.95, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_who_withstands_what_the_reference_does_never_defends(share, noise):
    assert judged(told({"sgd": share, "twin": share}, noise=noise)).verdict["twin"] == "not resolved"


def test_methods_of_equal_shares_are_resolved_no_more_often_than_the_level_says():
    dice = torch.Generator().manual_seed(0)
    words = [judged(told({"sgd": 0.9, "other": 0.9}, generator=dice)).verdict["other"] for _ in range(200)]
    assert sum(word != "not resolved" for word in words) <= 10 + 3 * 9.5**0.5


def test_the_interval_holds_the_chance_of_seeds_and_that_of_images():
    rows = list(told({"sgd": 0.5, "sgld": 0.6}, noise=0.03, generator=torch.Generator().manual_seed(0)))
    found = judged(rows)
    kept = {m: [r["right"] for r in rows if (r["method"], r["attack"]) == (m, "strongest")] for m in ("sgd", "sgld")}
    apart = torch.tensor(kept["sgld"]).double() - torch.tensor(kept["sgd"]).double()
    halves = [stats.ttest_1samp(apart.mean(axis), 0).confidence_interval() for axis in (1, 0)]
    halves = [(half.high - half.low) / 2 for half in halves]
    assert [found.of_seeds["sgld"], found.of_images["sgld"]] == pytest.approx(halves)
    assert found.least["sgld"] == pytest.approx((halves[0] ** 2 + halves[1] ** 2) ** 0.5)


def test_each_size_is_judged_by_its_own_rows_in_the_order_of_seeds():
    weak, strong = (list(told({"sgd": 0.1, "sgld": share})) for share in (0.1, 0.95))
    found = robustness.verdict([row | {"size": 0.2} for row in weak] + strong[::-1])
    assert found.verdict.to_dict() == {
        (0.2, "sgd"): "reference",
        (0.2, "sgld"): "not resolved",
        (0.1, "sgld"): "defends",
        (0.1, "sgd"): "reference",
    }
    own, base = (
        list(told({m: s}, generator=torch.Generator().manual_seed(5))) for m, s in (("sgld", 0.5), ("sgd", 0.4))
    )
    assert judged(own[::-1] + base).least["sgld"] == judged(own + base).least["sgld"]


@pytest.mark.parametrize(("seeds", "images"), [(1, 200), (3, 1), (2, 200), (3, 100)])
def test_what_cannot_be_paired_is_refused(seeds, images, refusal):
    base = (3, 200) if min(seeds, images) > 1 else (seeds, images)
    rows = [*told({"sgd": 0.5}, *base), *told({"sgld": 0.5}, seeds, images)]
    said = refusal(lambda: robustness.verdict(rows))
    assert said.startswith("rows have (") and "wanted the same of both, 2 or more" in said


def test_a_gradient_is_as_steep_as_the_margin_moves():
    network = mlp(16, 3)
    theta = torch.randn(1, network.size, generator=torch.Generator().manual_seed(0))
    (draws, data), eps = (Draws(network, theta), made()[1]), 1e-3
    y = predictor(draws)(data.x).argmax(-1)
    x = fgsm(predictor(draws), data.x, y, eps=eps, loss=attacks.margin, box=(-2.0, 2.0))
    before, after = (attacks.margin(predictor(draws)(z), y) for z in (data.x, x))
    found = robustness.gradients(draws, Data(data.x, y))
    slopes = (after - before) / eps
    assert found["slope"] == pytest.approx(float(slopes.median()), rel=1e-2)
    assert found["reach"] == pytest.approx(float((-before / slopes).median()), rel=1e-2)


def test_fresh_draws_come_from_the_posterior_and_other_draws_are_not_those_attacked():
    chain, data = made(draws=40)
    asked = {"eps": 0.2, "steps": 5, "fresh": 3, "seed": 4}
    rows = {row["attack on"]: row for row in robustness.sources(chain, chain[:10], chain[:1], data, **asked)}
    other = chain.sample(10, generator=stream(4, "other"))
    for name, source in {
        "point estimate": predictor(chain[:1]),
        "fresh draws": fresh_predictor(chain, 3, stream(4, "fresh")),
        "mean of losses": predictor(chain[:10], mean_log),
        "averaged predictive": predictor(chain[:10]),
    }.items():
        x = pgd(source, *data, eps=0.2, steps=5)
        for draws, end in ((chain[:10], ""), (other, ", other draws")):
            expected = robustness.score(predict_moments(draws, x), data.y)
            assert {what: rows[name][f"{what}{end}"] for what in expected} == pytest.approx(expected)


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
