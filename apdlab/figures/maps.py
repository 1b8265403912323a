"""Maps of what posteriors say all over a square, and a view of one of them that is kept and moved."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from contourpy import contour_generator
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.atlas import Atlas, Look, Settings, in_words, look
from apdlab.figures.style import COLOURS, NAMES, figure, panels, styled
from apdlab.maps import MEASURES
from apdlab.moments import Moments
from apdlab.types import Data

LOG_2 = math.log(2)  # nats: of a toss-up between two classes, and where every scale of uncertainty ends
TITLES = {
    "mean": "mean probability, class 1",
    "total": "total uncertainty",
    "aleatoric": "aleatoric: agreed on",
    "epistemic": "epistemic: disagreed on",
}
_SCALES = {name: ("viridis", LOG_2) for name in TITLES} | {"mean": ("RdBu_r", 1.0)}
_CLASSES = (("o", "#2166ac"), ("s", "#b2182b"))  # the two ends of the scale of probabilities


def uncertainty_maps(axis: Tensor, data: Data, said: Mapping[str, Moments], log_odds: Mapping[str, Tensor]) -> Figure:
    """Show maps of several posteriors, a row each, all uncertainties on one scale, 0 to log 2 nats.

    Args:
        axis: Nodes of each side, ``[P]``.
        data: The examples, ``x [n, 2]``, ``y [n]``.
        said: Moments on the nodes of ``square(P)``, under the ids of methods.
        log_odds: Of single draws of each method, ``[S, P, P]``: their boundaries are drawn over its first map.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> said = {"sgld": moments(torch.full((2, 9, 2), 0.5).log())}
        >>> data = Data(torch.zeros(2, 2), torch.tensor([0, 1]))
        >>> len(uncertainty_maps(torch.linspace(-5, 5, 3), data, said, {}).axes)
        6
    """
    with styled():
        fig, axes = panels(9.6, 2.2 * len(said) + 0.95, len(said), len(TITLES), sharex=True, sharey=True)
        ticks = [float(axis[0]), float(axis[0] + axis[-1]) / 2, float(axis[-1])]
        axes[0].set(xticks=ticks, yticks=ticks)  # of all: to search for them in each is a quarter of the drawing
        columns = [axes[j :: len(TITLES)] for j in range(len(TITLES))]
        for (name, title), places in zip(TITLES.items(), columns, strict=True):
            for ax, m in zip(places, said.values(), strict=True):
                image = _map(ax, axis, MEASURES[name](m).view(len(axis), len(axis)), name)
                _points(ax, data)
            places[0].set_title(title)
            places[-1].set_xlabel("x1")
            if name == "mean":
                fig.colorbar(image, ax=places, location="bottom", label="probability", aspect=12)
        for ax, method in zip(columns[0], said, strict=True):
            ax.add_collection(_lines(axis, log_odds.get(method, ()), color="0.1", lw=0.5, alpha=0.6))
            ax.set_ylabel(f"{NAMES[method]}\nx2")
        rest = [ax for places in columns[1:] for ax in places]
        label = "uncertainty, nats: 0 is sure, log 2 = 0.693 a toss-up"
        fig.colorbar(image, ax=rest, location="bottom", label=label, aspect=36)
    return fig


def training_maps(axis: Tensor, data: Data, steps: Mapping[int, Moments], goal: Moments, cost: Tensor) -> Figure:
    """Show the mean prediction of a generator at several steps of its training, and the critic's cost.

    Args:
        axis: Nodes of each side, ``[P]``.
        data: The examples.
        steps: Moments on the nodes of ``square(P)``, under the number of the step.
        goal: Of the draws that it learns from.
        cost: Of the critic, ``[steps, G]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> m, data = moments(torch.full((2, 9, 2), 0.5).log()), Data(torch.zeros(2, 2), torch.tensor([0, 1]))
        >>> len(training_maps(torch.linspace(-5, 5, 3), data, {10: m, 20: m}, m, torch.zeros(20, 2)).axes)
        5
    """
    with styled():
        fig = figure(2.0 * (len(steps) + 1) + 0.8, 4.6)
        top, bottom = fig.subfigures(2, 1, height_ratios=[1.35, 1])
        places = top.subplots(1, len(steps) + 1, sharey=True)
        named = {f"step {step:,}": m for step, m in steps.items()} | {"what it learns from": goal}
        for ax, (name, m) in zip(places, named.items(), strict=True):
            image = _map(ax, axis, MEASURES["mean"](m).view(len(axis), len(axis)), "mean")
            _points(ax, data)
            ax.set(title=name, xlabel="x1")
        places[0].set_ylabel("x2")
        top.colorbar(image, ax=list(places), label="mean probability", shrink=0.85)
        ax = bottom.subplots()
        at = np.arange(1, len(cost) + 1)
        ax.plot(at, cost.numpy(force=True), lw=0.6, alpha=0.5, color=COLOURS["apd"])
        ax.plot(at, cost.mean(1).numpy(force=True), lw=1.6, color=COLOURS["apd"])
        for step in steps:
            ax.axvline(step, color="0.5", lw=0.8, ls=":")
        ax.set(xlabel="generator step; dotted: the maps above", ylabel="critic cost", xlim=(0, len(cost) * 1.01))
    return fig


class MapView:
    """A figure of one map of an atlas, one draw's boundary and one point, kept: ``show`` moves it.

    Left, the map with the examples, the boundary of a single draw (line) and the point (cross); right, what the draws
    say of the point.

    Args:
        atlas: Everything that can be shown.
        settings: What is at first.

    Example:
        >>> import torch
        >>> from apdlab.atlas import Sheet
        >>> data = Data(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
        >>> sheet = Sheet(data, {"sgld": torch.full((6, 9, 2), 0.5).log()})
        >>> atlas = Atlas(torch.linspace(-5, 5, 3), {("clusters", 0.5, 2): sheet})
        >>> view = MapView(atlas, Settings("clusters", 0.5, 2, "sgld"))
        >>> view.show(view.settings._replace(draws=6))
        >>> view.title
        'SGLD on clusters, noise 0.5, 2 points a class: 6 draws'
    """

    def __init__(self, atlas: Atlas, settings: Settings) -> None:
        self.atlas, self.settings = atlas, settings
        seen = look(atlas, settings)
        with styled():
            self.fig = figure(9.6, 4.9)
            self.fig.set_layout_engine("none")  # fixed places: solving for them at each move costs more than drawing
            plane, bar, side = (self.fig.add_axes(box) for box in _PLACES)
            self._image = _map(plane, atlas.axis, seen.image, settings.measure)
            self._boundary = plane.add_collection(_lines(atlas.axis, (), color="white", lw=2.2))
            self._line = plane.add_collection(_lines(atlas.axis, (), color="0.05", lw=1.1))
            self._points = [plane.plot([], [], **style)[0] for style in _point_styles(6)]
            self._cross = plane.plot([], [], "X", ms=11, mfc="#ffd700", mec="black", mew=1.2, ls="")[0]
            plane.set(xlabel="x1", ylabel="x2")
            self._bar = self.fig.colorbar(self._image, cax=bar)
            self._stairs = side.stairs(np.zeros(20), np.linspace(0, 1, 21), fill=True, color=COLOURS["sgld"])
            self._mean = side.axvline(0.5, color="0.1", lw=1.3, ls="--")
            side.set(
                xlim=(0, 1), ylim=(0, 1.02), xlabel="probability of class 1, at the cross", ylabel="share of draws"
            )
            self._title = plane.text(0, 1.05, " ", transform=plane.transAxes, fontsize=11)
            words = {"va": "top", "fontsize": 10, "family": "monospace", "linespacing": 1.35}
            self._words = side.text(0, 1.85, " ", transform=side.transAxes, **words)
            self._frames = [ax.spines[edge] for ax in (plane, side) for edge in ("left", "bottom")]
            self.show(settings)

    @property
    def title(self) -> str:
        """What is shown."""
        return self._title.get_text()

    @property
    def moving(self) -> list[Artist]:
        """What ``show`` moves, from below; the colour bar, too, changes with the measure."""
        lines = [self._boundary, self._line, *self._points, self._cross]
        return [self._image, *lines, self._stairs, self._mean, *self._frames, self._title, self._words]

    def show(self, settings: Settings) -> None:
        """Move to other settings.

        Raises:
            ValueError: If the atlas does not have them.
        """
        seen = look(self.atlas, settings)
        self.settings = settings
        cmap, top = _SCALES[settings.measure]
        self._image.set(data=seen.image.numpy(force=True), cmap=cmap, clim=(0, top))
        self._bar.set_label(TITLES[settings.measure] + (", nats" if settings.measure != "mean" else ""))
        lines = _contours(self.atlas.axis, seen.log_odds)
        for part in (self._boundary, self._line):
            part.set_segments(lines)
        for k, part in enumerate(self._points):
            part.set_data(*seen.data.x[seen.data.y == k].numpy(force=True).T)
        self._cross.set_data([seen.point[0]], [seen.point[1]])
        self._say(seen)

    def _say(self, seen: Look) -> None:
        s, opinions = self.settings, seen.opinions.numpy(force=True)
        self._stairs.set_data(np.histogram(opinions, np.linspace(0, 1, 21))[0] / len(opinions))
        self._stairs.set_facecolor(COLOURS[s.method])
        self._mean.set_xdata([opinions.mean()] * 2)
        many = "1 draw" if s.draws == 1 else f"{s.draws} draws"
        where = f"{NAMES[s.method]} on {s.data_set}, noise {s.noise:g}, {s.size} points a class"
        self._title.set_text(f"{where}: {many}")
        self._words.set_text(
            f"at ({seen.point[0]:.1f}, {seen.point[1]:.1f}), nats of {LOG_2:.3f}:\n"
            f"total     {seen.total:6.3f}\naleatoric {seen.aleatoric:6.3f}\nepistemic {abs(seen.epistemic):6.3f}\n"
            f"{in_words(seen.total, seen.epistemic)}\nline: boundary of draw {s.draw}"
        )


_PLACES = (0.06, 0.11, 0.4, 0.78), (0.475, 0.11, 0.015, 0.78), (0.62, 0.11, 0.36, 0.4)


def _map(ax: Axes, axis: Tensor, values: Tensor, measure: str) -> object:
    low, high = float(axis[0]), float(axis[-1])
    pad = (high - low) / (len(axis) - 1) / 2  # nodes are the middles of pixels
    cmap, top = _SCALES[measure]
    style = {
        "origin": "lower",
        "interpolation": "bilinear",
        "cmap": cmap,
        "vmin": 0,
        "vmax": top,
        "extent": (low - pad, high + pad) * 2,
    }
    return ax.imshow(values.numpy(force=True), **style)


def _point_styles(size: float) -> list[dict]:
    edge = {"ls": "", "ms": size, "mec": "white", "mew": 0.7}
    return [{"marker": marker, "mfc": colour, **edge} for marker, colour in _CLASSES]


def _points(ax: Axes, data: Data) -> None:
    for k, style in enumerate(_point_styles(4)):
        ax.plot(*data.x[data.y == k].numpy(force=True).T, **style)


def _contours(axis: Tensor, log_odds: Tensor) -> list[np.ndarray]:
    at = axis.numpy(force=True)
    return contour_generator(at, at, log_odds.numpy(force=True)).lines(0.0)


def _lines(axis: Tensor, log_odds: Sequence[Tensor] | Tensor, **style: object) -> LineCollection:
    return LineCollection([line for one in log_odds for line in _contours(axis, one)], **style)
