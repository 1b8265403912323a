"""When to pass an input on: the doubt of a posterior about its own kind of inputs, and about strangers."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from torch import Tensor

from apdlab.figures.style import COLOURS, bare, figure, styled


class ThresholdView:
    """A figure of doubt with a threshold above which an input is passed on, and is kept: ``show`` moves the threshold.

    Above, how doubt is spread over own inputs and over strangers, with the share of each that is answered; below, the
    own inputs on both sides of the threshold.

    Args:
        x: Own images ``[N, 1, H, W]``.
        titles: ``N`` texts.
        doubt: About each of them, e.g. the mutual information, ``[N]``.
        right: Whether each was predicted right, boolean, ``[N]``.
        strangers: Doubt ``[M]`` about inputs of another kind, under a name for each kind.
        threshold: Where it stands at first.
        beside: How many images to show on each side.

    Raises:
        ValueError: If there is not one image, title and truth value for each doubt.

    Example:
        >>> import torch
        >>> doubt, right = torch.tensor([0.1, 0.2, 0.6]), torch.tensor([True, True, False])
        >>> view = ThresholdView(torch.zeros(3, 1, 8, 8), "abc", doubt, right, {"noise": torch.ones(5)}, 0.3)
        >>> view.fig.get_suptitle()
        'threshold 0.30: 67 % of your inputs answered, 0.0 % of these wrong'
    """

    def __init__(
        self,
        x: Tensor,
        titles: Sequence[str],
        doubt: Tensor,
        right: Tensor,
        strangers: Mapping[str, Tensor],
        threshold: float,
        beside: int = 5,
    ) -> None:
        for name, part in {"x": x, "titles": titles, "right": right}.items():
            if len(part) != len(doubt):
                raise ValueError(f"{name} has {len(part)} rows; wanted {len(doubt)}, one for each of doubt")
        order = doubt.argsort().numpy(force=True)
        self.doubt, self.right = (part.numpy(force=True)[order] for part in (doubt, right))
        self.x, self.titles = x.squeeze(1).numpy(force=True)[order], [titles[i] for i in order]
        self.groups = {"yours": self.doubt} | {name: part.numpy(force=True) for name, part in strangers.items()}
        self.top = float(max(part.max() for part in self.groups.values()))
        self.threshold, self.beside = threshold, beside
        with styled():
            self.fig = figure(9.6, 4.8)
            self._title = self.fig.suptitle("")  # kept: another call would put it elsewhere
            widths = [1] * beside + [0.4] + [1] * beside
            grid = self.fig.add_gridspec(2, len(widths), height_ratios=[2.4, 1], width_ratios=widths)
            self._histograms(self.fig.add_subplot(grid[0, :]))
            sides = {"answered: the most doubtful of these": 0, "passed on: the least doubtful of these": beside + 1}
            for text, first in sides.items():
                bare(self.fig.add_subplot(grid[1, first : first + beside])).set_xlabel(text)
            columns = [first + i for first in sides.values() for i in range(beside)]
            self._images = [bare(self.fig.add_subplot(grid[1, column])) for column in columns]
            for ax in self._images:
                ax.imshow(self.x[0], cmap="gray_r", vmin=-1, vmax=1)
                ax.set_title(" ", fontsize=9)
            self.show(threshold)
            self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")  # solved once: solving it again at each move costs more than the drawing

    def show(self, threshold: float) -> None:
        """Move the threshold: inputs of that much doubt or less are answered."""
        self.threshold = threshold
        cut = int((self.doubt <= threshold).sum())
        wrong = f"{100 * (1 - self.right[:cut].mean()):.1f} % of these wrong" if cut else "nothing to be wrong about"
        share = f"{100 * cut / len(self.doubt):.0f} % of your inputs answered"
        self._title.set_text(f"threshold {threshold:.2f}: {share}, {wrong}")
        self._line.set_xdata([threshold, threshold])
        self._shade.set_x(threshold)
        self._shade.set_width(max(0, self._end - threshold))
        for text, (name, doubt) in zip(self._legend.get_texts(), self.groups.items(), strict=True):
            text.set_text(f"{name}: {100 * (doubt <= threshold).mean():.0f} % answered")
        for place, ax in enumerate(self._images, cut - self.beside):
            self._image(ax, place)

    def _image(self, ax: Axes, place: int) -> None:
        (image,) = ax.get_images()
        inside = 0 <= place < len(self.x)
        image.set_visible(inside)
        ax.set_title(self.titles[place] if inside else " ", fontsize=9)
        if inside:
            image.set_data(self.x[place])
            ax.title.set_color("0.1" if self.right[place] else "firebrick")

    def _histograms(self, ax: Axes) -> None:
        self._end = 1.02 * self.top
        bins = np.linspace(0, self.top, 41)
        for i, (name, doubt) in enumerate(self.groups.items()):
            style = {"histtype": "stepfilled", "color": COLOURS["sgld"], "alpha": 0.45}
            if i:  # strangers are lines, told apart by dashes as well
                colour = sns.color_palette("flare", len(self.groups) - 1)[i - 1]
                style = {"histtype": "step", "color": colour, "ls": ("--", "-.", ":")[(i - 1) % 3], "lw": 1.8}
            label = f"{name}: 100 % answered"  # the widest text, for the layout
            ax.hist(doubt, bins, weights=np.full(len(doubt), 1 / len(doubt)), label=label, **style)
        self._line = ax.axvline(self.threshold, color="0.1", lw=1.5)
        self._shade = ax.axvspan(self.threshold, self._end, color="0.5", alpha=0.12, lw=0)
        ax.set(xlabel="doubt: mutual information, nats", ylabel="share of inputs", xlim=(0, self._end))
        self._legend = ax.legend(loc="upper right")
