"""Regression: a mean, what noise alone leaves open around it, and what the draws disagree on besides."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, panels, styled
from apdlab.types import Data


def error_bars(points: Data, grid: Tensor, mean: Tensor, noise: Tensor, doubt: Tensor, truth: Tensor) -> Figure:
    """Show a predictive mean with two standard deviations around it, and beside it what these are made of.

    ``total^2 = noise^2 + doubt^2``: noise (aleatoric) is what more data would not settle, doubt (epistemic) what they
    would.

    Args:
        points: What was learned from, ``x [N, 1]`` and ``y [N, 1]``.
        grid: Where the rest is known, ascending, ``[M]``.
        mean: Of the prediction, ``[M]``.
        noise: Standard deviation of the noise, ``[M]``.
        doubt: Standard deviation of the mean over draws, ``[M]``.
        truth: The function without noise, ``[M]``.

    Example:
        >>> import torch
        >>> from apdlab.data import cubic
        >>> grid = torch.linspace(-6, 6, 50)
        >>> points, ones = cubic(torch.Generator().manual_seed(0)), torch.ones(50)
        >>> len(error_bars(points, grid, grid**3, 3 * ones, ones, grid**3).axes)
        2
    """
    at, middle, sd, spread, true = (values.numpy(force=True) for values in (grid, mean, noise, doubt, truth))
    x, y = (part[:, 0].numpy(force=True) for part in points)
    total = np.hypot(sd, spread)
    with styled():
        fig, (left, right) = panels(9.6, 3.8, columns=2, width_ratios=[3, 2])
        for width, alpha, label in ((total, 0.18, "noise and doubt, 2 sd"), (sd, 0.32, "noise alone, 2 sd")):
            band = {"color": COLOURS["sgld"], "alpha": alpha, "lw": 0}
            left.fill_between(at, middle - 2 * width, middle + 2 * width, label=label, **band)
        left.plot(at, middle, color=COLOURS["sgld"], lw=1.8, label="mean of the draws")
        left.plot(at, true, color="0.35", lw=1.2, ls="--", label="truth")
        left.scatter(x, y, s=12, color="0.1", zorder=3, label="data")
        left.set(xlabel="x", ylabel="y", xlim=(at[0], at[-1]))
        for values, style, label in ((total, "-", "noise and doubt"), (spread, "-.", "doubt"), (sd, ":", "noise")):
            right.plot(at, values, color=COLOURS["sgld"], ls=style, lw=1.8, label=label)
        right.plot(x, np.zeros_like(x), "|", color="0.1", ms=9, label="data", clip_on=False, zorder=3)
        right.set(xlabel="x", ylabel="standard deviation of y", xlim=(at[0], at[-1]))
        right.set_ylim(bottom=0)
        for ax in (left, right):
            ax.legend(loc="upper center")
    return fig
