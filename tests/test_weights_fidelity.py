"""Laws of fidelity in the space of weights: closed forms, what a distance must not see, and what it must."""

import math
import re

import pytest
import scipy.stats
import torch

from apdlab.fidelity import (
    marginal_distance,
    mean_error,
    nearest_ratio,
    sd_error,
    sliced_wasserstein,
    two_sample_accuracy,
    weights,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def by_hand(columns_a, columns_b):
    """Means and standard deviations weight by weight, in exact sums."""
    rows = []
    for a, b in zip(columns_a.T.tolist(), columns_b.T.tolist(), strict=True):
        means = [math.fsum(x) / len(x) for x in (a, b)]
        sds = [math.sqrt(math.fsum((v - m) ** 2 for v in x) / (len(x) - 1)) for x, m in zip((a, b), means, strict=True)]
        rows.append((*means, *sds))
    return rows


def mean_error_by_hand(a, b):
    rows = by_hand(a, b)
    return math.sqrt(sum((r[0] - r[1]) ** 2 for r in rows) / sum(r[3] ** 2 for r in rows))


def sd_error_by_hand(a, b):
    ratios = [r[2] / r[3] for r in by_hand(a, b) if r[3] > 0]
    return math.sqrt(sum((ratio - 1) ** 2 for ratio in ratios) / len(ratios))


@pytest.mark.parametrize("entries", [1, 100, 2**22], ids="chunks of {} entries".format)
@pytest.mark.parametrize("shapes", [(2, 2, 1), (9, 30, 17)], ids=str)
@pytest.mark.parametrize(("ours", "oracle"), [(mean_error, mean_error_by_hand), (sd_error, sd_error_by_hand)])
def test_errors_of_moments_are_their_definitions_however_cut(ours, oracle, shapes, entries, monkeypatch):
    monkeypatch.setattr(weights, "ENTRIES", entries)
    s, t, d = shapes
    width = torch.linspace(0.5, 3, d, dtype=torch.float64)
    a, b = 1.3 * normal(s, d) * width + 0.4, normal(t, d, seed=1) * width
    assert ours(a, b) == pytest.approx(oracle(a, b), rel=1e-12)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 1.7])
def test_a_scaled_copy_is_off_by_its_scale_in_width(scale):
    b = normal(30, 40)
    assert sd_error(scale * b + 5, b) == pytest.approx(abs(scale - 1), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, -2.0])
def test_a_shifted_copy_is_off_by_its_shift_in_mean(shift):
    b = normal(30, 40) * torch.linspace(0.1, 4, 40)
    assert mean_error(b + shift * b.var(0).mean().sqrt(), b) == pytest.approx(abs(shift), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_float32_weights_far_from_0_do_not_cancel(offset):
    a, b = (normal(200, 30, seed=seed, dtype=torch.float32) * 1e-3 + offset for seed in range(2))
    assert mean_error(a, b) == pytest.approx(mean_error_by_hand(a, b), rel=1e-9)
    assert sd_error(a, b) == pytest.approx(sd_error_by_hand(a, b), rel=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e3], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_weights_that_do_not_move_have_no_width_to_compare(constant, dtype):
    a, b = normal(7, 5, dtype=dtype), normal(11, 5, seed=1, dtype=dtype)
    still = torch.full((11, 1), constant, dtype=dtype)
    assert sd_error(torch.cat([a, a[:, :1]], 1), torch.cat([b, still], 1)) == pytest.approx(sd_error(a, b))


def test_moments_are_blind_to_dependence_and_neighbours_are_not():
    joint = normal(400, 1).expand(400, 5)
    apart = torch.stack([column[torch.randperm(400, generator=seeded(i))] for i, column in enumerate(joint.T)], 1)
    assert mean_error(apart, joint) < 1e-12 and sd_error(apart, joint) < 1e-12
    assert two_sample_accuracy(apart, joint, generator=seeded()) > 0.9
    assert nearest_ratio(apart, joint[:200], normal(200, 1, seed=3).expand(200, 5)) > 10


def slowly(a, b, directions, generator):
    u = torch.randn(a.shape[1], directions, generator=generator, dtype=torch.float64)
    u = u / u.norm(dim=0)
    distances = [scipy.stats.wasserstein_distance((a @ v).numpy(), (b @ v).numpy()) for v in u.T]
    return sum(distances) / directions


@pytest.mark.parametrize("shape", [(1, 1, 1), (30, 30, 4), (30, 45, 4), (7, 40, 2), (1, 12, 3), (101, 13, 3)], ids=str)
def test_sliced_distance_is_that_of_scipy_direction_by_direction(shape):
    s, t, k = shape
    a, b = normal(s, k), 1.5 * normal(t, k, seed=1) + 0.2
    wanted = slowly(a, b, 20, seeded(2))
    assert sliced_wasserstein(a, b, directions=20, generator=seeded(2)) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("k", [1, 2, 8])
def test_shifted_gaussians_are_as_far_apart_as_the_shift_seen_from_all_sides(k):
    shift = torch.linspace(1, 2, k, dtype=torch.float64)
    a = normal(4000, k)
    # E|<m, u>| = |m| Gamma(k / 2) / (sqrt(pi) Gamma((k + 1) / 2)) for a unit vector u; its sd is at most |m| / sqrt(k).
    wanted = shift.norm().item() * math.exp(math.lgamma(k / 2) - math.lgamma((k + 1) / 2)) / math.sqrt(math.pi)
    error = shift.norm().item() / math.sqrt(k * 400)
    assert sliced_wasserstein(a + shift, a, directions=400, generator=seeded()) == pytest.approx(wanted, abs=4 * error)
    fresh = sliced_wasserstein(normal(4000, k, seed=1) + shift, a, directions=400, generator=seeded())
    assert fresh == pytest.approx(wanted, abs=4 * (error + math.sqrt(2 / 4000)))


def rotation(k, seed=5):
    return torch.linalg.qr(normal(k, k, seed=seed))[0]


MOVES = {
    "order": lambda x: x.flip(0),
    "shift": lambda x: x + 3,
    "rotation": lambda x: x @ rotation(x.shape[1]),
}
DISTANCES = {
    "sliced": lambda a, b, _: sliced_wasserstein(a, b, directions=2000, generator=seeded()),
    "accuracy": lambda a, b, _: two_sample_accuracy(a, b, generator=seeded()),
    "nearest": nearest_ratio,
}
SETS = normal(120, 4) + 0.5, 1.5 * normal(150, 4, seed=1), normal(80, 4, seed=2)
# The order of draws also decides who is in which fold, and rotation which way the directions point.
TOLERANCE = {("order", "accuracy"): 0.08, ("rotation", "sliced"): 0.06}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_does_not_see_how_all_sets_are_turned_moved_or_ordered(name, move):
    before, after = DISTANCES[name](*SETS), DISTANCES[name](*map(MOVES[move], SETS))
    assert after == pytest.approx(before, rel=TOLERANCE.get((move, name), 1e-9))


@pytest.mark.parametrize("name", ["sliced", "nearest"])
@pytest.mark.parametrize("scale", [1e-3, 7.0])
def test_a_sliced_distance_has_the_unit_of_its_coordinates_and_a_ratio_has_none(name, scale):
    unit = scale if name == "sliced" else 1
    assert DISTANCES[name](*(scale * x for x in SETS)) == pytest.approx(unit * DISTANCES[name](*SETS), rel=1e-9)


def test_sliced_distance_is_0_only_between_equal_sets_and_has_no_direction():
    a, b = normal(20, 3), normal(33, 3, seed=1)
    assert sliced_wasserstein(a, a.repeat(3, 1), generator=seeded()) == pytest.approx(0, abs=1e-14)
    assert sliced_wasserstein(a, b, generator=seeded()) == pytest.approx(
        sliced_wasserstein(b, a, generator=seeded()), rel=1e-12
    )
    assert sliced_wasserstein(a, b, generator=seeded()) > 0.1


@pytest.mark.parametrize("sizes", [(200, 200), (200, 317)], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_equal_laws_cannot_be_told_apart(seed, sizes):
    a, b = (normal(size, 4, seed=10 * seed + i) for i, size in enumerate(sizes))
    standard_error = math.sqrt(0.25 / 400)
    assert abs(two_sample_accuracy(a, b, generator=seeded(seed)) - 0.5) < 4 * standard_error


@pytest.mark.parametrize("sizes", [(50, 50), (30, 200), (200, 30)], ids=str)
@pytest.mark.parametrize("neighbours", [1, 5])
def test_separated_sets_are_told_apart_whatever_their_sizes(sizes, neighbours):
    a, b = normal(sizes[0], 4), normal(sizes[1], 4, seed=1) + 8
    assert two_sample_accuracy(a, b, neighbours=neighbours, generator=seeded()) == 1


def test_a_set_that_sits_on_the_other_is_below_chance():
    a = normal(100, 4)
    assert two_sample_accuracy(a, a + 1e-6, neighbours=1, generator=seeded()) < 0.35


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_fresh_draws_of_the_same_law_are_as_near_as_held_out_ones(k, seed):
    train, held_out, fresh = (normal(600, k, seed=10 * seed + i) for i in range(3))
    # The median of 600 has a relative error near 1.25 / sqrt(600) times sd over median of the distance, at most 1.5.
    assert nearest_ratio(fresh, train, held_out) == pytest.approx(1, abs=4 * 1.25 * 1.5 * math.sqrt(2 / 600))
    assert nearest_ratio(train, train, held_out) == 0
    assert nearest_ratio(fresh + 20, train, held_out) > 10


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_copies_and_what_nearly_are_stand_out_however_far_from_the_origin(offset):
    train, held_out = normal(60, 40) + offset, normal(60, 40, seed=1) + offset
    assert nearest_ratio(train[::2], train, held_out) == 0
    assert nearest_ratio(train + 1e-3, train, train - 2e-3) == pytest.approx(0.5, rel=1e-5)


def test_nearest_ratio_is_its_definition_however_cut(monkeypatch):
    g, x, y = normal(11, 3), normal(20, 3, seed=1), 2 * normal(8, 3, seed=2)
    nearest = [torch.tensor([min(math.dist(p, q) for q in x.tolist()) for p in z.tolist()]) for z in (g, y)]
    wanted = (nearest[0].quantile(0.5) / nearest[1].quantile(0.5)).item()
    for entries in (1, 45, 2**22):
        monkeypatch.setattr(weights, "ENTRIES", entries)
        assert nearest_ratio(g, x, y) == pytest.approx(wanted, rel=1e-6)


A, B = normal(6, 3), normal(8, 3, seed=1)
BROKEN = torch.where(torch.arange(3) == 1, math.nan, B)
INFINITE = torch.where(torch.arange(3) == 1, math.inf, B)
BAD = {
    "flat": (lambda: mean_error(A[0], B), r"a has shape \(3,\); wanted \[draws, D\] with at least 1 draw$"),
    "one draw": (lambda: mean_error(A, B[:1]), r"b has shape \(1, 3\); wanted .* at least 2 draws"),
    "one draw has no sd": (lambda: sd_error(A[:1], B), r"a has shape \(1, 3\); wanted .* at least 2 draws"),
    "no weights": (lambda: sd_error(A[:, :0], B[:, :0]), r"a has shape \(6, 0\)"),
    "another network": (lambda: sd_error(A, B[:, :2]), "b has 2 columns and a 3; wanted weights of the same network"),
    "still": (lambda: mean_error(A, 0 * B), "b has standard deviation 0 in every weight"),
    "still in width": (lambda: sd_error(A, 0 * B), "b has standard deviation 0 in every weight"),
    "diverged": (lambda: mean_error(A, BROKEN), "b has entries that are not finite"),
    "overflown": (lambda: sd_error(INFINITE, B), "a has entries that are not finite"),
    "chains": (lambda: sliced_wasserstein(A, B[None], generator=seeded()), r"b has shape \(1, 8, 3\); wanted"),
    "no draws": (lambda: sliced_wasserstein(A[:0], B, generator=seeded()), r"a has shape \(0, 3\); wanted"),
    "other coordinates": (lambda: sliced_wasserstein(A, B[:, :2], generator=seeded()), "b has 2 coordinates and a 3"),
    "NaN": (lambda: sliced_wasserstein(A, BROKEN, generator=seeded()), "b has entries that are not finite"),
    "no directions": (lambda: sliced_wasserstein(A, B, directions=0, generator=seeded()), "directions is 0; wanted 1"),
    "one fold": (lambda: two_sample_accuracy(A, B, folds=1, generator=seeded()), "folds is 1; wanted 2 to 6"),
    "many folds": (lambda: two_sample_accuracy(A, B, folds=7, generator=seeded()), "folds is 7; wanted 2 to 6"),
    "a tie": (lambda: two_sample_accuracy(A, B, neighbours=4, generator=seeded()), "neighbours is 4; wanted an odd"),
    "crowd": (lambda: two_sample_accuracy(A, B, neighbours=9, generator=seeded()), "neighbours is 9; .* from 1 to 8"),
    "nobody": (lambda: two_sample_accuracy(A, B, neighbours=-1, generator=seeded()), "neighbours is -1; wanted an odd"),
    "no split": (lambda: nearest_ratio(A, B, B), "held_out has median distance 0 to train; .* split first"),
    "other train": (lambda: nearest_ratio(A, B[:, :2], B), "train has 2 coordinates and generated 3"),
    "bad held out": (lambda: nearest_ratio(A, B, BROKEN), "held_out has entries that are not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(name, refusal):
    call, message = BAD[name]
    assert re.search(message, refusal(call))


@pytest.mark.parametrize("neighbours", [1, 3, 5, 7])
def test_as_many_neighbours_as_a_fold_leaves_are_enough(neighbours):
    assert 0 <= two_sample_accuracy(A, B, neighbours=neighbours, folds=5, generator=seeded()) <= 1


@pytest.mark.parametrize("name", DISTANCES)
def test_the_generator_decides_and_nothing_else(name):
    torch.manual_seed(0)
    first = DISTANCES[name](*SETS)
    torch.manual_seed(1)
    assert DISTANCES[name](*SETS) == first and isinstance(first, float)


@pytest.mark.parametrize("entries", [1, 100, 2**22], ids="chunks of {} entries".format)
@pytest.mark.parametrize("shapes", [(1, 2, 3), (9, 30, 17), (12, 12, 5)], ids=str)
def test_distances_of_marginals_are_scipy_s_weight_by_weight(shapes, entries, monkeypatch):
    monkeypatch.setattr(weights, "ENTRIES", entries)
    s, t, d = shapes
    a, b = normal(s, d) * torch.linspace(0.5, 3, d) + 0.4, 2 * normal(t, d, seed=1)
    expected = [scipy.stats.wasserstein_distance(x, y) / y.std(ddof=1) for x, y in zip(a.T.numpy(), b.T.numpy())]  # noqa: B905
    assert marginal_distance(a, b).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("s", "t"), [(50, 50), (200, 800)])
def test_equal_gaussian_marginals_are_as_far_apart_as_stated(s, t):
    found = marginal_distance(normal(s, 2000), normal(t, 2000, seed=1)).mean().item()
    assert found == pytest.approx(1.3 * (1 / s + 1 / t) ** 0.5, rel=0.1)
