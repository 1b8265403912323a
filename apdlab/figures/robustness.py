"""What attacks do: accuracy and doubt against their size, and how they carry over from one posterior to another."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, MARKERS, NAMES, panels, styled

_LABELS = {"entropy": "predictive entropy, nats", "mutual_information": "mutual information, nats"}


def against_size(eps: Sequence[float], curves: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show accuracy, or doubt, against the size of an attack: means over seeds, in bands from smallest to largest.

    Args:
        eps: Sizes ``[E]``, on pixels of [0, 1].
        curves: Under what is measured, e.g. ``"accuracy"``, values ``[R, E]`` of ``R`` seeds under each method's id.

    Example:
        >>> len(against_size([0.1, 0.2], {"accuracy": {"sgld": np.ones((3, 2))}}).axes)
        1
    """
    with styled():
        fig, axes = panels(4.2 * len(curves) + 1, 3.4, columns=len(curves))
        for ax, (what, methods) in zip(axes, curves.items(), strict=True):
            for method, values in methods.items():
                _curve(ax, eps, np.asarray(values), method)
            ax.set(xlabel=r"size of the attack, on pixels of [0, 1]", ylabel=_LABELS.get(what, what))
            ax.set_ylim(bottom=0)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return fig


def transfer_matrix(accuracy: Tensor, methods: Sequence[str]) -> Figure:
    """Show the accuracy of targets (columns) on what was found against sources (rows); the diagonal is white-box.

    Args:
        accuracy: ``[sources, targets]``.
        methods: The id of each.

    Example:
        >>> import torch
        >>> len(transfer_matrix(torch.eye(2), ["sgd", "sgld"]).axes)
        2
    """
    names, values = [NAMES[method] for method in methods], accuracy.numpy(force=True)
    with styled():
        fig, (ax,) = panels(1.6 + 0.85 * len(names), 1.2 + 0.6 * len(names))
        image = ax.imshow(values, cmap="cividis", vmin=0, vmax=1)
        for row, column in np.ndindex(*values.shape):
            shade = "white" if values[row, column] < 0.5 else "0.1"
            ax.text(column, row, f"{values[row, column]:.2f}", ha="center", va="center", color=shade)
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="attacked images are shown to", ylabel="found against")
        fig.colorbar(image, ax=ax, label="accuracy")
    return fig


def _curve(ax: Axes, eps: Sequence[float], values: np.ndarray, method: str) -> None:
    style = {"color": COLOURS[method], "marker": MARKERS[method], "ms": 4, "lw": 1.4}
    ax.plot(eps, values.mean(0), label=NAMES[method], **style)
    ax.fill_between(eps, values.min(0), values.max(0), color=COLOURS[method], alpha=0.18, lw=0)
