"""Out-of-distribution detection: how well each score tells sets apart, and what it says inside and outside."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, MARKERS, NAMES, panels, styled

INSIDE, OUTSIDE = "0.35", "#D55E00"


def detection_dots(found: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], sets: Sequence[str]) -> Figure:
    """Show the AUROC of each method on each set with its interval, a panel for each score.

    Args:
        found: Under the name of each score and the id of each method, ``(value, low, high)`` of each set.
        sets: Their names.

    Example:
        >>> len(detection_dots({"predictive_entropy": {"sgld": [(0.9, 0.8, 0.95)]}}, ["uniform"]).axes)
        1
    """
    with styled():
        fig, axes = panels(13, 1.4 + 0.55 * len(sets), columns=len(found), sharey=True)
        for ax, (score, methods) in zip(axes, found.items(), strict=True):
            ax.axvline(0.5, color="0.7", lw=0.8, ls=":")
            for i, (method, points) in enumerate(methods.items()):
                value, low, high = np.array(points).T
                at = np.arange(len(sets)) + 0.7 * ((i + 0.5) / len(methods) - 0.5)
                style = {"color": COLOURS[method], "label": NAMES[method]}
                ax.errorbar(value, at, xerr=[value - low, high - value], fmt=MARKERS[method], ms=4, lw=1, **style)
            ax.set(title=score.replace("_", " "), xlabel="AUROC")
        axes[0].set_yticks(range(len(sets)), [name.replace("_", "-") for name in sets])
        axes[0].set_ylim(len(sets) - 0.5, -0.5)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
    return fig


def roc_curves(curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> Figure:
    """Show how many are found against false alarms, the latter on a logarithmic axis: a panel for each set.

    Args:
        curves: Under the name of each set and the id of each method, shares of false alarms and of those found.

    Example:
        >>> len(roc_curves({"uniform": {"sgld": (np.array([0, 0.1, 1]), np.array([0, 0.9, 1]))}}).axes)
        1
    """
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    with styled():
        height = max(2.8 * rows, 0.23 * max(map(len, curves.values())) + 0.3)  # of panels, or of the legend
        fig, axes = panels(3.4 * columns + 1.8, height, rows, columns, sharex=True, sharey=True)
        for ax, (name, methods) in zip(axes, curves.items(), strict=False):
            for method, (alarms, found) in methods.items():
                ax.step(alarms, found, where="post", color=COLOURS[method], lw=1.5, label=NAMES[method])
            ax.plot(np.geomspace(1e-3, 1), np.geomspace(1e-3, 1), color="0.6", lw=1, ls=":")
            ax.set(title=name.replace("_", "-"), xscale="log", xlim=(1e-3, 1), ylim=(0, 1.02))
        for ax in axes[len(curves) :]:
            ax.remove()
        fig.supxlabel("false alarms: share of images inside", fontsize=10)
        fig.supylabel("share of images outside found", fontsize=10)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return fig


def score_histograms(
    inside: Mapping[str, Tensor], outside: Mapping[str, Mapping[str, Tensor]], label: str, bins: int = 40
) -> Figure:
    """Show what a score says of the images inside and of each set outside, a row for each method.

    Args:
        inside: Scores of the images inside under the id of each method, ``[N]``.
        outside: Those of each set, under its name and the id of each method, ``[M]``.
        label: What the score is, with its unit.
        bins: How many, of equal width over all that is shown.

    Example:
        >>> import torch
        >>> within, without = torch.rand(9), torch.rand(9)
        >>> len(score_histograms({"sgld": within}, {"uniform": {"sgld": without}}, "entropy / nats").axes)
        1
    """
    everything = [*inside.values(), *(s for methods in outside.values() for s in methods.values())]
    edges = np.linspace(min(s.min().item() for s in everything), max(s.max().item() for s in everything), bins + 1)
    with styled():
        size = 1.9 * len(outside) + 1.2, 1.7 * len(inside) + 0.8
        fig, axes = panels(*size, len(inside), len(outside), sharex=True, sharey=True)
        pairs = [(method, name) for method in inside for name in outside]
        for ax, (method, name) in zip(axes, pairs, strict=True):
            _outline(ax, inside[method], edges, INSIDE, "inside")
            _outline(ax, outside[name][method], edges, OUTSIDE, "outside")
            ax.set(yscale="log")
            if method == pairs[0][0]:
                ax.set_title(name.replace("_", "-"))
            if name == pairs[0][1]:
                ax.set_ylabel(f"{NAMES[method]}\nshare of images")
        fig.supxlabel(label, fontsize=10)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return fig


def _outline(ax: Axes, score: Tensor, edges: np.ndarray, colour: str, label: str) -> None:
    share = np.histogram(score.numpy(force=True), edges)[0] / len(score)
    ax.stairs(share, edges, color=colour, fill=True, alpha=0.25)
    ax.stairs(share, edges, color=colour, lw=1.2, label=label)
