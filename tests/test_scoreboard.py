"""Laws of the scoreboard: rows are the scores one by one, gaps are differences, and a collapse is counted out."""

import math

import pytest
import torch

from apdlab.chains import Chains
from apdlab.diagnostics import summary
from apdlab.distill import gaussian, pca
from apdlab.draws import Draws
from apdlab.fidelity import scores, total_variation, uncertainty_correlation
from apdlab.networks import mlp
from apdlab.posterior import mean_of_weights
from apdlab.predict import label_log_probs, predict_moments
from apdlab.scoreboard import (
    Entry,
    distil,
    gaps,
    hold_against,
    mixing,
    predictions,
    rows,
    stand_ins,
    to_another,
    within,
)
from apdlab.streams import stream
from apdlab.types import Cost, Data

NETS = {"small": mlp(2, 3), "deep": mlp(2, 4, 3)}
DATA = Data(torch.randn(40, 2, generator=stream(0, "x")), torch.randint(3, (40,), generator=stream(0, "y")))


class Drawn:
    """A posterior that is not stored draws."""

    nbytes = 12

    def __init__(self, network):
        self.network = network

    def sample(self, n, *, generator):
        return Draws(self.network, torch.randn(n, self.network.size, generator=generator))


def entries():
    found = []
    for name, net in NETS.items():
        for seed in (3, 4):
            draws = Draws(net, torch.randn(20, net.size, generator=stream(seed, name)))
            made = {"sgld": draws, "apd": Drawn(net), "mean": mean_of_weights(draws)}
            found += [Entry(m, name, seed, q, Cost(100 + seed, 2.0)) for m, q in made.items()]
    return found


def table():
    return rows(entries(), predictions(entries(), DATA, 10), DATA)


def test_a_row_is_what_scores_and_distances_say_one_by_one():
    for entry, row in zip(entries(), table(), strict=True):
        true = next(e for e in entries() if e[:3] == ("sgld", *entry[1:3])).posterior.thin(10)
        if entry.method == "apd":
            draws = entry.posterior.sample(10, generator=stream(entry.seed, f"{entry.network}/apd"))
        else:
            draws = true if entry.method == "sgld" else entry.posterior
        ours, theirs = predict_moments(draws, DATA.x), predict_moments(true, DATA.x)
        wanted = scores(ours, DATA.y) | {"method": entry.method, "network": entry.network, "seed": entry.seed}
        wanted |= {"bytes": entry.posterior.nbytes, "gradient_evaluations": 100 + entry.seed, "seconds": 2.0}
        wanted |= {"tv": total_variation(ours, theirs), "correlation": uncertainty_correlation(ours, theirs)}
        assert row == pytest.approx(wanted, nan_ok=True)


def test_another_chain_is_the_next_one_of_that_network_in_a_circle(refusal):
    every, found = entries(), predictions(entries(), DATA, 10)
    chain = {entry[1:3]: m for entry, m in zip(every, found, strict=True) if entry.method == "sgld"}
    wanted = [total_variation(m, chain[e.network, 7 - e.seed]) for e, m in zip(every, found, strict=True)]
    assert to_another(every, found) == wanted and min(wanted) > 0
    three = [Entry("sgld", "net", seed, None, None) for seed in (0, 1, 2)]
    a, b, c = found[:3]
    around = [total_variation(a, b), total_variation(b, c), total_variation(c, a)]
    assert to_another(three, [a, b, c]) == around
    assert "has 'net' with the seed 0 alone; wanted 2 chains" in refusal(lambda: to_another(three[:1], [a]))


def test_gaps_are_to_the_reference_of_the_same_network_and_seed():
    found = {(row["network"], row["seed"], row["method"]): row for row in table()}
    gap = gaps(table())
    assert len(gap) == 8 and "sgld" not in gap.index.get_level_values("method")
    for key, row in gap.iterrows():
        mine, true = found[key], found[(*key[:2], "sgld")]
        assert row.accuracy == pytest.approx(mine["accuracy"] - true["accuracy"])
        assert row.nll == pytest.approx(mine["nll"] - true["nll"])
        assert row.mutual_information == pytest.approx(mine["mutual_information"] / true["mutual_information"] - 1)
        assert row.tv == mine["tv"]


def test_a_collapse_is_never_near_in_mutual_information_or_correlation():
    near = within(gaps(table()), accuracy=1, mutual_information=0.99, correlation=-1)
    for name in NETS:
        assert near.loc[(name, "mean")].to_dict() == {
            "accuracy": 2, "mutual_information": 0, "correlation": 0, "repeats": 2
        }  # fmt: skip
        assert near.loc[(name, "apd")].correlation == 2


@pytest.mark.parametrize("bar", [0.0, 0.05, math.inf])
def test_as_many_are_near_as_have_a_gap_of_at_most_the_bar(bar):
    gap, near = gaps(table()), within(gaps(table()), nll=bar)
    for (network, method), row in near.iterrows():
        assert row.nll == sum(abs(v) <= bar for v in gap.xs((network, method), level=("network", "method")).nll)


def test_a_bar_for_no_column_is_refused(refusal):
    assert "bars name ['recall']; wanted some of" in refusal(lambda: within(gaps(table()), recall=0.1))


def chains(each=60):
    theta = (
        torch.randn(2, each, 9, generator=stream(0, "chains")) * 0.5 ** torch.arange(9) + torch.arange(2)[:, None, None]
    )
    return Chains(NETS["small"], theta, torch.arange(each), torch.zeros(2, each))


def test_methods_distil_the_same_four_fifths_in_the_same_directions():
    train, held_out = chains().hold_out(5)
    seen = []
    fits = {name: lambda *args, seed, name=name: (seen.append((name, args, seed)), Cost(0, 1.0)) for name in "ab"}
    assert list(distil(fits, chains(), 4, DATA.x, seed=7)) == ["a", "b"]
    for name, (early, late, coordinates, x), seed in seen:
        assert torch.equal(early.theta, train.theta) and torch.equal(late.theta, held_out.theta) and seed == 7
        assert torch.equal(coordinates.basis, pca(train.theta, NETS["small"], 4).basis) and x is DATA.x, name


def test_fits_go_through_what_remembers_them():
    asked = []
    distil(
        {"a": max}, chains(), 4, DATA.x, seed=7, through=lambda *args, **kwargs: asked.append((*args, kwargs)) or (1, 2)
    )
    assert asked[0][:2] == (NETS["small"], max) and asked[0][-1] == {"seed": 7}


def test_fresh_draws_are_near_copies_are_found_out_and_a_shifted_set_is_far():
    learned, rest = chains(200).split(0.5)
    fresh = Chains(rest.network, rest.theta, rest.steps, rest.log_posterior)
    shifted = Chains(rest.network, rest.theta + 3, rest.steps, rest.log_posterior)
    made = {"copies": Copies(learned)}
    found = hold_against(learned, made, {"fresh": fresh, "shifted": shifted}, x=DATA.x, out=5 * DATA.x, n=80, seed=0)
    assert len(found) == 2 * 2 * 4
    for row in found:
        at, method = row["held_out"], row["method"]
        if method in ("floor", "copies"):
            assert row["nearest_ratio"] < 1e-4
            assert (
                abs(row["two_sample_accuracy"] - 0.5) < 5 * (0.25 / 160) ** 0.5
                if at == "fresh"
                else row["two_sample_accuracy"] > 0.95
            )
            assert row["mean_error"] < 0.8 if at == "fresh" else row["mean_error"] > 2
        if method == "mean":
            assert (
                row["information_ratio"] == 0
                and math.isnan(row["two_sample_accuracy"])
                and math.isnan(row["correlation"])
            )


def test_weights_as_a_whole_are_near_where_what_moves_is_right_and_a_point_never_is():
    sd = torch.tensor([3.0, 2, 1, 0.7, 0.01, 0.01, 0.01, 0.01, 0.01])
    theta = torch.stack([sd, sd.flip(0)])[:, None] * torch.randn(2, 400, 9, generator=stream(0, "few directions"))
    learned, fresh = Chains(NETS["small"], theta, torch.arange(400), torch.zeros(2, 400)).split(0.5)
    leading = torch.where(learned.theta.std(1, keepdim=True) > 0.1, learned.theta, learned.theta.mean(1, keepdim=True))
    made = {"leading": Copies(Chains(NETS["small"], leading, learned.steps, learned.log_posterior))}
    others = {"fresh": fresh, "another chain": fresh[[1, 0]]}
    found = hold_against(learned, made, others, x=DATA.x, out=DATA.x, n=200, seed=0, directions=4)
    far = {(row["chain"], row["held_out"], row["method"]): row for row in found}
    for c in (0, 1):
        floor, near, point = (far[c, "fresh", m] for m in ("floor", "leading", "mean"))
        assert near["weight_distance"] < 1.05 * floor["weight_distance"]
        assert point["weight_distance"] > 4 * floor["weight_distance"]
        floor, point = (far[c, "another chain", m] for m in ("floor", "mean"))
        assert point["sliced_wasserstein"] < floor["sliced_wasserstein"] / 3  # in coordinates where that chain is still
        assert point["weight_distance"] > 1.5 * floor["weight_distance"]


class Copies:
    """A distiller that remembers by heart."""

    def __init__(self, learned):
        self.learned = learned

    def __getitem__(self, mine):
        return self.learned[mine].thin()


def test_beside_what_was_made_stand_as_many_draws_as_it_has_bytes_for_and_the_mean():
    learned = chains(60)
    made = distil({"gaussian": gaussian.fit}, learned, 4, DATA.x, seed=0)
    by = {(entry.method, entry.seed): entry for entry in stand_ins(made, learned, "net", 7, Cost(120, 2.0))}
    assert list(by) == [(method, seed) for method in ("gaussian", "thinned", "mean") for seed in (7, 8)]
    posterior, own = made["gaussian"]
    for c, seed in enumerate((7, 8)):
        stored = learned[c : c + 1].thin()
        each = stored[:1].nbytes
        assert (
            by["thinned", seed].posterior.nbytes <= posterior[:1].nbytes < by["thinned", seed].posterior.nbytes + each
        )
        torch.testing.assert_close(by["mean", seed].posterior.theta, stored.theta.mean(0, keepdim=True))
        assert by["gaussian", seed].cost == (Cost(120, 2.0) + own).share(2)
    with pytest.raises(ValueError, match="made is empty"):
        stand_ins({}, learned, "net", 0, Cost(1, 1.0))


def test_mixing_is_that_of_each_functions_and_each_weights_chains():
    found = chains(60)
    values = torch.stack([label_log_probs(found[c : c + 1].thin(), DATA) for c in range(len(found))])
    assert mixing(found, DATA) == [summary(values, "functions"), summary(found.theta, "weights")]
