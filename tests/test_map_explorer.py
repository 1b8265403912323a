"""Laws of the explorer of maps: every control moves the picture, and the way there leaves no trace."""

import random
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from test_maps import AXIS, GOOD, SIZES, asked, atlas, log_probs

from apdlab import figures
from apdlab.figures import MapView
from apdlab.maps import MEASURES
from apdlab.moments import moments
from apdlab.types import Data
from apdlab.widgets import map_explorer

BEGIN = GOOD._replace(draws=9)


def drawn(view):
    buffer = BytesIO()
    view.fig.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def explorer():
    view = MapView(atlas(), BEGIN)
    grid, image = map_explorer(view).children
    names = ["data_set", "noise", "size", "method", "measure", "draws", "draw", "x1", "x2"]
    assert [child.description for child in grid.children][-2:] == names[-2:]
    return view, dict(zip(names, grid.children, strict=True)), image


@pytest.mark.parametrize("seed", range(4))
def test_a_view_after_many_moves_is_one_that_begins_there(seed):
    dice, view = random.Random(seed), MapView(atlas(), BEGIN)
    parts = len(view.fig.findobj())
    for _ in range(8):
        settings = asked(dice)
        view.show(settings)
    assert view.settings == settings and drawn(view) == drawn(MapView(atlas(), settings))
    view.show(BEGIN)
    assert len(view.fig.findobj()) == parts and drawn(view) == drawn(MapView(atlas(), BEGIN))


MOVES = {
    "data_set": "clusters",
    "noise": 1.0,
    "size": 5,
    "method": "apd",
    "measure": "epistemic",
    "draws": 3,
    "draw": 4,
    "x1": -3.0,
    "x2": 5.0,
}


@pytest.mark.parametrize(("name", "value"), MOVES.items(), ids=MOVES)
def test_a_control_moves_the_picture_and_back(name, value):
    view, controls, image = explorer()
    before, first = image.value, controls[name].value
    controls[name].value = value
    wanted = BEGIN._replace(**{name: value})
    wanted = wanted._replace(draws=min(wanted.draws, SIZES[wanted.method]))
    assert image.value != before and view.settings == wanted
    assert image.value == map_explorer(MapView(atlas(), wanted)).children[1].value
    controls[name].value = first
    assert image.value == before and view.settings == BEGIN


def test_the_sliders_rest_at_a_point_estimate_and_remember():
    view, controls, image = explorer()
    controls["draw"].value = 5
    before = image.value
    controls["method"].value = "sgd"
    assert controls["draws"].disabled and controls["draw"].disabled
    assert (view.settings.draws, view.settings.draw) == (1, 0) and view.title.endswith(": 1 draw")
    controls["method"].value = "sgld"
    assert not controls["draws"].disabled and image.value == before


def test_sliders_of_the_point_walk_over_the_nodes():
    view, controls, _ = explorer()
    assert {(round(s.min, 6), round(s.max, 6), round(s.step, 6)) for s in (controls["x1"], controls["x2"])} == {
        (-5, 5, 2)
    }
    controls["x1"].value = controls["x1"].min + 3 * controls["x1"].step
    assert view._cross.get_xdata()[0] == pytest.approx(float(AXIS[3]))


@pytest.mark.parametrize("measure", MEASURES)
def test_the_view_shows_the_map_on_its_scale(measure):
    view = MapView(atlas(), BEGIN._replace(measure=measure, draws=4))
    found = atlas().log_probs(BEGIN)[:4]
    np.testing.assert_allclose(view._image.get_array(), MEASURES[measure](moments(found)).view(6, 6), atol=1e-9)
    assert view._image.get_clim() == (0, pytest.approx(1 if measure == "mean" else np.log(2)))


def test_uncertainties_of_all_methods_are_on_one_scale():
    data = Data(torch.randn(6, 2), torch.arange(2).repeat_interleave(3))
    said = {m: moments(log_probs(size)) for m, size in SIZES.items()}
    fig = figures.uncertainty_maps(AXIS, data, said, {"sgld": torch.randn(4, 6, 6)})
    shown = [ax.get_images()[0] for ax in fig.axes if ax.get_images()]
    assert len(shown) == 12
    wanted = [MEASURES[name](m).view(6, 6) for m in said.values() for name in MEASURES]
    for image, values in zip(shown, wanted, strict=True):
        np.testing.assert_allclose(image.get_array(), values, atol=1e-9)
    assert {image.get_clim() for image in shown} == {(0, 1.0), (0, np.log(2))}
    assert len({image.get_cmap().name for image in shown}) == 2


GRID = torch.linspace(-2, 2, 9)
M = moments(log_probs(5))
TWO = Data(torch.tensor([[0.0, 1.0], [2.0, -3.0]]), torch.tensor([0, 1]))
FIGURES = {
    "view": lambda: MapView(atlas(), BEGIN._replace(method="apd", draws=2, measure="mean")).fig,
    "maps": lambda: figures.uncertainty_maps(AXIS, TWO, {"sgd": M, "gaussian": M, "hmc": M}, {}),
    "training": lambda: figures.training_maps(AXIS, TWO, {10: M, 1000: M, 2000: M}, M, torch.randn(2000, 3)),
    "bands": lambda: figures.regression_bands(
        Data(GRID[:, None], GRID[:, None]), GRID, {m: (GRID, GRID**2, GRID**2) for m in ("sgd", "hmc")}, GRID
    ),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_no_text_is_cut(make):
    fig = make()
    FigureCanvasAgg(fig).draw()
    boxes = [ax.get_tightbbox() for ax in fig.axes] + [text.get_window_extent() for text in fig.texts]
    everything, whole = Bbox.union(boxes), fig.bbox.padded(1)
    assert (everything.min >= whole.min).all() and (everything.max <= whole.max).all()


def test_bands_are_two_standard_deviations():
    points, noise, doubt = Data(GRID[:, None], GRID[:, None]), torch.full_like(GRID, 3.0), torch.full_like(GRID, 4.0)
    (ax,) = figures.regression_bands(points, GRID, {"sgld": (GRID, noise, doubt)}, GRID).axes
    for band, width in zip(ax.collections[:2], (5.0, 3.0), strict=True):
        top = band.get_paths()[0].vertices
        assert top[:, 1].max() == pytest.approx(2 + 2 * width) and top[:, 1].min() == pytest.approx(-2 - 2 * width)
