"""What bytes buy: quality against the size of what has to be stored."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apdlab.figures.style import COLOURS, MARKERS, NAMES, panels, plain_ticks, styled

LABELS = {
    "accuracy": "accuracy",
    "nll": "NLL, nats",
    "brier": "Brier score",
    "ece": "ECE",
    "mutual_information": "mutual information, nats",
    "tv": "total variation of predictions",
    "tv_other": "total variation, another chain",
    "correlation": "correlation of uncertainties",
}


def frontier(points: Mapping[str, Mapping[str, Sequence[float]]], reference: Mapping[str, float]) -> Figure:
    """Show measures of each method against its size: a small point a repeat, a line through the means of each size.

    Args:
        points: Under the id of each method, ``"networks"``, its sizes in networks of the same architecture, one a
            repeat, and as many values of each measure, e.g. ``"nll"``.
        reference: Values of the whole chain, a dashed line; measures that have none are left without.

    Raises:
        ValueError: If the methods have different measures, or a measure not one value a size.

    Example:
        >>> points = {"thinned": {"networks": [1, 1, 8], "nll": [0.12, 0.14, 0.09]}}
        >>> len(frontier(points, {"nll": 0.08}).axes)
        1
    """
    measures = _measures(points)
    with styled():
        fig, axes = panels(3.1 * len(measures) + 2, max(3, 0.23 * len(points) + 0.3), columns=len(measures))
        fig.get_layout_engine().set(wspace=0.03)
        for ax, measure in zip(axes, measures, strict=True):
            if measure in reference:
                ax.axhline(reference[measure], color=COLOURS["sgld"], lw=1.2, ls="--", label="whole chain (SGLD)")
            for method, values in points.items():
                _repeats(ax, values["networks"], values[measure], method)
            ax.set(xscale="log", xlabel="size, networks", ylabel=LABELS.get(measure, measure))
            plain_ticks(ax, (1, 3))
        handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        fig.legend(handles.values(), handles, loc="outside right upper")
    return fig


def _repeats(ax: Axes, sizes: Sequence[float], values: Sequence[float], method: str) -> None:
    style = {"color": COLOURS[method], "marker": MARKERS[method]}
    ax.plot(sizes, values, ls="", ms=4, alpha=0.45, mew=0, **style)
    mean = {size: fmean(v for s, v in zip(sizes, values, strict=True) if s == size) for size in sorted(set(sizes))}
    ax.plot(list(mean), list(mean.values()), lw=1.5, ms=7, mec="white", mew=0.7, label=NAMES[method], **style)


def _measures(points: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    first, *_ = points.values()
    wanted = {name: None for name in first if name != "networks"}
    for method, values in points.items():
        if set(values) != {"networks", *wanted}:
            raise ValueError(f"points[{method!r}] has {', '.join(values)}; wanted networks, {', '.join(wanted)}")
        for name in wanted:
            if len(values[name]) != len(values["networks"]):
                raise ValueError(
                    f"points[{method!r}][{name!r}] has {len(values[name])} values; "
                    f"wanted {len(values['networks'])}, one for each of networks"
                )
    return list(wanted)
