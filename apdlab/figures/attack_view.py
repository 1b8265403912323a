"""One attack on one image: what was changed, what the draws say before and after, and how much they doubt it."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, bare, figure, styled

_CLEAN = "0.6"


class AttackView:
    """A figure of an attacked image, kept and moved: ``show`` goes to another image, attack, size, steps, posterior.

    Above, the clean image, the perturbation in a scale of its own, the attacked image; below, the class probabilities,
    bars for means and whiskers for 5 to 95 % of the draws, and the doubt, clean (grey) and attacked (coloured).

    Args:
        made: What to show, computed: a ``robustness.Grid``, or any other object with its attributes.
        unit: One pixel of [0, 1] in units of the data; sizes are shown on pixels of [0, 1].

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> rand = lambda *shape: torch.rand(*shape, generator=torch.Generator().manual_seed(0))
        >>> made = SimpleNamespace(
        ...     x=rand(2, 1, 8, 8), y=torch.tensor([3, 1]), axes=(["sgld"], ["PGD"], [0.1, 0.2], [1, 40]),
        ...     found=rand(1, 1, 2, 2, 2, 1, 8, 8), probs=rand(1, 1, 2, 2, 2, 3, 4), doubts=rand(1, 1, 2, 2, 2, 3),
        ...     clean_probs=rand(1, 2, 3, 4), clean_doubts=rand(1, 2, 3))
        >>> view = AttackView(made)
        >>> view.show(image=1, eps=1)
        >>> view.text
        'SGLD, image 1, label 1: PGD of size 0.10 in 1 step: 1 becomes 0'
    """

    def __init__(self, made: object, unit: float = 2.0) -> None:
        self.made, self.unit = made, unit
        self.x, self.found = _numpy(made.x), _numpy(made.found)
        self._probs, self._doubts = _numpy(made.probs), _numpy(made.doubts)
        self._clean = _numpy(made.clean_probs), _numpy(made.clean_doubts)
        with styled():
            self.fig = figure(10.4, 6.2)
            self.fig.set_layout_engine("none")  # fixed places: nothing moves but what is drawn
            self._title = self.fig.text(0.04, 0.955, " ", fontsize=11)
            names = {"clean": "gray_r", "perturbation": "RdBu_r", "attacked": "gray_r"}
            self._images = [self._image(i, name, colours) for i, (name, colours) in enumerate(names.items())]
            classes, top = self._probs.shape[-1], 1.08 * max(self._doubts.max(), self._clean[1].max())
            ax = self.fig.add_axes((0.07, 0.09, 0.52, 0.36))
            self._bars = [_Bars(ax, np.arange(classes) + at, colour) for at, colour in _PLACES]
            ax.set(
                ylim=(0, 1.02),
                xlabel="class (grey: clean; coloured: attacked)",
                ylabel="probability",
                xlim=(-0.6, classes - 0.4),
            )
            ax.set_xticks(range(classes))
            self._mark = ax.axvspan(-0.45, 0.45, color="0.93", lw=0, zorder=0)
            ax = self.fig.add_axes((0.69, 0.09, 0.28, 0.36))
            self._doubt = [_Bars(ax, np.arange(3) + at, colour) for at, colour in _PLACES]
            ax.set(ylim=(0, top), ylabel="doubt, nats")
            ax.set_xticks(range(3), ["total", "aleatoric", "epistemic"])
            self.show()

    @property
    def moving(self) -> list[Artist]:
        """What ``show`` moves."""
        bars = [artist for part in (*self._bars, *self._doubt) for artist in part.artists]
        images = [image for image, _ in self._images]
        return [self._mark, *bars, *images, *(title for _, title in self._images), self._title]

    def show(self, image: int = 0, attack: int = 0, eps: int = 0, steps: int = 0, posterior: int = 0) -> None:
        """Go to an image, and to places along the axes of the grid."""
        place = posterior, attack, eps, steps, image
        found, clean = self.found[place], self.x[image]
        change, label = (found - clean) / self.unit, int(self.made.y[image])
        limit = max(1e-6, float(np.abs(change).max()))
        for (artist, _), shown in zip(self._images, (clean, change, found), strict=True):
            artist.set_data(shown[0])
        self._images[1][0].set_clim(-limit, limit)
        self._images[1][1].set_text(f"perturbation: {-limit:.3f} to {limit:.3f} of [0, 1]")
        probs, doubts = (part[posterior, image] for part in self._clean)
        colour = COLOURS[self.made.axes[0][posterior]]
        self._bars[0].show(probs[1], probs[0], probs[2])
        self._bars[1].show(self._probs[place][1], self._probs[place][0], self._probs[place][2], colour)
        self._doubt[0].show(doubts)
        self._doubt[1].show(self._doubts[place], colour=colour)
        self._mark.set_x(label - 0.45)
        self.text = self._describe(place, label, probs[1].argmax())
        self._title.set_text(self.text)

    def _describe(self, place: tuple[int, ...], label: int, before: int) -> str:
        method, attack, eps, steps = (axis[i] for axis, i in zip(self.made.axes, place, strict=False))
        after = self._probs[place][1].argmax()
        outcome = f"{before} becomes {after}" if after != before else f"still {after}"
        how = f"{attack} of size {eps / self.unit:.2f} in {steps} step{'s' if steps > 1 else ''}"
        return f"{NAMES[method]}, image {place[-1]}, label {label}: {how}: {outcome}"

    def _image(self, i: int, name: str, colours: str) -> tuple:
        ax = bare(self.fig.add_axes((0.05 + 0.32 * i, 0.52, 0.28, 0.36)))
        image = ax.imshow(self.x[0, 0], cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
        return image, ax.set_title(name)


_PLACES = ((-0.2, _CLEAN), (0.2, "0.2"))  # of bars: clean left, attacked right


class _Bars:
    """Bars with whiskers that can be moved."""

    def __init__(self, ax: Axes, at: np.ndarray, colour: str) -> None:
        self.at, self.bars = at, ax.bar(at, 0 * at, 0.36, color=colour)
        self.lines = ax.vlines(at, 0 * at, 0 * at, color="0.15", lw=1)

    @property
    def artists(self) -> list[Artist]:
        return [*self.bars, self.lines]

    def show(
        self,
        heights: np.ndarray,
        low: np.ndarray | None = None,
        high: np.ndarray | None = None,
        colour: str | None = None,
    ) -> None:
        for bar, height in zip(self.bars, heights, strict=True):
            bar.set_height(height)
            if colour:
                bar.set_facecolor(colour)
        if low is not None:
            self.lines.set_segments([[(x, a), (x, b)] for x, a, b in zip(self.at, low, high, strict=True)])


def _numpy(values: Tensor) -> np.ndarray:
    return values.numpy(force=True)
