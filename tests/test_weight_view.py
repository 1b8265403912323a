"""Laws of the view of weights: after any moves it is what a new one shows, and its numbers are those of the draws."""

import random

import numpy as np
import pytest
import scipy.stats
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

from apdlab.draws import Draws
from apdlab.figures import NAMES, WeightView
from apdlab.networks import Network, mlp
from apdlab.widgets import Picture, weight_explorer

NETWORK = mlp(12, 5, 3)
METHODS = ("sgld", "apd", "gaussian")


def draws(s, seed, network=NETWORK):
    return 0.3 * seed + torch.randn(s, network.size, generator=torch.Generator().manual_seed(seed))


SETS = {
    chain: {m: draws(s, 3 * i + j) for j, (m, s) in enumerate(zip(METHODS, (9, 7, 11), strict=True))}
    for i, chain in enumerate(("a walk", "mixed"))
}


def view(**changed):
    return WeightView(**({"network": NETWORK, "sets": SETS, "image": (3, 4)} | changed))


def pixels(fig):
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def any_look(shown, dice):
    layer = dice.choice(list(shown.layers))
    units, height, width = shown.layers[layer]
    a, b = (dice.randrange(units * height * width) for _ in range(2))
    where = dice.choice(list(SETS)), dice.choice(METHODS[1:]), layer
    return shown.look._replace(**dict(zip(shown.look._fields, (*where, a, b, dice.randrange(units), 6), strict=True)))


@pytest.mark.parametrize("seed", range(4))
def test_after_any_moves_it_is_what_a_new_view_shows(seed):
    dice, shown, new = random.Random(seed), view(), view()
    for _ in range(5):
        shown.show(look := any_look(shown, dice))
    new.show(look)
    assert np.array_equal(pixels(shown.fig), pixels(new.fig))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_shown_are_the_draws(seed):
    shown, dice = view(), random.Random(seed)
    while not (look := any_look(shown, dice)).unit:
        continue
    shown.show(look)
    for i, method in enumerate(("sgld", look.method)):
        theta = SETS[look.chain][method]
        layer = NETWORK.unravel(theta)[look.layer].flatten(1)
        points = torch.stack([layer[:, look.a], layer[:, look.b]], -1).numpy()
        assert np.array_equal(shown._clouds[i].get_offsets(), points)
        assert np.array_equal(shown._marks[i].get_xydata()[0], points[look.draw])
        rows = layer.unflatten(1, shown.layers[look.layer])[:, look.unit]
        drawn, mean = (ax.images[0].get_array() for ax in shown._units[2 * i : 2 * i + 2])
        assert np.array_equal(drawn, rows[look.draw]) and np.allclose(mean, rows.mean(0))
        for side, values in zip(shown._steps, points.T, strict=True):
            counts, edges, _ = side[i].get_data()
            assert counts.sum() == pytest.approx(1) and edges[0] < values.min() and edges[-1] > values.max()


@pytest.mark.parametrize("seed", range(4))
def test_the_distances_named_are_those_of_the_marginals(seed):
    shown = view()
    shown.show(look := any_look(shown, random.Random(seed)))
    first, second = (NETWORK.unravel(SETS[look.chain][m])[look.layer].flatten(1) for m in ("sgld", look.method))
    for head, i in zip(shown._heads, (look.a, look.b), strict=True):
        a, b = first[:, i].double().numpy(), second[:, i].double().numpy()
        far = scipy.stats.wasserstein_distance(a, b) / a.std(ddof=1)
        assert head.get_text() == f"weight {i}: the marginals are {far:.2f} sd apart (W1)"


def test_the_plane_is_that_of_the_leading_directions_of_the_first_posterior():
    shown = view()
    theta = SETS["a walk"]["sgld"].double()
    _, s, vh = torch.linalg.svd(theta - theta.mean(0), full_matrices=False)
    sd = s[0] / (len(theta) - 1) ** 0.5
    for i, method in enumerate(("sgld", "apd"), start=2):
        expected = (SETS["a walk"][method].double() - theta.mean(0)) @ vh[:2].T / sd
        assert np.allclose(np.abs(shown._clouds[i].get_offsets()), expected.abs(), atol=1e-4)
    assert np.array_equal(shown._path.get_xydata(), shown._clouds[2].get_offsets())


def test_your_own_draws_and_network_do():
    convolutional = Network(nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 2)))
    own = {"sgld": Draws(convolutional, draws(5, 0, convolutional)), "swag": draws(4, 1, convolutional)}
    shown = WeightView(convolutional, {"mine": own})
    assert list(shown.layers.values()) == [(3, 4, 2), (1, 1, 3), (2, 1, 12), (1, 1, 2)]
    assert shown.draws == 4 and shown.fig.get_suptitle() == f"Draws of mine: SGLD and {NAMES['swag']}"


def explorer():
    shown = view()
    grid, image = weight_explorer(shown).children
    return shown, dict(zip(shown.look._fields, grid.children, strict=True)), image


@pytest.mark.parametrize(
    ("name", "value"),
    [("chain", "mixed"), ("method", "gaussian"), ("layer", "3.weight"), ("a", 3), ("b", 59), ("unit", 4), ("draw", 6)],
)
def test_a_control_changes_the_picture_and_back_restores_it(name, value):
    shown, controls, image = explorer()
    before, old = image.value, shown.look
    controls[name].value = value
    assert image.value != before and shown.look == old._replace(**{name: value})
    controls[name].value = getattr(old, name)
    assert (image.value, shown.look) == (before, old)


def test_controls_range_over_what_there_is():
    shown, controls, _ = explorer()
    assert [controls[name].max for name in ("a", "b", "unit", "draw")] == [59, 59, 4, 6]
    controls["a"].value, controls["unit"].value = 40, 4
    controls["layer"].value = "3.bias"
    assert [controls[name].max for name in ("a", "b", "unit", "draw")] == [2, 2, 0, 6]
    assert shown.look[2:6] == ("3.bias", 2, min(2, controls["b"].value), 0)


def test_after_any_moves_the_picture_is_that_of_a_new_view():
    shown, controls, image = explorer()
    parts = len(shown.fig.findobj())
    moves = (("draw", 3), ("layer", "3.weight"), ("unit", 2), ("a", 11), ("chain", "mixed"), ("draw", 5), ("unit", 1))
    for name, value in moves * 3:
        controls[name].value = value
    new = view()
    new.show(shown.look)
    assert image.value == Picture(new.fig, moving=new.moving).image.value
    assert abs(len(shown.fig.findobj()) - parts) < 40  # ticks come and go


REFUSED = {
    "one posterior": (lambda: view(sets={"a": {"sgld": draws(5, 0)}}), "wanted the same two or more in each"),
    "no set": (lambda: view(sets={}), "wanted the same two or more in each"),
    "sets that differ": (
        lambda: view(sets=SETS | {"c": {"sgld": draws(5, 0), "flow": draws(5, 0)}}),
        "wanted the same",
    ),
    "unknown": (lambda: view(sets={"a": {"sgld": draws(5, 0), "mine": draws(5, 0)}}), "['mine']; wanted ids among"),
    "other network": (lambda: view(network=mlp(2, 3), image=None), "has shape (9, 83); wanted [S, 9]"),
    "two draws": (lambda: view(sets={"a": {"sgld": draws(2, 0), "apd": draws(5, 0)}}), "three draws or more"),
    "image": (lambda: view(image=(5, 5)), "image is (5, 5); wanted height and width of the 12 inputs"),
    "layer": (lambda: view().show(view().look._replace(layer="2.weight")), "layer is '2.weight'; wanted one of"),
    "reference": (lambda: view().show(view().look._replace(method="sgld")), "method is 'sgld'; wanted one of"),
    "weight": (lambda: view().show(view().look._replace(b=60)), "b is 60; wanted 0 to 59"),
    "draw": (lambda: view().show(view().look._replace(draw=-1)), "draw is -1; wanted 0 to 6"),
}


@pytest.mark.parametrize(("call", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_shown_is_refused(call, said, refusal):
    assert said in refusal(call)
