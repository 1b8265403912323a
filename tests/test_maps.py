"""Laws of maps: uncertainties add up, a look is what a slow computation says, rules say what rows bear out."""

import math
import random

import numpy as np
import pytest
import torch

from apdlab import maps
from apdlab.atlas import Atlas, Settings, Sheet, in_words, look
from apdlab.draws import Draws
from apdlab.maps import MEASURES, boundaries, distance_to, far_and_near, means, square, verdict
from apdlab.moments import moments
from apdlab.networks import mlp
from apdlab.types import Data

AXIS = torch.linspace(-5, 5, 6)
SIZES = {"sgd": 1, "sgld": 9, "apd": 7}


def log_probs(draws, nodes=36, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(draws, nodes, 2, generator=generator)).log_softmax(-1)


def atlas():
    sheets = {}
    for i, key in enumerate([(s, z, n) for s in ("clusters", "moons") for z in (0.5, 1.0) for n in (3, 5)]):
        x = torch.randn(2 * key[2], 2, generator=torch.Generator().manual_seed(i))
        data = Data(x, torch.arange(2).repeat_interleave(key[2]))
        sheets[key] = Sheet(data, {m: log_probs(size, seed=10 * i + size) for m, size in SIZES.items()})
    return Atlas(AXIS, sheets)


def asked(dice):
    method = dice.choice(list(SIZES))
    size = SIZES[method]
    place = [dice.choice(AXIS.tolist()) for _ in range(2)]
    where = dice.choice(["clusters", "moons"]), dice.choice([0.5, 1.0]), dice.choice([3, 5])
    return Settings(*where, method, dice.choice(list(MEASURES)), dice.randint(1, size), dice.randrange(size), *place)


def slowly(p, measure):
    """A measure of the probabilities of class 1 of some draws, ``p`` a list of numbers."""

    def entropy(q):
        return -sum(part * math.log(part) for part in (q, 1 - q))

    mean = sum(p) / len(p)
    expected = sum(map(entropy, p)) / len(p)
    return {"mean": mean, "total": entropy(mean), "aleatoric": expected, "epistemic": entropy(mean) - expected}[measure]


@pytest.mark.parametrize(("points", "half"), [(2, 5.0), (7, 1.5)])
def test_a_square_goes_row_by_row_from_below(points, half):
    step = 2 * half / (points - 1)
    wanted = [[-half + i * step, -half + j * step] for j in range(points) for i in range(points)]
    torch.testing.assert_close(square(points, half), torch.tensor(wanted))


@pytest.mark.parametrize("draws", [1, 2, 30])
def test_total_is_aleatoric_and_epistemic_and_one_draw_disagrees_with_nobody(draws):
    m = moments(log_probs(draws))
    total, aleatoric, epistemic = (MEASURES[name](m) for name in ("total", "aleatoric", "epistemic"))
    torch.testing.assert_close(total, aleatoric + epistemic, rtol=0, atol=1e-14)
    assert (epistemic == 0).all() if draws == 1 else (epistemic > 0).all()
    assert (total <= math.log(2) + 1e-12).all()


@pytest.mark.parametrize("seed", range(12))
def test_a_look_is_what_a_slow_computation_says(seed):
    book, settings = atlas(), asked(random.Random(seed))
    seen = look(book, settings)
    sheet = book.sheets[settings.data_set, settings.noise, settings.size]
    p = sheet.log_probs[settings.method].double().exp()[: settings.draws, :, 1]
    image = [[slowly(p[:, 6 * row + column].tolist(), settings.measure) for column in range(6)] for row in range(6)]
    np.testing.assert_allclose(seen.image, image, atol=1e-6)
    single = sheet.log_probs[settings.method][settings.draw].exp()
    odds = torch.log(single[:, 1] / single[:, 0]).view(6, 6)
    torch.testing.assert_close(seen.log_odds, odds, rtol=1e-3, atol=1e-4)
    column, row = (AXIS.tolist().index(at) for at in (settings.x1, settings.x2))
    here = p[:, 6 * row + column]
    assert seen.point == (settings.x1, settings.x2) and torch.equal(seen.data.x, sheet.data.x)
    torch.testing.assert_close(seen.opinions.double(), here, rtol=1e-5, atol=1e-6)
    for name in ("total", "aleatoric", "epistemic"):
        assert getattr(seen, name) == pytest.approx(slowly(here.tolist(), name), abs=1e-6)


def test_the_point_is_the_nearest_node():
    assert look(atlas(), Settings("moons", 0.5, 3, "apd", x1=0.1, x2=-4.9)).point == (1.0, -5.0)


GOOD = Settings("moons", 0.5, 3, "sgld")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data_set": "ring"}, r"sheet is \('ring', 0.5, 3\); wanted one of \[.*"),
        ({"size": 4}, r"sheet is \('moons', 0.5, 4\); wanted one of .*"),
        ({"method": "hmc"}, "method is 'hmc'; wanted one of sgd, sgld, apd"),
        ({"measure": "doubt"}, "measure is 'doubt'; wanted one of mean, total, aleatoric, epistemic"),
        ({"draws": 0}, "draws is 0; wanted 1 to 9, as many as sgld has"),
        ({"draws": 10}, "draws is 10; wanted 1 to 9, .*"),
        ({"method": "sgd", "draws": 2}, "draws is 2; wanted 1 to 1, as many as sgd has"),
        ({"draw": -1}, "draw is -1; wanted 0 to 8, one that sgld has"),
        ({"draw": 9}, "draw is 9; wanted 0 to 8, .*"),
        ({"x1": 5.1}, "x1 is 5.1; wanted -5 to 5, a place on the map"),
        ({"x2": math.nan}, "x2 is nan; wanted -5 to 5, .*"),
    ],
)
def test_a_place_that_is_not_in_the_atlas_is_refused_in_one_line(change, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        look(atlas(), GOOD._replace(**change))


SHEET = Sheet(Data(torch.zeros(2, 2), torch.tensor([0, 1])), {"sgld": log_probs(3)})
BAD = {
    "no sheets": (lambda: Atlas(AXIS, {}), "sheets has none; wanted one or more, .*"),
    "another square": (
        lambda: Atlas(AXIS[:5], {("a", 1.0, 1): SHEET}),
        r"log_probs of 'sgld' in sheet \('a', 1.0, 1\) has shape \(3, 36, 2\); wanted \[S, 25, 2\], .*",
    ),
    "no draws": (
        lambda: Atlas(AXIS, {("a", 1.0, 1): SHEET._replace(log_probs={"sgld": log_probs(3)[:0]})}),
        r"log_probs .* has shape \(0, 36, 2\); wanted \[S, 36, 2\], .*",
    ),
    "one point a side": (lambda: square(1), "points, half are 1, 5.0; wanted 2 points a side or more, .*"),
    "half a point": (lambda: square(2.5), "points, half are 2.5, 5.0; .*"),
    "no square": (lambda: square(3, -1.0), "points, half are 3, -1.0; .*"),
    "nothing is far": (
        lambda: far_and_near(moments(log_probs(2)), moments(log_probs(2)), torch.zeros(36)),
        r"distance has no input that is far \(1.0, 3.0\); wanted some near and some far",
    ),
}


@pytest.mark.parametrize(("act", "line"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(act, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        act()


def test_boundaries_are_those_of_the_first_draws():
    network, x = mlp(2, 3, 2), square(4)
    theta = torch.randn(20, network.size, generator=torch.Generator().manual_seed(0))
    found = boundaries({"sgld": Draws(network, theta), "sgd": Draws(network, theta[:1])}, x, n=5)
    assert {m: len(lines) for m, lines in found.items()} == {"sgld": 5, "sgd": 1}
    outputs = torch.stack([network(network.unravel(one), x) for one in theta[:5]])
    torch.testing.assert_close(found["sgld"], (outputs[..., 1] - outputs[..., 0]).view(5, 4, 4), rtol=1e-4, atol=1e-5)


def test_means_are_those_of_the_maps():
    said = {"a": moments(log_probs(4)), "b": moments(log_probs(1, seed=1))}
    for method, row in means(said).items():
        assert row == {name: pytest.approx(MEASURES[name](said[method]).mean().item()) for name in MEASURES}


def test_the_distance_is_to_the_nearest_example():
    x, points = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)), square(3)
    wanted = [min(math.dist(a, b) for b in x.tolist()) for a in points.tolist()]
    torch.testing.assert_close(distance_to(Data(x, torch.zeros(7)), points), torch.tensor(wanted))


def test_far_and_near_are_means_over_places_and_shares_of_the_reference():
    m, reference = moments(log_probs(8)), moments(log_probs(30, seed=1))
    distance = torch.linspace(0, 6, 36)
    row = far_and_near(m, reference, distance, near=2, far=4)
    doubt, wanted = (MEASURES["epistemic"](one) for one in (m, reference))
    near = [i for i in range(36) if distance[i] < 2]
    far = [i for i in range(36) if distance[i] > 4]
    for name, place in {"near": near, "far": far}.items():
        assert row[name] == pytest.approx(float(sum(doubt[i] for i in place)) / len(place))
        assert row[f"{name}_share"] == pytest.approx(row[name] / float(wanted[place].mean()))
    assert row["total_variation"] == pytest.approx(float((m.mean - reference.mean)[:, 1].abs().mean()))
    same = far_and_near(reference, reference, distance)
    assert (same["total_variation"], same["near_share"], same["far_share"]) == (0, 1, 1)


def test_doubt_that_follows_the_distance_grows():
    odds = torch.linspace(0.1, 2, 36)
    apart = torch.stack([torch.stack([odds, -odds], -1), torch.stack([-odds, odds], -1)]).log_softmax(-1)
    m, distance = moments(apart), torch.linspace(0, 6, 36)
    assert far_and_near(m, m, distance)["grows"] == pytest.approx(1.0)
    assert far_and_near(m, m, distance.flip(0))["grows"] == pytest.approx(-1.0)


def test_a_point_estimate_has_no_doubt_that_could_grow():
    row = far_and_near(moments(log_probs(1)), moments(log_probs(9)), torch.linspace(0, 6, 36))
    assert (row["near"], row["far"], row["near_share"]) == (0, 0, 0) and math.isnan(row["grows"])


ROW = {"total_variation": 0.05, "near": 0.1, "far": 0.3, "near_share": 1.1, "far_share": 1.0, "grows": 0.5}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, ": as HMC (0.050, floor 0.040); doubt grows from 0.100 near to 0.300 far (1.10 and 1.00 of HMC's)"),
        ({"total_variation": 0.08}, ": unlike HMC"),
        ({"near_share": 2.1}, ": unlike HMC"),
        ({"far_share": 0.4}, ": unlike HMC"),
        ({"grows": -0.1}, "doubt does not grow"),
        ({"far": 0.1}, "doubt does not grow"),
        ({"near": 0.0, "far": 0.0, "grows": math.nan}, "; no doubt anywhere"),
    ],
)
def test_a_verdict_follows_its_rules(change, word):
    (line,) = verdict({"sgld": ROW | change, "hmc": ROW | {"total_variation": 0.04}})
    assert line.startswith("sgld: ") and word in line


@pytest.mark.parametrize(
    ("total", "epistemic", "word"),
    [(0.05, 0.05, "sure"), (0.6, 0.4, "doubt"), (0.6, 0.2, "noise"), (0.0, 0.0, "sure"), (0.69, 0.0, "noise")],
)
def test_words_follow_the_larger_part(total, epistemic, word):
    assert in_words(total, epistemic).startswith(f"{word}:")


def test_every_map_has_a_title():
    from apdlab.figures.maps import TITLES

    assert list(TITLES) == list(maps.MEASURES)
