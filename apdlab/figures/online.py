"""What a fit did while the chains ran."""

from collections.abc import Mapping, Sequence

import seaborn as sns
from matplotlib.figure import Figure

from apdlab.figures.style import COLOURS, panels, styled

_NAMES = ("offline", "online", "fixed early", "FIFO", "as trained", "FIFO, as trained", "restarted")
_LINES = [COLOURS["apd"], *(sns.color_palette("colorblind").as_hex()[i] for i in (0, 2, 3, 4)), "#332288", "#882255"]
_LOOKS = dict(zip(_NAMES, zip(_LINES, "sovD^<X", strict=True), strict=True))  # one of each for each kind of fit
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def courses(
    views: Mapping[str, Curves], along: str, references: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """Show some quantities along the same axis, one panel each, one line a fit.

    Args:
        views: Under the name of each quantity, under the name of each fit (``online``, ``fixed early``, ``FIFO``,
            ``as trained``, ``FIFO, as trained``, ``restarted``, ``offline``): where it was seen, and its values.
        along: What the axis is.
        references: Under the name of a quantity what a grey line says, and where it is.

    Example:
        >>> len(courses({"critic cost": {"online": ([1, 2], [0.1, 0.2])}}, "step of the sampler").axes)
        1
    """
    with styled():
        fig, axes = panels(9.4, 3.5, columns=len(views))
        for ax, (quantity, curves) in zip(axes, views.items(), strict=True):
            for label, height in (references or {}).get(quantity, {}).items():
                ax.axhline(height, color="0.5", lw=1, ls=":", label=label)
            for name, (at, values) in curves.items():
                colour, marker = _LOOKS[name]
                ax.plot(at, values, color=colour, marker=marker, ms=4, lw=1.4, label=name)
            ax.set(xlabel=along, ylabel=quantity)
        handles = {h.get_label(): h for ax in axes for h in ax.get_legend_handles_labels()[0]}
        fig.legend(handles.values(), handles, loc="outside upper center", ncols=min(4, len(handles)))
    return fig
