"""Laws of figures: what is drawn are the numbers that were passed, and no figure is left behind."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import StepPatch
from matplotlib.pyplot import get_fignums
from matplotlib.transforms import Bbox

from apdlab import figures
from apdlab.active import ACQUISITIONS
from apdlab.figures import COLOURS, NAMES, DrawView, ThresholdView
from apdlab.figures.style import MARKERS
from apdlab.metrics import Reliability, risk_coverage
from apdlab.types import Data

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
CURVES = {m: risk_coverage(normal(50, seed=i), normal(50, seed=i + 9) > -1 + 0.3 * i) for i, m in enumerate(METHODS)}
SIZES = {"thinned": [8, 1, 1, 3], "apd": [9.1, 9.1, 65, 9.1], "mean": [1, 1, 1, 1]}
POINTS = {
    m: {"networks": sizes, "nll": normal(4, seed=i).tolist(), "mutual_information": normal(4, seed=i + 5).tolist()}
    for i, (m, sizes) in enumerate(SIZES.items())
}
LADDER = normal(3, 9).abs().sort(descending=True).values + 0.01
GRID = torch.linspace(-2, 2, 9)
POINTS_XY, SPREAD = Data(normal(5, 1), normal(5, 1, seed=1)), (GRID.abs() + 1, GRID.square() / 2)
DOUBT = torch.tensor([0.3, 0.1, 0.6, 0.2, 0.6, 0.0, 0.5])
RIGHT = torch.tensor([True, True, False, True, True, True, False])
STRANGERS = {"noise": torch.tensor([0.2, 0.7, 0.9, 0.9]), "turned": torch.tensor([0.1, 0.4])}
EVERY = {m: BINS["sgld"] for m in COLOURS}
SWEEP = {
    m: {"temperature": [0.01, 0.1, 1.0], "mean": [0.1 + i, 0.2, 0.3], "error": [0.01, 0.02, 0.03]}
    for i, m in enumerate(("nll", "ece"))
}
BLAMED = {name: SWEEP["nll" if name == "clean" else "ece"] for name in ("clean", "noisy Dirichlet", "wider", "a", "b")}
ASKED = {(m, a): normal(5, 4, seed=i).sigmoid() for i, m in enumerate(("sgld", "apd")) for a in ("random", "bald")}
SHARES = {key: values.mean(0) for key, values in ASKED.items()}
MIXING = {"SGLD": normal(4, 30), "SGHMC": normal(4, 60, seed=1), "SGNHT": normal(4, 30, seed=2), "HMC": normal(2, 50)}
PAST = {"functions": {"SGLD": normal(3, 20, 4), "SGHMC": normal(2, 31, 4)}, "weights": {"SGHMC": normal(2, 31, 5)}}
KEPT = {"SGLD": torch.arange(100, 300, 10), "SGHMC": torch.arange(40, 40 + 31 * 25, 25)}
HEAT = {"kinetic": [0.01, 0.05, 0.3], "law": [0.02, 0.06, 0.2]}
COURSES = {
    quantity: {name: ([1, 2, 3], normal(3, seed=i).tolist()) for i, name in enumerate(("online", "FIFO", "restarted"))}
    for quantity in ("distance", "critic cost", "share of the variance outside")
}
SETS = ["not_mnist", "uniform", "blurred", "gaussian"]
DOTS = {
    score: {m: [(0.8 + 0.01 * i, 0.7, 0.9 + 0.005 * i)] * len(SETS) for i, m in enumerate(METHODS)}
    for score in ("max_probability", "predictive_entropy", "mutual_information", "model_variance", "variation_ratio")
}
ALL_DOTS = {"entropy": dict.fromkeys(COLOURS, [(0.9, 0.8, 0.95)] * len(SETS))}
ROC = {q: {m: (torch.rand(9).sort()[0], torch.rand(9).sort()[0]) for m in METHODS} for q in SETS}
WITHIN = {m: normal(40, seed=i).abs() for i, m in enumerate(METHODS)}
WITHOUT = {q: {m: normal(30, seed=i + j).abs() + 1 for i, m in enumerate(METHODS)} for j, q in enumerate(SETS)}
FIGURES = {
    "detection": lambda: figures.detection_dots(DOTS, SETS),
    "detection by all": lambda: figures.detection_dots(ALL_DOTS, SETS),
    "roc": lambda: figures.roc_curves(ROC),
    "roc of one": lambda: figures.roc_curves({"uniform": dict.fromkeys(COLOURS, ROC["uniform"]["sgld"])}),
    "histograms": lambda: figures.score_histograms(WITHIN, WITHOUT, "entropy / nats", bins=12),
    "histograms of one": lambda: figures.score_histograms({"sgld": DOUBT}, {"a": {"sgld": DOUBT}}, "entropy / nats"),
    "ranks": lambda: figures.ranks(MIXING, bins=6),
    "ranks of two": lambda: figures.ranks({"SGLD": MIXING["SGLD"], "a sampler of a long name": MIXING["HMC"]}),
    "autocorrelations": lambda: figures.autocorrelations(KEPT, PAST),
    "heat and speed": lambda: figures.heat_and_speed([1e-4, 3e-4, 1e-3], [0.4, 1.1, 3.0], HEAT, 0.05),
    "reliability": lambda: figures.reliability_diagram(BINS, {m: 0.1 * i for i, m in enumerate(METHODS)}),
    "reliability of all": lambda: figures.reliability_diagram(EVERY, dict.fromkeys(COLOURS, 0.1)),
    "risk and coverage": lambda: figures.risk_coverage_curves(CURVES),
    "risk and coverage of all": lambda: figures.risk_coverage_curves(dict.fromkeys(COLOURS, CURVES["apd"])),
    "frontier": lambda: figures.frontier(POINTS, {"nll": 0.5}),
    "frontier of all": lambda: figures.frontier(dict.fromkeys(COLOURS, POINTS["apd"]), {"nll": 0.5}),
    "frontier in one panel": lambda: figures.frontier({"apd": {"networks": [9.1], "nll": [0.1]}}, {"nll": 0.08}),
    "traces": lambda: figures.traces(torch.arange(20) * 5, TRACES),
    "traces of many": lambda: figures.traces(torch.arange(20), {"norm of the weights": normal(16, 20)}),
    "distillation": lambda: figures.distillation(normal(40, 2), normal(8, 2).abs(), torch.tensor([0.1, 0.3])),
    "image_grid": lambda: figures.image_grid(IMAGES, ["a", "b", "c"], columns=2),
    "predictive_rows": lambda: figures.predictive_rows(IMAGES, LABELS, PROBS),
    "courses": lambda: figures.courses(COURSES, "step of the sampler", {"distance": {"offline draws": 0.5}}),
    "weight_pairs": lambda: figures.weight_pairs(WEIGHTS, ["u", "v", "w"]),
    "spectra": lambda: figures.spectra(
        {"a walk": LADDER, "mixed": LADDER[:1, :5]}, {"a walk": LADDER[0], "mixed": LADDER[1, :5]}
    ),
    "planes": lambda: figures.planes(dict.fromkeys(("a walk", "mixed"), WEIGHTS), {"mixed": WEIGHTS["apd"]}),
    "error_bars": lambda: figures.error_bars(POINTS_XY, GRID, GRID + 1, *SPREAD, GRID**3),
    "threshold": lambda: threshold_view().fig,
    "sweep": lambda: figures.sweep(SWEEP, {"sgd": {"nll": (0.3, 0.02), "ece": (0.1, 0.01)}}),
    "hypotheses": lambda: figures.hypotheses(BLAMED, dict.fromkeys(BLAMED, "not resolved")),
    "learning curves": lambda: figures.learning_curves([20, 30, 40, 50], ASKED),
    "learning curves of all": lambda: figures.learning_curves(
        [20, 30, 40, 50], {("sgld", a): ASKED["apd", "bald"] for a in ACQUISITIONS}
    ),
    "asked classes": lambda: figures.asked_classes(SHARES, torch.full((4,), 0.25)),
    "draw": lambda: DrawView(IMAGES, LABELS, PROBS, FILTERS, columns=3).fig,
}


def threshold_view(beside=2, **changed):
    of_each = {"x": normal(7, 1, 6, 5).tanh(), "titles": list("abcdefg"), "doubt": DOUBT, "right": RIGHT}
    return ThresholdView(**(of_each | changed), strangers=STRANGERS, threshold=0.25, beside=beside)


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
    for style in (COLOURS, NAMES, MARKERS):
        assert len(set(style.values())) == len(COLOURS)


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_no_text_is_cut_and_no_legend_of_a_figure_covers_its_axes(make):
    fig = make()
    FigureCanvasAgg(fig).draw()
    axes = [ax.get_tightbbox() for ax in fig.axes if ax.get_visible()]  # with labels and ticks
    legends = [legend.get_window_extent() for legend in fig.legends]
    everything, whole = Bbox.union(axes + legends), fig.bbox.padded(1)
    assert (everything.min >= whole.min).all() and (everything.max <= whole.max).all()
    assert not any(legend.overlaps(box) for legend in legends for box in axes)


def test_reliability_shows_filled_bins_and_all_counts():
    top, bottom = FIGURES["reliability"]().axes
    diagonal, *lines = top.get_lines()
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    for i, (line, steps, (m, r)) in enumerate(zip(lines, bottom.patches, BINS.items(), strict=True)):
        filled = r.count > 0
        np.testing.assert_allclose(line.get_xydata(), torch.stack([r.confidence, r.accuracy], -1)[filled])
        np.testing.assert_array_equal(steps.get_data().values, r.count)
        np.testing.assert_allclose(steps.get_data().edges, np.arange(6) / 5)
        assert line.get_label() == f"{NAMES[m]}, ECE {0.1 * i:.3f}" and line.get_marker() == MARKERS[m]
        assert line.get_color() == COLOURS[m] == to_hex(steps.get_edgecolor())


def test_risk_is_shown_against_coverage_with_the_area():
    (ax,) = FIGURES["risk and coverage"]().axes
    for line, (m, curve) in zip(ax.get_lines(), CURVES.items(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), torch.stack(curve, -1))
        assert line.get_label() == f"{NAMES[m]}, AURC {curve.area:.4f}"
        assert (line.get_color(), line.get_marker()) == (COLOURS[m], MARKERS[m])
    assert ax.get_ylim()[0] == 0 and ax.get_xlim() == (0, 1)


def test_a_frontier_has_every_repeat_and_the_mean_of_each_size():
    fig = FIGURES["frontier"]()
    for ax, measure, lines in zip(fig.axes, ["nll", "mutual_information"], [7, 6], strict=True):
        *reference, a, b, c, d, e, f = ax.get_lines()
        assert len(ax.get_lines()) == lines and ax.get_xscale() == "log"
        for repeats, means, (m, values) in zip((a, c, e), (b, d, f), POINTS.items(), strict=True):
            sizes, y = np.array(values["networks"]), np.array(values[measure])
            np.testing.assert_array_equal(repeats.get_xydata(), np.stack([sizes, y], -1))
            wanted = [(size, y[sizes == size].mean()) for size in np.unique(sizes)]
            np.testing.assert_allclose(means.get_xydata(), wanted)
            assert repeats.get_linestyle() == "None" and means.get_label() == NAMES[m]
            assert {(line.get_color(), line.get_marker()) for line in (repeats, means)} == {(COLOURS[m], MARKERS[m])}
        assert all(line.get_linestyle() == "--" and set(line.get_ydata()) == {0.5} for line in reference)
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == ["whole chain (SGLD)", *(NAMES[m] for m in POINTS)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nll": [0.1]}, "points['apd']['nll'] has 1 values; wanted 4, one for each of networks"),
        ({"ece": [0.1] * 4}, "points['apd'] has networks, nll, mutual_information, ece; wanted networks, nll, mutual"),
    ],
    ids=["short", "another measure"],
)
def test_a_frontier_of_unlike_methods_is_refused(change, message, refusal):
    assert message in refusal(lambda: figures.frontier(POINTS | {"apd": POINTS["apd"] | change}, {}))


@pytest.mark.parametrize("colours", [None, ["red", "green", "blue", "black"]])
def test_traces_have_a_line_a_chain_and_a_panel_a_quantity(colours):
    fig = figures.traces(torch.arange(20) * 5, TRACES, colours)
    for ax, (name, values) in zip(fig.axes, TRACES.items(), strict=True):
        assert ax.get_ylabel() == name
        assert len({line.get_color() for line in ax.get_lines()}) == 4
        assert colours in (None, [line.get_color() for line in ax.get_lines()])
        for line, chain in zip(ax.get_lines(), values, strict=True):
            np.testing.assert_allclose(line.get_xdata(), 5 * np.arange(20))
            np.testing.assert_allclose(line.get_ydata(), chain)
    handles = fig.legends[0].get_lines()
    assert [line.get_color() for line in handles] == [line.get_color() for line in fig.axes[0].get_lines()]


@pytest.mark.parametrize("chains", [2, 3, 16])
def test_chains_differ_in_lightness_and_one_alone_has_the_colour_of_the_sampler(chains):
    lines = figures.traces(torch.arange(20), {"norm": normal(chains, 20)}).axes[0].get_lines()
    lightness = [max(to_rgb(line.get_color())) + min(to_rgb(line.get_color())) for line in lines]
    assert (np.diff(lightness) > 0).all()
    alone = figures.traces(torch.arange(20), {"norm": normal(1, 20)})
    assert alone.axes[0].get_lines()[0].get_color() == COLOURS["sgld"] and not alone.legends


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


def test_error_bars_add_variances():
    left, right = FIGURES["error_bars"]().axes
    noise, doubt = SPREAD
    total = (noise.square() + doubt.square()).sqrt()
    for band, sd in zip(left.collections, (total, noise), strict=False):
        corners = band.get_paths()[0].vertices
        for bound in (GRID + 1 - 2 * sd, GRID + 1 + 2 * sd):
            for corner in torch.stack([GRID, bound], -1).numpy():
                assert np.isclose(corners, corner, atol=1e-6).all(1).any()
    mean, truth = left.get_lines()
    np.testing.assert_allclose(mean.get_ydata(), GRID + 1)
    np.testing.assert_allclose(truth.get_ydata(), GRID**3)
    np.testing.assert_array_equal(of_type(left, PathCollection)[0].get_offsets(), torch.cat(POINTS_XY, 1))
    for line, sd in zip(right.get_lines(), (total, doubt, noise), strict=False):
        np.testing.assert_allclose(line.get_ydata(), sd, rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.25, 0.6, 0.2, 0.0, 1.0])
def test_a_threshold_answers_what_is_no_more_doubtful(threshold):
    view = threshold_view()
    view.show(threshold)
    below = [i for i in range(7) if DOUBT[i] <= threshold]
    wrong = 100 * sum(not RIGHT[i] for i in below) / len(below)
    share = 100 * len(below) / 7
    wanted = f"threshold {threshold:.2f}: {share:.0f} % of your inputs answered, {wrong:.1f} % of these wrong"
    assert view.fig.get_suptitle() == wanted
    shares = [100 * (doubt <= threshold).double().mean() for doubt in (DOUBT, *STRANGERS.values())]
    legend = [text.get_text() for text in view.fig.axes[0].get_legend().get_texts()]
    assert legend == [f"{n}: {v:.0f} % answered" for n, v in zip(("yours", *STRANGERS), shares, strict=True)]
    assert list(view.fig.axes[0].get_lines()[0].get_xdata()) == [threshold] * 2


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.25, 0.5, 0.9])
def test_images_stand_on_their_side_of_the_threshold(threshold):
    x = normal(7, 1, 6, 5).tanh()
    view = threshold_view()
    view.show(threshold)
    order = sorted(range(7), key=lambda i: DOUBT[i].item())
    cut = int((DOUBT <= threshold).sum())
    for place, ax in enumerate(view.fig.axes[3:], cut - 2):
        (image,) = ax.get_images()
        assert image.get_visible() == (0 <= place < 7)
        if image.get_visible():
            i = "abcdefg".index(ax.get_title())
            assert DOUBT[i] == DOUBT[order[place]]
            np.testing.assert_array_equal(shown(ax), x[i, 0])
            assert (ax.title.get_color() == "0.1") == bool(RIGHT[i])


@pytest.mark.parametrize("name", ["x", "titles", "right"])
def test_a_view_of_doubt_wants_one_of_each(name, refusal):
    short = {"x": normal(6, 1, 6, 5), "titles": list("abcdef"), "right": RIGHT[:6]}[name]
    message = refusal(lambda: threshold_view(**{name: short}))
    assert message == f"{name} has 6 rows; wanted 7, one for each of doubt"


def test_ranks_are_those_among_the_draws_of_all_chains():
    axes = FIGURES["ranks"]().axes
    assert [ax.get_title() for ax in axes if ax.get_visible()] == list(MIXING)
    for ax, draws in zip(axes, MIXING.values(), strict=False):
        steps = [part for part in ax.patches if isinstance(part, StepPatch)]
        everything, size = sorted(draws.flatten().tolist()), draws.numel()
        for part, chain in zip(steps, draws.tolist(), strict=True):
            bins = [6 * everything.index(value) // size for value in chain]
            wanted = [6 * bins.count(b) / len(chain) for b in range(6)]
            np.testing.assert_allclose(part.get_data().values, wanted)


def test_the_band_of_ranks_holds_independent_draws():
    inside = []
    for seed in range(20):
        (ax,) = figures.ranks({"independent": normal(4, 200, seed=seed)}).axes
        band, *chains = ax.patches
        low, high = band.get_y(), band.get_y() + band.get_height()
        inside += [low <= value <= high for part in chains for value in part.get_data().values]
    assert 0.975 <= np.mean(inside) <= 0.999  # 800 bins at 99 %, of discrete counts


def test_autocorrelations_are_around_the_mean_of_all_chains():
    for ax, samplers in zip(FIGURES["autocorrelations"]().axes, PAST.values(), strict=True):
        for line, (name, draws) in zip(ax.get_lines(), samplers.items(), strict=True):
            away, length = (draws - draws.mean((0, 1))).double(), draws.shape[1]
            every = int(KEPT[name][1] - KEPT[name][0])
            np.testing.assert_array_equal(line.get_xdata(), every * np.arange(length // 2))
            for lag, rho in enumerate(line.get_ydata()):
                covariance = (away[:, : length - lag] * away[:, lag:]).mean((0, 1))
                np.testing.assert_allclose(rho, (covariance / away.square().mean((0, 1))).mean(), atol=1e-6)


def test_chains_that_stay_apart_do_not_forget():
    apart = normal(4, 50, 3) + 10 * torch.arange(4)[:, None, None]
    (ax,) = figures.autocorrelations({"SGLD": torch.arange(50)}, {"weights": {"SGLD": apart}}).axes
    assert min(ax.get_lines()[0].get_ydata()) > 0.9


def test_heat_is_shown_against_speed_with_the_steps_at_the_points():
    (ax,) = FIGURES["heat and speed"]().axes
    bar, *lines = ax.get_lines()
    assert set(bar.get_ydata()) == {0.05}
    for line, (name, excess) in zip(lines, HEAT.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xydata(), np.stack([[0.4, 1.1, 3.0], excess], -1))
    assert [text.get_text() for text in ax.texts] == ["h = 0.0001", "h = 0.0003", "h = 0.001"]
    assert [text.xy for text in ax.texts] == [(0.4, 0.02), (1.1, 0.06), (3.0, 0.3)]


def drawn_curve(bars):
    """Temperatures, means and standard errors of what ``errorbar`` drew."""
    line, _, (verticals,) = bars
    low, high = np.array([segment[:, 1] for segment in verticals.get_segments()]).T
    return {"temperature": line.get_xdata(), "mean": line.get_ydata(), "error": (high - low) / 2}


def test_a_sweep_shows_means_with_errors_and_lines_with_bands():
    fig = figures.sweep(SWEEP, {"sgd": {"nll": (0.3, 0.02), "ece": (0.1, 0.01)}})
    for ax, curve, (mean, error) in zip(fig.axes, SWEEP.values(), [(0.3, 0.02), (0.1, 0.01)], strict=True):
        found = drawn_curve(ax.containers[0])
        assert {name: found[name] == pytest.approx(values) for name, values in curve.items()} == dict.fromkeys(
            curve, True
        )
        assert [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"] == [[mean, mean]]
        (band,) = ax.patches
        assert (band.get_y(), band.get_height()) == pytest.approx((mean - error, 2 * error))
        assert ax.get_xscale() == "log"


def test_a_panel_of_a_hypothesis_has_its_curve_its_verdict_and_the_first_one():
    fig = figures.hypotheses(BLAMED, dict.fromkeys(BLAMED, "cold"))
    assert [ax.get_title() for ax in fig.axes] == [f"{name}: cold" for name in BLAMED]
    for ax, name in zip(fig.axes, BLAMED, strict=True):
        shown = [drawn_curve(bars)["mean"].tolist() for bars in ax.containers]
        assert shown == [BLAMED[other]["mean"] for other in dict.fromkeys(("clean", name))]


def test_a_fit_has_one_colour_in_every_panel_and_its_values_are_drawn():
    fig = figures.courses(COURSES, "step of the sampler", {"distance": {"floor": 0.5}})
    for ax, (quantity, curves) in zip(fig.axes, COURSES.items(), strict=True):
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert set(lines) == set(curves) | ({"floor"} if quantity == "distance" else set())
        for name, (at, values) in curves.items():
            assert (list(lines[name].get_xdata()), list(lines[name].get_ydata())) == (at, values)
            assert lines[name].get_color() == fig.axes[0].get_lines()[1 + list(curves).index(name)].get_color()


def test_detection_is_shown_with_its_intervals():
    fig = FIGURES["detection"]()
    for ax, (score, methods) in zip(fig.axes, DOTS.items(), strict=True):
        assert ax.get_title() == score.replace("_", " ")
        for bars, (method, points) in zip(ax.containers, methods.items(), strict=True):
            line, _, (whiskers,) = bars.lines
            np.testing.assert_allclose(line.get_xdata(), [value for value, _, _ in points])
            ends = np.array(whiskers.get_segments())[:, :, 0]
            np.testing.assert_allclose(ends, [[low, high] for _, low, high in points])
            assert (line.get_color(), line.get_marker()) == (COLOURS[method], MARKERS[method])
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == [name.replace("_", "-") for name in SETS]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [NAMES[m] for m in METHODS]


def test_roc_curves_are_those_of_each_set_and_method():
    fig = FIGURES["roc"]()
    for ax, (name, methods) in zip(fig.axes, ROC.items(), strict=True):
        *lines, blind = ax.get_lines()
        assert ax.get_title() == name.replace("_", "-") and ax.get_xscale() == "log"
        np.testing.assert_allclose(blind.get_xdata(), blind.get_ydata())
        for line, (method, curve) in zip(lines, methods.items(), strict=True):
            np.testing.assert_allclose(line.get_xydata(), torch.stack(curve, -1))
            assert line.get_color() == COLOURS[method]


def test_histograms_hold_shares_of_all_images_in_common_bins():
    fig = FIGURES["histograms"]()
    pairs = [(method, name) for method in METHODS for name in SETS]
    for ax, (method, name) in zip(fig.axes, pairs, strict=True):
        stairs = [part.get_data() for part in ax.patches if isinstance(part, StepPatch)]
        assert len({tuple(part.edges) for part in stairs}) == 1
        for part, scores in zip(stairs[::2], (WITHIN[method], WITHOUT[name][method]), strict=True):
            assert part.values.sum() == pytest.approx(1)
            np.testing.assert_allclose(part.values * len(scores), np.histogram(scores, part.edges)[0])


def test_learning_curves_are_means_with_standard_errors_a_line_for_each_way_to_ask():
    fig = figures.learning_curves([20, 30, 40, 50], ASKED)
    for ax, method in zip(fig.axes, ("sgld", "apd"), strict=True):
        own = {a: values for (m, a), values in ASKED.items() if m == method}
        bands = of_type(ax, PolyCollection)
        for line, band, values in zip(ax.get_lines(), bands, own.values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [20, 30, 40, 50])
            np.testing.assert_allclose(line.get_ydata(), values.mean(0), rtol=1e-6)
            (path,) = band.get_paths()
            high, low = (float(edge(path.vertices[path.vertices[:, 0] == 30, 1])) for edge in (np.max, np.min))
            error = values[:, 1].std().item() / 5**0.5
            assert (high - low) / 2 == pytest.approx(error, rel=1e-5)
            assert to_hex(line.get_color()) == COLOURS[method]
        assert len({str(line.get_linestyle()) for line in ax.get_lines()}) == len(own)


def test_asked_classes_are_shares_beside_those_of_the_pool():
    pool = torch.tensor([0.1, 0.2, 0.3, 0.4])
    fig = figures.asked_classes(SHARES, pool)
    drawn = [ax for ax in fig.axes if ax.get_visible()]
    for ax, own in zip(drawn, SHARES.values(), strict=True):
        np.testing.assert_allclose(heights(ax.containers[0]), own, rtol=1e-6)
        (line,) = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
        np.testing.assert_allclose(line.get_data().values, pool, rtol=1e-6)


def test_every_way_to_ask_has_a_line_and_a_name_of_its_own():
    from apdlab.figures.active import ACQUIRED, DASHES

    assert set(ACQUISITIONS) == set(ACQUIRED) == set(DASHES)
    assert len(set(map(str, DASHES.values()))) == len(set(ACQUIRED.values())) == len(ACQUISITIONS)
