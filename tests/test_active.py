"""Laws of active learning: what is chosen, that each round learns anew, and that an interrupted loop goes on."""

import math
from collections import Counter
from functools import partial
from itertools import combinations, permutations

import pytest
import torch

from apdlab import active
from apdlab.active import ACQUISITIONS, learners
from apdlab.data import own_batches
from apdlab.density import LogDensity
from apdlab.distill import gan
from apdlab.draws import Draws
from apdlab.likelihoods import categorical
from apdlab.metrics import mutual_information, predictive_entropy, variation_ratio
from apdlab.networks import mlp
from apdlab.posterior import dropout
from apdlab.predict import predict
from apdlab.priors import gaussian_prior
from apdlab.store import Store
from apdlab.streams import stream
from apdlab.types import Data

NETWORK, DROPPED = mlp(2, 6, 3), dropout.mlp(2, 6, 3)
SEED, REPEATS = 3, 2


def clusters(n, seed):
    """Three clusters in the plane."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return Data(torch.tensor([[-2.0, 0], [2, 0], [0, 3]])[y] + 0.5 * torch.randn(n, 2, generator=generator), y)


POOL, TEST = clusters(60, 0), clusters(30, 1)
FIRST = active.first_labels(POOL.y, 2, repeats=REPEATS, seed=SEED)
DENSITY, NOISY = (LogDensity(net, categorical(), gaussian_prior(net, 1.0), 1) for net in (NETWORK, DROPPED))
CHAINS = partial(active.sampled, density=DENSITY, step_size=0.02, steps=120, burn_in=20, thin=4, batch=10)
RECIPE = gan.Recipe(hidden=(8,), batch=10, checkpoints=1)
MADE = partial(active.distilled, chains=CHAINS, x=POOL.x[:20], directions=4, steps=5, recipe=RECIPE)
LEARNERS = {
    "sgld": partial(active.sgld, chains=CHAINS, draws=20),
    "apd": partial(active.apd, made=MADE, draws=20),
    "dropout": partial(active.dropout, density=NOISY, steps=30, learning_rate=0.1, batch=10, draws=20),
    "sgd": partial(active.sgd, density=DENSITY, steps=30, learning_rate=0.1, batch=10),
}
NETWORKS = dict.fromkeys(LEARNERS, NETWORK) | {"dropout": DROPPED}


def own(labelled):
    return Data(POOL.x[labelled], POOL.y[labelled])


def loop(learner=LEARNERS["sgld"], acquire=ACQUISITIONS["bald"], network=NETWORK, count=3, seed=SEED, **kwargs):
    return list(active.rounds(network, learner, acquire, POOL, TEST, FIRST, count=count, more=4, seed=seed, **kwargs))


def some_draws(seed, n=12):
    theta = 2 * torch.randn(n, NETWORK.size, generator=torch.Generator().manual_seed(seed))
    return Draws(NETWORK, theta)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# What is chosen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [1, 5, 20])
def test_the_first_labels_are_as_many_of_each_class_and_all_different(each):
    chosen = active.first_labels(POOL.y, each, repeats=4, seed=0)
    for rows in chosen:
        assert POOL.y[rows].bincount().tolist() == [each] * 3 and len(set(rows.tolist())) == 3 * each
    assert torch.equal(active.first_labels(POOL.y, each, repeats=2, seed=0), chosen[:2])


def test_every_row_is_as_likely_to_be_labelled_at_the_start():
    repeats = 3000
    counts = active.first_labels(POOL.y, 5, repeats=repeats, seed=0).flatten().bincount(minlength=60)
    share = 5 / 20
    assert ((counts - repeats * share).abs() < 5 * (repeats * share * (1 - share)) ** 0.5).all()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_highest_are_the_subset_with_the_largest_sum(k):
    for seed in range(20):
        scores = torch.randn(7, generator=torch.Generator().manual_seed(seed))
        taken = torch.tensor([seed % 7, (seed + 3) % 7])
        subsets = combinations(sorted(set(range(7)) - set(taken.tolist())), k)
        best = max(subsets, key=lambda rows: scores[list(rows)].sum().item())
        chosen = active.highest(scores, taken, k, torch.Generator()).tolist()
        assert set(chosen) == set(best) and chosen == sorted(chosen, key=lambda row: -scores[row])


def test_of_equal_scores_the_first_are_chosen():
    assert active.highest(torch.ones(300), torch.tensor([0, 2]), 4, torch.Generator()).tolist() == [1, 3, 4, 5]


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_weighted_choices_have_the_probabilities_of_plackett_and_luce(power):
    scores, taken, repeats = torch.tensor([0.5, 9.0, 1.0, 0.2, 2.0]), torch.tensor([1]), 4000
    generator, weights = torch.Generator().manual_seed(0), {row: scores[row].item() ** power for row in (0, 2, 3, 4)}
    drawn = (active.weighted(scores, taken, 2, generator, power=power) for _ in range(repeats))
    seen = Counter(tuple(rows.tolist()) for rows in drawn)
    total = sum(weights.values())
    law = {(a, b): weights[a] / total * weights[b] / (total - weights[a]) for a, b in permutations(weights, 2)}
    assert sum(law.values()) == pytest.approx(1) and set(seen) <= set(law)
    for pair, p in law.items():
        assert abs(seen[pair] - repeats * p) < 5 * math.sqrt(repeats * p * (1 - p)) + 1, pair


def test_what_scores_nothing_is_chosen_last():
    scores = torch.tensor([0.0, 1e-9, -1e-15, 1.0])
    for seed in range(50):
        rows = active.weighted(scores, torch.tensor([], dtype=torch.long), 3, torch.Generator().manual_seed(seed))
        assert {1, 3} <= set(rows.tolist())


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("k", [1, 10, 55])
def test_what_is_picked_is_new_all_different_and_made_of_the_seed(name, k):
    taken = torch.tensor([3, 7, 11, 30, 59])
    first, again, other = (
        ACQUISITIONS[name](some_draws(0), POOL.x, taken, k, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert len(set(first.rows.tolist())) == k == len(first.scores)
    assert not set(first.rows.tolist()) & set(taken.tolist())
    assert equal(first, again)
    assert torch.equal(first.rows, other.rows) != (name in ("random", "power_bald")) or k == 1


SCORES = {"entropy": predictive_entropy, "bald": mutual_information, "variation_ratio": variation_ratio}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_all_draws_together(name):
    draws, nothing = some_draws(1), torch.tensor([], dtype=torch.long)
    picked = ACQUISITIONS[name](draws, POOL.x, nothing, 10, torch.Generator())
    p = predict(draws, POOL.x).double().exp()
    mean, votes = p.mean(0), torch.nn.functional.one_hot(p.argmax(-1), 3).sum(0)
    total = -(mean * mean.log()).sum(-1)
    slow = {"entropy": total, "bald": total + (p * p.log()).sum(-1).mean(0), "variation_ratio": 1 - votes.amax(-1) / 12}
    torch.testing.assert_close(picked.scores, slow[name][picked.rows].double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        picked.scores, slow[name].double().sort(descending=True).values[:10], rtol=1e-5, atol=1e-6
    )


REFUSED = {
    "more than are left": ("k is 4", lambda: active.highest(torch.ones(5), torch.tensor([0, 1]), 4, torch.Generator())),
    "none": ("k is 0", lambda: active.highest(torch.ones(5), torch.tensor([0]), 0, torch.Generator())),
    "not a number": (
        "NaN",
        lambda: active.weighted(torch.full((5,), math.nan), torch.tensor([0]), 1, torch.Generator()),
    ),
    "a power below 0": (
        "power is -1",
        lambda: active.weighted(torch.ones(5), torch.tensor([0]), 1, torch.Generator(), power=-1),
    ),
    "too many of a class": ("each is 21", lambda: active.first_labels(POOL.y, 21, repeats=1, seed=0)),
    "a pool that is used up": ("count is 20", lambda: loop(count=20)),
    "sets that do not fit": ("y has shape", lambda: own_batches(Data(POOL.x[FIRST], POOL.y), 3, seed=0)),
}


@pytest.mark.parametrize(("word", "call"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_chosen_is_refused(word, call, refusal):
    said = refusal(call)
    assert word in said and "wanted" in said


# Who learns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_a_repeat_learns_from_its_own_labels_alone(name):
    labelled = FIRST.clone()
    one = LEARNERS[name](own(labelled), 0)
    labelled[1] = labelled[1].roll(1) + 1
    other = LEARNERS[name](own(labelled), 0)
    same = [torch.allclose(a.theta, b.theta, atol=1e-5) for a, b in zip(one, other, strict=True)]
    assert len(one) == REPEATS and same[1] is False
    assert same[0] or name == "apd"  # whose generators are trained in one stack, with one stream of noise


@pytest.mark.parametrize("name", LEARNERS)
def test_what_is_learned_follows_the_labels_and_the_seed(name):
    data = own(active.first_labels(POOL.y, 10, repeats=REPEATS, seed=0))
    turned = Data(data.x, (data.y + 1) % 3)
    for one, shift in ((data, 0), (turned, 1)):
        for draws in LEARNERS[name](one, 0):
            guess = predict(draws, TEST.x).double().exp().mean(0).argmax(-1)
            assert (guess == (TEST.y + shift) % 3).double().mean() > 0.8
    first, again, other = (LEARNERS[name](data, seed)[0].theta for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other)


# The loop -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("acquisition", ["random", "bald"])
def test_a_round_is_tested_as_it_is_and_its_wishes_are_labelled(name, acquisition):
    done = loop(LEARNERS[name], ACQUISITIONS[acquisition], NETWORKS[name])
    for number, one in enumerate(done):
        fresh = int(torch.randint(2**48, (), generator=stream(SEED, f"round/{number}")))
        for r, draws in enumerate(LEARNERS[name](own(one.labelled), fresh)):
            p = predict(draws, TEST.x).double().exp().mean(0)
            assert one.accuracy[r] == (p.argmax(-1) == TEST.y).double().mean()
            torch.testing.assert_close(one.nll[r], -p[range(30), TEST.y].log().mean(), rtol=1e-5, atol=1e-6)
            rows = ACQUISITIONS[acquisition](draws, POOL.x, one.labelled[r], 4, stream(fresh, "acquire", r)).rows
            assert torch.equal(one.rows[r], rows)
        assert torch.equal(one.labelled, torch.cat([FIRST, *(before.rows for before in done[:number])], 1))
    labelled = torch.cat([done[-1].labelled, done[-1].rows], 1)
    assert all(len(set(rows.tolist())) == 6 + 3 * 4 for rows in labelled)


def test_acquisitions_that_see_nothing_ask_for_the_same_whoever_learns():
    asked = [loop(LEARNERS[m], ACQUISITIONS["random"], NETWORKS[m])[-1].labelled for m in LEARNERS]
    assert all(torch.equal(asked[0], rows) for rows in asked[1:])


def hidden(generator, sizes):
    """The layers that are left as they were trained: moments are matched in the last one."""
    last = (sizes[-2] + 1) * sizes[-1]
    return generator[:, :-last]


def test_the_generator_is_trained_in_every_round_and_asks_for_the_labels(monkeypatch):
    made, real = [], gan.fit

    def seen(*args, **kwargs):
        made.append((kwargs, real(*args, **kwargs)))
        return made[-1][1]

    monkeypatch.setattr(learners.gan, "fit", seen)
    done = loop(LEARNERS["apd"])
    assert len(made) == len(done) == 3
    trained = []
    for number, (kwargs, (posterior, _, trace)) in enumerate(made):
        sizes, fresh = posterior.codes.sizes, int(torch.randint(2**48, (), generator=stream(SEED, f"round/{number}")))
        maker, rng = mlp(*sizes), stream(fresh, "gan")
        untrained = torch.stack([maker.init(rng) for _ in range(REPEATS)])
        trained.append(hidden(posterior.codes.theta, sizes))
        assert kwargs["seed"] == fresh and len(trace.critic_cost) == 5
        assert ((trained[-1] - hidden(untrained, sizes)).abs().amax(-1) > 1e-4).all()
        for r in range(REPEATS):
            draws = posterior[r : r + 1].sample(20, generator=stream(fresh, "apd", r))
            wanted = ACQUISITIONS["bald"](draws, POOL.x, done[number].labelled[r], 4, stream(fresh, "acquire", r))
            assert torch.equal(done[number].rows[r], wanted.rows)
    assert all(not torch.allclose(a, b) for a, b in combinations(trained, 2))


def test_untrained_generators_would_be_seen():
    kwargs = {"x": POOL.x[:20], "directions": 4, "recipe": RECIPE._replace(learning_rate=1e-30), "chains": CHAINS}
    idle = active.distilled(own(FIRST), 0, steps=5, **kwargs)
    maker, rng = mlp(*idle.codes.sizes), stream(0, "gan")
    untrained = torch.stack([maker.init(rng) for _ in range(REPEATS)])
    torch.testing.assert_close(hidden(idle.codes.theta, idle.codes.sizes), hidden(untrained, idle.codes.sizes))


class Killed(Exception):
    """What ends a job here."""


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_loop_goes_on_where_it_stopped_to_the_same_labels(after, tmp_path):
    store, whole, asked = Store(tmp_path), loop(), []

    def killed(network, function, *args, **kwargs):
        if kwargs["number"] >= after:
            raise Killed
        return store.fit(network, function, *args, **kwargs)

    def noted(network, function, *args, **kwargs):
        before = len(list(tmp_path.glob("fits/*/fit.safetensors")))
        result = store.fit(network, function, *args, **kwargs)
        asked.append(len(list(tmp_path.glob("fits/*/fit.safetensors"))) - before)
        return result

    with pytest.raises(Killed):
        loop(through=killed)
    resumed = loop(through=noted)
    assert asked == [0] * after + [1] * (3 - after)
    assert all(equal(one, other) for one, other in zip(whole, resumed, strict=True))


# What its curves say ------------------------------------------------------------------------------------------------


def test_rows_are_the_rounds_one_by_one():
    done = loop(count=2)
    table = active.rows(done, method="sgld", acquisition="bald")
    assert [(row["labels"], row["seed"]) for row in table] == [(6, 0), (6, 1), (10, 0), (10, 1)]
    assert [row["accuracy"] for row in table] == [*done[0].accuracy.tolist(), *done[1].accuracy.tolist()]
    assert {(row["method"], row["acquisition"]) for row in table} == {("sgld", "bald")}


@pytest.mark.parametrize(
    ("accuracies", "found"),
    [([0.5, 0.91, 0.89], 30), ([0.9, 0.95, 0.99], 20), ([0.5, 0.6, 0.899], None), ([0.1, 0.2, 0.9], 40)],
)
def test_a_level_is_reached_when_it_is_first_seen_and_may_never_be(accuracies, found):
    assert active.labels_to_reach(0.9, [20, 30, 40], accuracies) == found
