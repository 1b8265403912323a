"""Active learning: accuracy against labels, and which classes were asked for."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, panels, styled

DASHES: dict[str, object] = {  # of ways to acquire, so that a line tells both
    "random": ":",
    "entropy": "--",
    "bald": "-",
    "variation_ratio": "-.",
    "power_bald": (0, (3, 1, 1, 1, 1, 1)),
}
ACQUIRED: dict[str, str] = {
    "random": "random",
    "entropy": "predictive entropy",
    "bald": "BALD",
    "variation_ratio": "variation ratio",
    "power_bald": "PowerBALD",
}


def learning_curves(
    labels: Sequence[int], accuracy: Mapping[tuple[str, str], Tensor], label: str = "test accuracy"
) -> Figure:
    """Show accuracy against labels in a panel for each method, means with standard errors over repeats.

    Args:
        labels: How many there were in each round, ``[T]``.
        accuracy: Of each ``(method, acquisition)``, ``[R, T]``, of that round and not the best so far.
        label: Of the axis.

    Example:
        >>> import torch
        >>> curves = {(m, a): torch.rand(5, 3) for m in ("sgld", "apd") for a in ("random", "bald")}
        >>> len(learning_curves([20, 30, 40], curves).axes)
        2
    """
    methods = list(dict.fromkeys(method for method, _ in accuracy))
    with styled():
        fig, axes = panels(2.6 * len(methods) + 0.6, 3.2, columns=len(methods), sharey=True)
        for ax, method in zip(axes, methods, strict=True):
            for (own, acquisition), values in accuracy.items():
                if own == method:
                    curves = values.numpy(force=True)
                    mean, error = curves.mean(0), curves.std(0, ddof=1) / len(values) ** 0.5
                    style = {"color": COLOURS[method], "ls": DASHES[acquisition], "label": ACQUIRED[acquisition]}
                    ax.plot(labels, mean, lw=1.6, **style)
                    ax.fill_between(labels, mean - error, mean + error, color=COLOURS[method], alpha=0.15, lw=0)
            ax.set(title=NAMES[method], xlabel="labels")
            ax.legend(loc="best")
        axes[0].set_ylabel(label)
    return fig


def asked_classes(shares: Mapping[tuple[str, str], Tensor], pool: Tensor) -> Figure:
    """Show the share of each class among the labels asked for, beside its share of the pool.

    Args:
        shares: Of each ``(method, acquisition)``, ``[K]``.
        pool: Of the pool, ``[K]``.

    Example:
        >>> import torch
        >>> even = torch.full((10,), 0.1)
        >>> len(asked_classes({("sgld", "bald"): even, ("apd", "bald"): even}, even).axes)
        2
    """
    columns = min(4, len(shares))
    rows, edges = -(-len(shares) // columns), [k - 0.5 for k in range(len(pool) + 1)]
    with styled():
        fig, axes = panels(2.4 * columns + 0.3, 1.9 * rows + 0.3, rows, columns, sharey=True, sharex=True)
        for ax, ((method, acquisition), own) in zip(axes, shares.items(), strict=False):
            ax.bar(range(len(own)), own.numpy(force=True), color=COLOURS[method], width=0.75)
            ax.stairs(pool.numpy(force=True), edges, baseline=None, color="0.2", lw=1, ls="--")
            ax.set(title=f"{NAMES[method]}, {ACQUIRED[acquisition]}", xticks=range(len(own)))
        for ax in axes[len(shares) :]:
            ax.set_visible(False)
        fig.supxlabel("class; dashes: its share of the pool", size=10)
        fig.supylabel("share of the labels asked for", size=10)
    return fig
