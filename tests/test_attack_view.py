"""Laws of the view of attacks and its explorer: after any moves it is what a fresh one shows."""

from itertools import product
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from apdlab import figures
from apdlab.figures import COLOURS, AttackView
from apdlab.widgets import attack_explorer

SIZES = {"posterior": 3, "attack": 2, "eps": 4, "steps": 2, "image": 5}
AXES = (["sgd", "sgld", "apd"], ["PGD", "adaptive"], [0.02, 0.1, 0.2, 0.4], [1, 40])


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def grid():
    grid, n, k = tuple(SIZES.values())[:4], SIZES["image"], 4
    probs, clean = uniform(*grid, n, 3, k, seed=1).sort(-2).values, uniform(3, n, 3, k, seed=2).sort(-2).values
    x = 2 * uniform(n, 1, 6, 6) - 1
    found = (x + 0.2 * uniform(*grid, n, 1, 6, 6, seed=3)).clamp(-1, 1)
    doubts = {"doubts": uniform(*grid, n, 3, seed=4), "clean_doubts": uniform(3, n, 3, seed=5)}
    labels = torch.arange(n) % k
    return SimpleNamespace(x=x, y=labels, axes=AXES, found=found, probs=probs, clean_probs=clean, **doubts)


def pixels(view):
    canvas = FigureCanvasAgg(view.fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


MOVES = [dict(zip(SIZES, place, strict=True)) for place in [(2, 1, 3, 1, 4), (0, 0, 0, 0, 0), (1, 1, 2, 0, 3)]]


@pytest.mark.parametrize("last", MOVES)
def test_after_any_moves_a_view_is_a_fresh_one(last):
    moved, fresh = AttackView(grid()), AttackView(grid())
    parts = len(moved.fig.findobj())
    for place in MOVES:
        moved.show(**place)
    moved.show(**last)
    fresh.show(**last)
    assert (pixels(moved) == pixels(fresh)).all() and moved.text == fresh.text
    assert len(moved.fig.findobj()) == parts


@pytest.mark.parametrize("place", MOVES)
def test_a_view_shows_what_is_at_its_place(place):
    made = grid()
    view = AttackView(made)
    view.show(**place)
    at = tuple(place.values())
    clean, change, found = (image.get_array() for image, _ in view._images)
    x, attacked = made.x[place["image"]], made.found[at]
    assert np.allclose(clean, x[0]) and np.allclose(found, attacked[0])
    assert np.allclose(change, (attacked - x)[0] / 2)  # on pixels of [0, 1]
    assert view._images[1][0].get_clim() == pytest.approx((-np.abs(change).max(), np.abs(change).max()))
    means = [[bar.get_height() for bar in bars.bars] for bars in view._bars]
    first = made.clean_probs[place["posterior"], place["image"]]
    assert np.allclose(means[0], first[1]) and np.allclose(means[1], made.probs[at][1])
    ends = [[segment[:, 1] for segment in bars.lines.get_segments()] for bars in view._bars]
    assert np.allclose(ends[0], first[[0, 2]].T) and np.allclose(ends[1], made.probs[at][[0, 2]].T)
    doubts = [[bar.get_height() for bar in bars.bars] for bars in view._doubt]
    assert np.allclose(doubts[0], made.clean_doubts[place["posterior"], place["image"]])
    assert np.allclose(doubts[1], made.doubts[at])
    colour = COLOURS[AXES[0][place["posterior"]]]
    assert view._bars[1].bars[0].get_facecolor() == view._doubt[1].bars[0].get_facecolor() == to_rgba(colour)
    assert f"size {AXES[2][place['eps']] / 2:.2f} in {AXES[3][place['steps']]} step" in view.text


def controls(box):
    return {c.description: c for c in box.children[0].children}


@pytest.mark.parametrize("name", ["posterior", "attack", "image", "size", "steps"])
def test_each_control_moves_the_picture_and_back(name):
    view = AttackView(grid())
    box = attack_explorer(view)
    control, image = controls(box)[name], box.children[1]
    before, text = image.value, view.text
    control.value = 1
    assert image.value != before and view.text != text and image.value[1:4] == b"PNG"
    control.value = 0
    assert image.value == before and view.text == text


def test_the_picture_of_what_moves_is_the_whole_picture():
    view = AttackView(grid())
    box = attack_explorer(view)
    for control, value in product(controls(box).values(), (1, 0, 1)):
        control.value = value
    fresh = AttackView(grid())
    fresh.show(1, 1, 1, 1, 1)
    assert attack_explorer(fresh).children[1].value == box.children[1].value


def test_bands_hold_all_seeds_and_lines_are_means():
    values = {"sgld": uniform(3, 4).numpy(), "apd": uniform(3, 4, seed=1).numpy()}
    sizes = [0.0, 0.1, 0.2, 0.4]
    with mpl.rc_context():
        ax = figures.against_size(sizes, {"accuracy": values, "entropy": values}).axes[0]
    for line, band, seen in zip(ax.lines, ax.collections, values.values(), strict=True):
        assert np.allclose(line.get_xydata(), np.c_[sizes, seen.mean(0)])
        corners = band.get_paths()[0].vertices
        for size, low, high in zip(sizes, seen.min(0), seen.max(0), strict=True):
            here = corners[np.isclose(corners[:, 0], size), 1]
            assert here.min() == pytest.approx(low) and here.max() == pytest.approx(high)


def test_a_transfer_matrix_has_a_number_for_each_pair():
    table = uniform(2, 2)
    ax = figures.transfer_matrix(table, ["sgd", "sgld"]).axes[0]
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(j, i): f"{table[i, j]:.2f}" for i, j in product(range(2), range(2))}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["SGD", "SGLD"]
