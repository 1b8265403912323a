"""One look for all figures: a colour per method, thin spines, and figures that belong to no global state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

_PALETTE = sns.color_palette("colorblind").as_hex()
_INDEX = {"sgld": 0, "apd": 1, "gaussian": 2, "mean": 7, "sgd": 3, "ensemble": 4, "dropout": 5, "thinned": 9}
# Lines in the yellow and the pale pink that are left of the palette cannot be seen on white.
COLOURS: dict[str, str] = {method: _PALETTE[i] for method, i in _INDEX.items()} | {
    "swag": "#332288",
    "mixture": "#882255",
    "hmc": "#1a1a1a",
    "flow": "#117733",
    "apd_raw": "#AA4499",
    "brightness": "#666633",
}
# So many colours are too many for an eye that sees two pigments: where points are drawn, their shape tells, too.
MARKERS: dict[str, str] = dict(zip(COLOURS, "osDXv^<>Pp*h8d", strict=True))
NAMES: dict[str, str] = {
    "sgld": "SGLD",
    "apd": "APD",
    "gaussian": "low-rank Gaussian",
    "mean": "mean of the weights",
    "sgd": "SGD",
    "ensemble": "deep ensemble",
    "dropout": "MC-dropout",
    "thinned": "stored draws",
    "swag": "SWAG",
    "mixture": "Gaussian mixture",
    "hmc": "HMC",
    "flow": "flow matching",
    "apd_raw": "APD on raw weights",
    "brightness": "brightness",
}
_STYLE = sns.axes_style("ticks") | {
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of this package."""
    with mpl.rc_context(_STYLE):
        yield


def figure(width: float, height: float) -> Figure:
    """Make a figure of this size in inches that no global state knows, so that nothing needs to be closed.

    Example:
        >>> with styled():
        ...     len(figure(4, 3).axes)
        0
    """
    return Figure(figsize=(width, height))


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: object) -> tuple[Figure, list[Axes]]:
    """Make a figure with a grid of axes, row by row.

    Example:
        >>> with styled():
        ...     fig, axes = panels(6, 3, columns=2)
        >>> len(axes)
        2
    """
    fig = figure(width, height)
    grid = fig.subplots(rows, columns, squeeze=False, **kwargs)
    return fig, list(grid.flat)


def bare(ax: Axes) -> Axes:
    """Take ticks and spines from an axes that shows an image."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


__all__ = ["COLOURS", "MARKERS", "NAMES", "bare", "figure", "panels", "styled"]


def plain_ticks(ax: Axes, subs: Sequence[float] = (1.0,)) -> None:
    """Label a logarithmic axis at these multiples of powers of ten, without exponents."""
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
