"""Reliability: is what is said with 80 % right in 80 % of cases?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from apdlab.figures.style import COLOURS, NAMES, panels, styled
from apdlab.metrics import Reliability


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
        fig, (top, bottom) = panels(5, 4.6, 2, height_ratios=[3, 1], sharex=True)
        top.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":")
        for i, (method, r) in enumerate(bins.items()):
            filled = (r.count > 0).numpy(force=True)
            label = f"{NAMES[method]}, ECE {errors[method]:.3f}"
            style = {"color": COLOURS[method], "lw": 1.5, "marker": "o", "ms": 4}
            top.plot(r.confidence.numpy(force=True)[filled], r.accuracy.numpy(force=True)[filled], label=label, **style)
            width = 1 / len(r.count)
            at = (np.arange(len(r.count)) + (i + 0.5) / len(bins)) * width
            bottom.bar(at, r.count.numpy(force=True), 0.9 * width / len(bins), color=COLOURS[method])
        top.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
        top.legend(loc="lower right")
        bottom.set(xlabel="confidence", ylabel="examples", yscale="log")
    return fig
