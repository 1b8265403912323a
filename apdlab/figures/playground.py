"""A sampler at work on two weights: where it is, where it was, and the marginals that this makes."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import figure, panels, styled

_LEVELS = -np.array([12.5, 8, 4.5, 3.125, 2, 1.125, 0.5, 0.125, 0])  # of log p: 5, 4, 3, 2.5 .. standard deviations
_CHAINS = sns.color_palette("dark", 8)
_LIGHT, _DARK = "0.72", "0.15"


class PlaygroundView:
    """A figure of chains on a target over two weights, kept and moved: ``aim`` at a target, ``show`` the chains.

    Left, the target's contours, one standard deviation of a Gaussian apart, with the chains' last states; right, how
    often each weight had which value, before the target's marginal (dark) and the law of the discretised sampler (red).

    Args:
        tail: How many of the last states a chain draws as a line.
        bins: Of the histograms.

    Example:
        >>> import torch
        >>> view, axis = PlaygroundView(), torch.linspace(-3, 3, 31)
        >>> view.aim(axis, axis, -0.5 * (axis[:, None] ** 2 + axis**2), [(axis, torch.exp(-0.5 * axis**2))] * 2)
        >>> view.show(torch.zeros(4, 100, 2), torch.zeros(4, 2), "100 steps")
        >>> len(view.fig.axes)
        3
    """

    def __init__(self, tail: int = 60, bins: int = 60) -> None:
        self.tail, self.bins = tail, bins
        with styled():
            self.fig = figure(9.6, 5.2)
            self.fig.set_layout_engine("none")  # fixed places: solving for them at each frame costs more than drawing
            self._plane = self.fig.add_axes((0.06, 0.1, 0.42, 0.73))
            place = {"x": 0, "y": 1.19, "transform": self._plane.transAxes}
            self._title = self._plane.text(s=" ", va="top", fontsize=10, family="monospace", **place)
            self._sides = [self.fig.add_axes((0.56, bottom, 0.42, 0.3)) for bottom in (0.53, 0.1)]
            self._plane.set(xlabel="weight 1", ylabel="weight 2")
            self._paths = [self._plane.plot([], [], lw=1, alpha=0.75, color=colour)[0] for colour in _CHAINS]
            self._heads = self._plane.scatter([], [], s=28, zorder=4, edgecolor="white", linewidth=0.8)
            self._parts = [self._side(ax, name) for ax, name in zip(self._sides, ("weight 1", "weight 2"), strict=True)]
            self._sides[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, borderaxespad=0.2)

    @property
    def moving(self) -> list[Artist]:
        """What ``show`` moves; the rest changes at ``aim`` only."""
        parts = [part for side in self._parts for part in side]
        return [self._title, *self._paths, self._heads, *parts]

    def aim(self, x: Tensor, y: Tensor, log_p: Tensor, marginals: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Draw a target: axes ``[P]``, log density ``[P, P]``, rows are ``y``; ``(values, density)`` of each weight."""
        for old in list(self._plane.collections):
            if old is not self._heads:
                old.remove()
        height = (log_p - log_p.max()).numpy(force=True)
        self._plane.contourf(x, y, height, levels=_LEVELS, cmap="Blues", alpha=0.8, zorder=0)
        self._plane.set(xlim=(float(x[0]), float(x[-1])), ylim=(float(y[0]), float(y[-1])))
        for ax, (_, line, _), (values, density) in zip(self._sides, self._parts, marginals, strict=True):
            line.set_data(values, density)
            ax.set(xlim=(float(values[0]), float(values[-1])), ylim=(0, 1.6 * float(density.max())))

    def law(self, curves: Sequence[tuple[Tensor, Tensor]] | None) -> None:
        """Draw the law of the discretised sampler, ``(values, density)`` of each weight, or nothing."""
        for (_, _, line), curve in zip(self._parts, curves or [((), ())] * 2, strict=True):
            line.set_data(*curve)

    def show(self, theta: Tensor, position: Tensor, text: str) -> None:
        """Draw the states of chains ``[C, T, 2]``, where they are ``[C, 2]``, and a text of a few lines above them."""
        seen = theta.numpy(force=True)
        for c, path in enumerate(self._paths):
            path.set_data(*(seen[c, -self.tail :].T if c < len(seen) else ((), ())))
        self._heads.set_offsets(position.numpy(force=True))
        self._heads.set_facecolor(_CHAINS[: len(seen)])
        for ax, (steps, _, _), values in zip(self._sides, self._parts, np.moveaxis(seen, -1, 0), strict=True):
            edges = np.linspace(*ax.get_xlim(), self.bins + 1)
            counts = np.histogram(values, edges)[0] / max(1, values.size) / (edges[1] - edges[0])
            steps.set_data(counts, edges)
        self._title.set_text(text)

    def _side(self, ax: Axes, name: str) -> tuple:
        ax.set(xlabel=name, ylabel="density")
        steps = ax.stairs([0], [0, 1], fill=True, color=_LIGHT, label="chains")
        (line,) = ax.plot([], [], color=_DARK, lw=1.4, label="target")
        (law,) = ax.plot([], [], color="#d62728", lw=1.6, ls="--", label="with this step")
        return steps, line, law


def step_size_bias(
    exact: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    measured: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
) -> Figure:
    """Show the variance of a sampler's draws over the posterior's, against its step size.

    Args:
        exact: Step sizes and ratios by the law of each sampler, under its name.
        measured: Step sizes, ratios and their standard errors, under the same names; bars are two errors long.

    Example:
        >>> len(step_size_bias({"SGLD": ([0.1, 0.5], [1.0, 1.1])}, {"SGLD": ([0.5], [1.1], [0.01])}).axes)
        1
    """
    with styled():
        fig, (ax,) = panels(7, 3.6)
        for i, (name, points) in enumerate(measured.items()):
            style = {"color": _CHAINS[i], "marker": "osD^v"[i], "label": name}
            ax.errorbar(points[0], points[1], 2 * np.asarray(points[2]), ls="", ms=5, capsize=2, **style)
            if name in exact:
                ax.plot(*exact[name], color=_CHAINS[i], lw=1.4)
        ax.axhline(1, color="0.5", lw=0.8, ls=":")
        ax.set(xlabel="step size h (of SGLD: square root of eps)", ylabel="variance / posterior variance")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="points: measured\nlines: exact law")
    return fig
