"""Calibration and selection: is what is said with 80 % right in 80 % of cases, and do errors come where doubt is?"""

from collections.abc import Mapping

from matplotlib.figure import Figure

from apdlab.figures.style import COLOURS, MARKERS, NAMES, panels, styled
from apdlab.metrics import Reliability, RiskCoverage


def reliability_diagram(bins: Mapping[str, Reliability], errors: Mapping[str, float]) -> Figure:
    """Show accuracy against confidence of each method, with how many examples each bin holds below.

    Args:
        bins: Reliability of each method, under its id.
        errors: Its expected calibration error, for the legend.

    Example:
        >>> import torch
        >>> from apdlab.metrics import reliability
        >>> r = reliability(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]), bins=10)
        >>> len(reliability_diagram({"sgld": r}, {"sgld": 0.35}).axes)
        2
    """
    with styled():
        fig, (top, bottom) = panels(7.2, 4.6, 2, height_ratios=[3, 1], sharex=True)
        top.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":")
        for method, r in bins.items():
            filled = (r.count > 0).numpy(force=True)
            style = {"color": COLOURS[method], "lw": 1.5}
            label = f"{NAMES[method]}, ECE {errors[method]:.3f}"
            at, height = r.confidence.numpy(force=True)[filled], r.accuracy.numpy(force=True)[filled]
            top.plot(at, height, marker=MARKERS[method], ms=4, label=label, **style)
            edges = [b / len(r.count) for b in range(len(r.count) + 1)]
            bottom.stairs(r.count.numpy(force=True), edges, baseline=None, **style)
        top.set(ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(0, 1))
        bottom.set(xlabel="confidence", ylabel="examples", yscale="log")
        fig.legend(loc="outside right upper")
    return fig


def risk_coverage_curves(curves: Mapping[str, RiskCoverage]) -> Figure:
    """Show the error rate among the examples that are kept against the share kept: lower is better.

    Args:
        curves: Risk and coverage of each method, under its id.

    Example:
        >>> import torch
        >>> from apdlab.metrics import risk_coverage
        >>> curve = risk_coverage(torch.arange(4), torch.tensor([True, True, False, True]))
        >>> len(risk_coverage_curves({"sgld": curve}).axes)
        1
    """
    with styled():
        fig, (ax,) = panels(7.2, 3.4)
        for i, (method, curve) in enumerate(curves.items()):
            style = {"color": COLOURS[method], "lw": 1.5, "marker": MARKERS[method], "ms": 4, "clip_on": False}
            marked = (i / len(curves) / 8, 1 / 8)  # eight points to a curve, beside those of the others
            at, height = curve.coverage.numpy(force=True), curve.risk.numpy(force=True)
            ax.plot(at, height, markevery=marked, label=f"{NAMES[method]}, AURC {curve.area:.4f}", **style)
        ax.set(xlabel="coverage: share of examples kept", ylabel="error rate of those kept")
        ax.set_xlim(0, 1)
        ax.set_ylim(bottom=0)
        fig.legend(loc="outside right upper")
    return fig
