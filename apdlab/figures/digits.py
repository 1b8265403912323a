"""Images and what is predicted for them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, bare, panels, styled


def image_grid(x: Tensor, titles: Sequence[str], columns: int = 10) -> Figure:
    """Show images in a grid, each under its title.

    Args:
        x: Images ``[N, 1, H, W]``, dark background at -1.
        titles: ``N`` texts.
        columns: How many in a row.

    Example:
        >>> import torch
        >>> len(image_grid(torch.zeros(3, 1, 8, 8), ["a", "b", "c"], columns=3).axes)
        3
    """
    rows = -(-len(x) // columns)
    with styled():
        fig, axes = panels(0.95 * columns, 1.2 * rows, rows, columns)
        for ax in axes:
            bare(ax)
        for ax, image, title in zip(axes, x, titles, strict=False):
            _image(ax, image).set_title(title, fontsize=9)
    return fig


def predictive_rows(x: Tensor, y: Tensor, probs: Mapping[str, Tensor], titles: Sequence[str] | None = None) -> Figure:
    """Show images with the predictive distribution of each method: bars are means, whiskers 5 to 95 % of its draws.

    Args:
        x: Images ``[N, 1, H, W]``.
        y: Labels ``[N]``, marked on the axis.
        probs: Class probabilities of the draws of each method, ``[S, N, C]``, under its id.
        titles: ``N`` texts over the images; the label by default.

    Example:
        >>> import torch
        >>> fig = predictive_rows(torch.zeros(2, 1, 8, 8), torch.tensor([1, 2]), {"sgld": torch.full((5, 2, 10), 0.1)})
        >>> len(fig.axes)
        4
    """
    titles = titles or [f"label {label}" for label in y.tolist()]
    with styled():
        fig, axes = panels(1.75 * len(x), 3.6, 2, len(x), height_ratios=[1, 1.5], sharey="row")
        for n, (image, bars) in enumerate(zip(axes[: len(x)], axes[len(x) :], strict=True)):
            bare(_image(image, x[n])).set_title(titles[n], fontsize=9)
            _bars(bars, {method: p[:, n] for method, p in probs.items()}, int(y[n]))
        axes[len(x)].set_ylabel("probability")
        handles, labels = axes[-1].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(probs))
    return fig


def _image(ax: Axes, image: Tensor) -> Axes:
    ax.imshow(image.squeeze(0).numpy(force=True), cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    return ax


def _bars(ax: Axes, probs: Mapping[str, Tensor], label: int) -> None:
    width = 0.8 / len(probs)
    for i, (method, p) in enumerate(probs.items()):
        low, mean, high = (
            np.quantile(p.numpy(force=True), 0.05, 0),
            p.mean(0).numpy(force=True),
            np.quantile(p.numpy(force=True), 0.95, 0),
        )
        at = np.arange(p.shape[-1]) + (i - (len(probs) - 1) / 2) * width
        ax.bar(at, mean, width, color=COLOURS[method], label=NAMES[method])
        ax.vlines(at, low, high, color="0.25", lw=0.8)
    ax.set(ylim=(0, 1.02), xlabel="class")
    ax.set_xticks(range(p.shape[-1]), [str(k) for k in range(p.shape[-1])])
    ax.get_xticklabels()[label].set_fontweight("bold")
