"""Scores against the temperature, and one panel for each thing that may be to blame."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apdlab.figures.frontier import LABELS
from apdlab.figures.style import COLOURS, NAMES, figure, panels, plain_ticks, styled

Curve = Mapping[str, Sequence[float]]


def sweep(curves: Mapping[str, Curve], lines: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Show each score against the temperature, with standard errors, beside what has no temperature.

    Args:
        curves: Under each measure, e.g. ``"nll"``, the lists ``temperature``, ``mean`` and ``error``.
        lines: Under a method's id the mean and the standard error of each measure: a line with a band.

    Example:
        >>> curve = {"temperature": [0.1, 1.0], "mean": [0.2, 0.3], "error": [0.01, 0.01]}
        >>> len(sweep({"nll": curve}, {"sgd": {"nll": (0.25, 0.02)}}).axes)
        1
    """
    with styled():
        fig, axes = panels(2.9 * len(curves) + 1.6, 3, columns=len(curves))
        for ax, (measure, curve) in zip(axes, curves.items(), strict=True):
            for method, found in lines.items():
                mean, error = found[measure]
                ax.axhline(mean, color=COLOURS[method], lw=1.3, ls="--", label=NAMES[method])
                ax.axhspan(mean - error, mean + error, color=COLOURS[method], alpha=0.15, lw=0)
            _errors(ax, curve, color=COLOURS["sgld"], label="SGHMC at T")
            _log_axis(ax, LABELS.get(measure, measure))
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return fig


def hypotheses(curves: Mapping[str, Curve], verdicts: Mapping[str, str], columns: int = 4) -> Figure:
    """Show the NLL against the temperature in a panel for each condition, before that of the first one in grey.

    Args:
        curves: Under each condition, the clean one first, the lists ``temperature``, ``mean`` and ``error``.
        verdicts: Under each condition what its title says after its name.
        columns: Panels in a row.

    Example:
        >>> curve = {"temperature": [0.1, 1.0], "mean": [0.2, 0.3], "error": [0.01, 0.01]}
        >>> len(hypotheses({"clean": curve, "augmentation": curve}, {"clean": "cold", "augmentation": "none"}).axes)
        2
    """
    first = next(iter(curves))
    rows = -(-len(curves) // columns)
    with styled():
        fig = figure(2.6 * min(columns, len(curves)) + 0.4, 2.3 * rows + 0.2)
        for place, (condition, curve) in enumerate(curves.items(), start=1):
            ax = fig.add_subplot(rows, min(columns, len(curves)), place)
            if condition != first:
                _errors(ax, curves[first], color="0.65", label=first)
            _errors(ax, curve, color=COLOURS["sgld"], label=condition)
            ax.set_title(f"{condition}: {verdicts[condition]}")
            _log_axis(ax, LABELS["nll"])
    return fig


def _errors(ax: Axes, curve: Curve, **style: str) -> None:
    ax.errorbar(curve["temperature"], curve["mean"], curve["error"], marker="o", ms=4, lw=1.5, capsize=2, **style)


def _log_axis(ax: Axes, label: str) -> None:
    ax.set(xscale="log", xlabel="temperature T (1 is Bayes)", ylabel=label)
    ax.axvline(1, color="0.8", lw=1, zorder=0)
    plain_ticks(ax)
