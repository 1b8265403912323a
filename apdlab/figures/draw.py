"""One network of the posterior at a time: its weights as images, and what it says of an image."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, bare, figure, styled


class DrawView:
    """A figure that shows one draw of each method, and is kept: ``show`` moves it to another draw or example.

    Each row is a method: the weights into its hidden units as images, then the class probabilities of this draw (dark)
    before the mean of all draws (light).

    Args:
        x: Images ``[N, 1, H, W]``.
        y: Labels ``[N]``.
        probs: Class probabilities ``[S, N, C]`` of each method, under its id.
        filters: Weights into the hidden units as images, ``[S, units, H, W]``, of each method.
        columns: How many units in a row.

    Example:
        >>> import torch
        >>> probs, filters = {"sgld": torch.full((5, 2, 10), 0.1)}, {"sgld": torch.zeros(5, 10, 8, 8)}
        >>> view = DrawView(torch.zeros(2, 1, 8, 8), torch.tensor([3, 4]), probs, filters)
        >>> view.show(draw=4, example=1)
        >>> view.fig.get_suptitle()
        'draw 4, image 1, label 4'
    """

    def __init__(
        self, x: Tensor, y: Tensor, probs: Mapping[str, Tensor], filters: Mapping[str, Tensor], columns: int = 5
    ) -> None:
        self.x, self.y = x.squeeze(1).numpy(force=True), y.tolist()
        self.probs = {method: p.numpy(force=True) for method, p in probs.items()}
        self.mosaics = {method: _mosaic(f.numpy(force=True), columns) for method, f in filters.items()}
        self.draws = min(map(len, self.probs.values()))
        with styled():
            self.fig = figure(9.6, 2.1 * len(probs) + 0.6)
            self._title = self.fig.suptitle("")  # kept: another call would put it elsewhere
            grid = self.fig.add_gridspec(len(probs), 3, width_ratios=[1.1, 1.7, 2.2])
            image = bare(self.fig.add_subplot(grid[:, 0]))
            self._image = image.imshow(self.x[0], cmap="gray_r", vmin=-1, vmax=1)
            self._rows = {m: self._row(self.fig.add_subplot, grid[i, 1], grid[i, 2], m) for i, m in enumerate(probs)}
            self.show()
            self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")  # solved once: solving it again at each move costs more than the drawing

    def show(self, draw: int = 0, example: int = 0) -> None:
        """Move to a draw and an example."""
        self._image.set_data(self.x[example])
        self._title.set_text(f"draw {draw}, image {example}, label {self.y[example]}")
        for method, (mosaic, means, bars) in self._rows.items():
            mosaic.set_data(self.mosaics[method][draw])
            for rectangle, height in zip(means, self.probs[method][:, example].mean(0), strict=True):
                rectangle.set_height(height)
            for rectangle, height in zip(bars, self.probs[method][draw, example], strict=True):
                rectangle.set_height(height)

    def _row(self, add: object, left: object, right: object, method: str) -> tuple:
        units: Axes = bare(add(left))
        limit = np.quantile(np.abs(self.mosaics[method]), 0.995)
        mosaic = units.imshow(self.mosaics[method][0], cmap="RdBu_r", vmin=-limit, vmax=limit)
        units.set_title(f"{NAMES[method]}: weights into the hidden units")
        classes = np.arange(self.probs[method].shape[-1])
        ax: Axes = add(right)
        means = ax.bar(classes, 0 * classes, 0.85, color=COLOURS[method], alpha=0.4, label="all draws")
        bars = ax.bar(classes, 0 * classes, 0.4, color=COLOURS[method], label="this draw")
        ax.set(ylim=(0, 1.02), ylabel="probability")
        ax.set_xticks(classes)
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return mosaic, means, bars


def _mosaic(filters: np.ndarray, columns: int) -> np.ndarray:
    """Lay the units ``[S, units, H, W]`` out in rows, ``[S, rows H, columns W]``, a pixel apart."""
    draws, units, height, width = filters.shape
    rows = -(-units // columns)
    sheet = np.zeros((draws, rows * columns, height + 1, width + 1), dtype=filters.dtype)
    sheet[:, :units, :height, :width] = filters
    sheet = sheet.reshape(draws, rows, columns, height + 1, width + 1).swapaxes(2, 3)
    return sheet.reshape(draws, rows * (height + 1), columns * (width + 1))[:, :-1, :-1]
