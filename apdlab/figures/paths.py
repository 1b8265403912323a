"""Chains that walk and chains that have mixed: their spectra, their leading plane, and what distillers make of it."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, NAMES, panels, styled


def spectra(shares: Mapping[str, Tensor], walks: Mapping[str, Tensor]) -> Figure:
    """Show how the variance of chains is shared among their principal directions, one panel a set of chains.

    Args:
        shares: ``[C, m]`` of each set, under its name, largest first: a line a chain.
        walks: ``[m]``, the shares of a random walk of as many states, under the same names.

    Example:
        >>> import torch
        >>> share = torch.tensor([[0.6, 0.3, 0.1]])
        >>> len(spectra({"a chain": share}, {"a chain": share[0]}).axes)
        1
    """
    with styled():
        fig, axes = panels(4.6 * len(shares), 3.3, columns=len(shares), sharey=True)
        for ax, (name, lines) in zip(axes, shares.items(), strict=True):
            directions = range(1, lines.shape[1] + 1)
            for c, line in enumerate(lines.numpy(force=True)):
                ax.plot(directions, line, color=COLOURS["sgld"], lw=1.3, alpha=0.7, label=None if c else "each chain")
            ax.plot(directions, walks[name].numpy(force=True), color="0.15", lw=1.2, ls="--", label="a random walk")
            ax.axhline(1 / lines.shape[1], color="0.5", lw=1.2, ls=":", label="independent draws, all alike")
            ax.set(xscale="log", yscale="log", xlabel="principal direction", title=name)
            ax.set_ylim(bottom=0.03 / max(line.shape[-1] for line in shares.values()))
        axes[0].set_ylabel("share of the variance")
        axes[0].legend(loc="lower left")
    return fig


def planes(points: Mapping[str, Mapping[str, Tensor]], others: Mapping[str, Tensor]) -> Figure:
    """Show a chain's path in the plane of its two leading directions, and draws of each distiller in it.

    Args:
        points: Of each chain, under its name, ``[S, 2]`` of each method, under its id; the first is the path itself.
        others: ``[S, 2]`` of another chain of the same posterior, under the same names, where there is one.

    Example:
        >>> import torch
        >>> path = torch.zeros(5, 2)
        >>> len(planes({"a chain": {"sgld": path, "apd": path, "gaussian": path}}, {"a chain": path}).axes)
        2
    """
    methods = list(next(iter(points.values())))
    with styled():
        fig, axes = panels(2.4 * (len(methods) - 1) + 0.6, 2.5 * len(points) + 0.6, len(points), len(methods) - 1)
        fig.supxlabel("leading direction of the chain", size=10)
        cells = [(name, method) for name in points for method in methods[1:]]
        for ax, (name, method) in zip(axes, cells, strict=True):
            _path(ax, points[name][methods[0]], methods[0])
            if name in others:
                _scatter(ax, others[name], "0.3", "another chain", marker="x", s=8, lw=0.7)
            _scatter(ax, points[name][method], COLOURS[method], NAMES[method], s=9, lw=0)
            ax.set(title=NAMES[method], ylabel=f"{name}\nsecond direction" if method == methods[1] else "")
            ax.set_aspect("equal", "datalim")
        handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        fig.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    return fig


def _path(ax: Axes, path: Tensor, method: str) -> None:
    ax.plot(*path[:, :2].T.numpy(force=True), color=COLOURS[method], lw=0.7, alpha=0.6, label=NAMES[method])


def _scatter(ax: Axes, points: Tensor, colour: str, label: str, **style: object) -> None:
    ax.scatter(*points[:, :2].T.numpy(force=True), color=colour, alpha=0.6, label=label, **style)
