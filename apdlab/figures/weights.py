"""Posteriors over weights, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, panels, styled


def weight_pairs(theta: Mapping[str, Tensor], names: Sequence[str]) -> Figure:
    """Show a few weights, or other coordinates, against each other: marginals on the diagonal, pairs below it.

    Args:
        theta: Draws of the chosen coordinates ``[S, d]`` of each method, under its id.
        names: ``d`` names.

    Example:
        >>> import torch
        >>> draws = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        >>> len(weight_pairs({"sgld": draws, "apd": draws + 1}, ["a", "b", "c"]).axes)
        9
    """
    d = len(names)
    values = {method: t.numpy(force=True) for method, t in theta.items()}
    everything = np.concatenate(list(values.values()))
    low, high = everything.min(0), everything.max(0)
    margin = 0.08 * (high - low) + 1e-9
    with styled():
        fig, axes = panels(2.3 * d, 2.05 * d, d, d)
        grid = np.array(axes, dtype=object).reshape(d, d)
        for i in range(d):
            for j in range(d):
                _cell(grid[i, j], values, i, j)
                grid[i, j].set_xlim(low[j] - margin[j], high[j] + margin[j])
                if i > j:
                    grid[i, j].set_ylim(low[i] - margin[i], high[i] + margin[i])
                grid[i, j].set_xlabel(names[j] if i == d - 1 else "")
                grid[i, j].set_ylabel(names[i] if j == 0 and i > 0 else "")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="upper right", bbox_to_anchor=(0.97, 0.97), fontsize=11)
    return fig


def _cell(ax: Axes, values: Mapping[str, np.ndarray], i: int, j: int) -> None:
    if i < j:
        ax.set_visible(False)
    for method, v in values.items():
        if i == j:
            sns.kdeplot(x=v[:, i], ax=ax, color=COLOURS[method], fill=True, alpha=0.25, lw=1.5, label=NAMES[method])
        elif i > j:
            ax.scatter(v[:, j], v[:, i], s=4, color=COLOURS[method], alpha=0.35, lw=0, rasterized=True)
    if i == j:
        ax.set_yticks([])
