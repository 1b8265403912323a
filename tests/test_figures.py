"""Laws of figures: what is drawn are the numbers that were passed, and no figure is left behind."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.pyplot import get_fignums

from apdlab import figures
from apdlab.figures import COLOURS, NAMES, DrawView
from apdlab.metrics import Reliability

METHODS = ["sgld", "apd", "gaussian"]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


IMAGES, LABELS = normal(3, 1, 6, 5).tanh(), torch.tensor([2, 0, 1])
PROBS = {m: normal(7, 3, 4, seed=i).softmax(-1) for i, m in enumerate(METHODS)}
FILTERS = {m: normal(7, 8, 6, 5, seed=i) for i, m in enumerate(METHODS)}
WEIGHTS = {m: normal(50, 3, seed=i) + i for i, m in enumerate(METHODS)}
TRACES = {"log posterior": normal(4, 20), "norm": normal(4, 20, seed=1)}
BINS = {
    m: Reliability(torch.linspace(0.1, 0.9, 5) - 0.01 * i, torch.linspace(0, 1, 5) ** (i + 1), torch.tensor(counts))
    for i, (m, counts) in enumerate(zip(METHODS, [[0, 2, 3, 4, 50], [1, 1, 0, 1, 60], [9, 8, 7, 6, 5]], strict=True))
}
FIGURES = {
    "reliability": lambda: figures.reliability_diagram(BINS, {m: 0.1 * i for i, m in enumerate(METHODS)}),
    "traces": lambda: figures.traces(torch.arange(20) * 5, TRACES),
    "distillation": lambda: figures.distillation(normal(40, 2), normal(8, 2).abs(), torch.tensor([0.1, 0.3])),
    "image_grid": lambda: figures.image_grid(IMAGES, ["a", "b", "c"], columns=2),
    "predictive_rows": lambda: figures.predictive_rows(IMAGES, LABELS, PROBS),
    "weight_pairs": lambda: figures.weight_pairs(WEIGHTS, ["u", "v", "w"]),
    "draw": lambda: DrawView(IMAGES, LABELS, PROBS, FILTERS, columns=3).fig,
}


def heights(bars):
    return [bar.get_height() for bar in bars]


def shown(ax):
    (image,) = ax.get_images()
    return image.get_array().data


def of_type(ax, kind):
    return [part for part in ax.collections if isinstance(part, kind)]


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figures_are_saved_and_leave_no_trace(make):
    before = dict(mpl.rcParams)
    buffer = BytesIO()
    make().savefig(buffer, format="png")
    assert buffer.getvalue()[1:4] == b"PNG" and get_fignums() == [] and dict(mpl.rcParams) == before


def test_methods_have_names_and_colours_of_their_own():
    assert set(COLOURS) == set(NAMES)
    assert len(set(COLOURS.values())) == len(set(NAMES.values())) == len(COLOURS)


def test_reliability_shows_filled_bins_and_all_counts():
    top, bottom = FIGURES["reliability"]().axes
    diagonal, *lines = top.get_lines()
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    for i, (line, bars, (m, r)) in enumerate(zip(lines, bottom.containers, BINS.items(), strict=True)):
        filled = r.count > 0
        np.testing.assert_allclose(line.get_xydata(), torch.stack([r.confidence, r.accuracy], -1)[filled])
        assert heights(bars) == r.count.tolist() and line.get_label() == f"{NAMES[m]}, ECE {0.1 * i:.3f}"
        assert line.get_color() == COLOURS[m] == to_hex(bars[0].get_facecolor())
        assert all(b / 5 <= bar.get_x() and bar.get_x() + bar.get_width() <= (b + 1) / 5 for b, bar in enumerate(bars))


@pytest.mark.parametrize("colours", [None, ["red", "green", "blue", "black"]])
def test_traces_have_a_line_a_chain_and_a_panel_a_quantity(colours):
    fig = figures.traces(torch.arange(20) * 5, TRACES, colours)
    for ax, (name, values) in zip(fig.axes, TRACES.items(), strict=True):
        assert ax.get_ylabel() == name
        assert [line.get_color() for line in ax.get_lines()] == (colours or [COLOURS["sgld"]] * 4)
        for line, chain in zip(ax.get_lines(), values, strict=True):
            np.testing.assert_allclose(line.get_xdata(), 5 * np.arange(20))
            np.testing.assert_allclose(line.get_ydata(), chain)


def test_distillation_shows_each_generator_and_their_mean():
    cost, distance, floor = normal(40, 2), normal(8, 2).abs(), torch.tensor([0.1, 0.3])
    left, right = figures.distillation(cost, distance, floor).axes
    for ax, values, steps in ((left, cost, np.arange(40)), (right, distance, np.arange(5, 45, 5))):
        lines = ax.get_lines()[:3]
        for line, wanted in zip(lines, [*values.T, values.mean(1)], strict=True):
            np.testing.assert_allclose(line.get_xdata(), steps)
            np.testing.assert_allclose(line.get_ydata(), wanted, rtol=1e-6)
    np.testing.assert_allclose(right.get_lines()[3].get_ydata(), 0.2)


def test_a_grid_holds_the_images_under_their_titles():
    axes = FIGURES["image_grid"]().axes
    assert [ax.get_title() for ax in axes] == ["a", "b", "c", ""] and not axes[3].get_images()
    for ax, image in zip(axes[:3], IMAGES, strict=True):
        np.testing.assert_array_equal(shown(ax), image[0])
        assert ax.get_images()[0].get_clim() == (-1, 1) and not ax.get_xticks().size


def test_predictive_bars_are_means_and_whiskers_quantiles():
    axes = FIGURES["predictive_rows"]().axes
    for n, (image, ax) in enumerate(zip(axes[:3], axes[3:], strict=True)):
        np.testing.assert_array_equal(shown(image), IMAGES[n, 0])
        assert image.get_title() == f"label {LABELS[n]}"
        bold = [tick.get_fontweight() == "bold" for tick in ax.get_xticklabels()]
        assert bold == [k == LABELS[n] for k in range(4)]
        for bars, whiskers, (m, p) in zip(ax.containers, of_type(ax, LineCollection), PROBS.items(), strict=True):
            np.testing.assert_allclose(heights(bars), p[:, n].mean(0), rtol=1e-6)
            assert {to_hex(bar.get_facecolor()) for bar in bars} == {COLOURS[m]} and bars.get_label() == NAMES[m]
            for k, segment in enumerate(whiskers.get_segments()):
                wanted = np.quantile(p[:, n, k], [0.05, 0.95])
                np.testing.assert_allclose(segment[:, 1], wanted, rtol=1e-6)
                np.testing.assert_allclose(segment[:, 0], bars[k].get_x() + bars[k].get_width() / 2)


def test_titles_of_predictions_can_be_chosen():
    axes = figures.predictive_rows(IMAGES, LABELS, PROBS, ["x", "y", "z"]).axes
    assert [ax.get_title() for ax in axes[:3]] == ["x", "y", "z"]


def test_weight_pairs_have_every_draw_and_a_density_a_method():
    fig = FIGURES["weight_pairs"]()
    for i, row in enumerate(np.array(fig.axes, dtype=object).reshape(3, 3)):
        for j, ax in enumerate(row):
            clouds, densities = of_type(ax, PathCollection), of_type(ax, PolyCollection)
            assert ax.get_visible() == (i >= j)
            assert len(clouds) == 3 * (i > j) and len(densities) == 3 * (i == j)
            for cloud, theta in zip(clouds, WEIGHTS.values(), strict=bool(clouds)):
                np.testing.assert_array_equal(cloud.get_offsets(), theta[:, [j, i]])
            for part, m in zip(clouds or densities, METHODS, strict=i >= j):
                assert to_hex(part.get_facecolor()[0]) == COLOURS[m]


def test_weight_pairs_leave_no_draw_outside():
    axes = np.array(FIGURES["weight_pairs"]().axes, dtype=object).reshape(3, 3)
    everything = torch.cat(list(WEIGHTS.values()))
    for j in range(3):
        low, high = axes[2, j].get_xlim()
        assert low < everything[:, j].min() and everything[:, j].max() < high
        assert axes[2, j].get_xlabel() == "uvw"[j]


def test_a_view_shows_the_draw_and_the_example_that_it_is_moved_to():
    view = DrawView(IMAGES, LABELS, PROBS, FILTERS, columns=3)
    image, *rows = view.fig.axes
    for draw, example in [(0, 0), (6, 2), (3, 1), (0, 0)]:
        view.show(draw, example)
        assert view.fig.get_suptitle() == f"draw {draw}, image {example}, label {LABELS[example]}"
        np.testing.assert_array_equal(shown(image), IMAGES[example, 0])
        for units, bars, m in zip(rows[::2], rows[1::2], METHODS, strict=True):
            means, this = bars.containers
            np.testing.assert_allclose(heights(means), PROBS[m][:, example].mean(0), rtol=1e-6)
            np.testing.assert_allclose(heights(this), PROBS[m][draw, example])
            for unit in range(8):
                top, left = 7 * (unit // 3), 6 * (unit % 3)
                cell = shown(units)[top : top + 6, left : left + 5]
                np.testing.assert_array_equal(cell, FILTERS[m][draw, unit])


def test_a_view_has_as_many_draws_as_all_methods_have():
    assert DrawView(IMAGES, LABELS, PROBS | {"apd": PROBS["apd"][:4]}, FILTERS).draws == 4
