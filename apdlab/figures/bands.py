"""Regression by several posteriors side by side: mean, noise, and doubt around it."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, panels, styled
from apdlab.types import Data


def regression_bands(
    points: Data, grid: Tensor, bands: Mapping[str, tuple[Tensor, Tensor, Tensor]], truth: Tensor
) -> Figure:
    """Show the predictive mean of each posterior with two standard deviations: ``total^2 = noise^2 + doubt^2``.

    Args:
        points: What was learned from, ``x [N, 1]`` and ``y [N, 1]``.
        grid: Where the rest is known, ascending, ``[M]``.
        bands: Mean, standard deviation of the noise, and of the mean over draws, each ``[M]``, under a method's id.
        truth: The function without noise, ``[M]``.

    Example:
        >>> import torch
        >>> from apdlab.data import cubic
        >>> grid, points = torch.linspace(-6, 6, 50), cubic(torch.Generator().manual_seed(0))
        >>> ones = torch.ones(50)
        >>> len(regression_bands(points, grid, {"sgld": (grid**3, 3 * ones, ones)}, grid**3).axes)
        1
    """
    at, true = grid.numpy(force=True), truth.numpy(force=True)
    x, y = (part[:, 0].numpy(force=True) for part in points)
    with styled():
        fig, axes = panels(2.6 * len(bands) + 0.6, 3.6, columns=len(bands), sharey=True)
        for ax, (method, band) in zip(axes, bands.items(), strict=True):
            mean, noise, doubt = (values.numpy(force=True) for values in band)
            widths = (np.hypot(noise, doubt), 0.18, "noise and doubt, 2 sd"), (noise, 0.4, "noise alone, 2 sd")
            for width, alpha, label in widths:
                sides = at, mean - 2 * width, mean + 2 * width
                ax.fill_between(*sides, color=COLOURS[method], alpha=alpha, lw=0, label=label)
            ax.plot(at, mean, color=COLOURS[method], lw=1.8, label="mean of the draws")
            ax.plot(at, true, color="0.35", lw=1.2, ls="--", label="truth")
            ax.scatter(x, y, s=10, color="0.1", zorder=3, label="data")
            ax.set(xlabel="x", title=NAMES[method], xlim=(at[0], at[-1]), ylim=(1.3 * true.min(), 1.3 * true.max()))
        axes[0].set_ylabel("y")
        handles, labels = axes[-1].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
    return fig
