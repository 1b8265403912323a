"""How well chains mix: ranks of each chain among all of them, correlations with their own past, heat against speed."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, panels, styled

LEVEL = 2.576  # standard deviations on each side that hold 99 % of a normal
_SHADES = sns.blend_palette([sns.set_hls_values(COLOURS["sgld"], l=light) for light in (0.15, 0.45, 0.75)], 16).as_hex()
_LINES = [*sns.color_palette("colorblind").as_hex()[:5], "#332288", "#882255", "#117733"]


def ranks(values: Mapping[str, Tensor], bins: int = 10) -> Figure:
    """Show where the draws of each chain rank among those of all chains, one panel a sampler: flat where all are alike.

    Bars are shares of a chain's draws in equal bins of the pooled ranks, over those expected; the band holds 99 % of
    them for independent draws, so that correlated ones of chains that have mixed may well leave it.

    Args:
        values: Of one quantity, ``[C, T]`` of each sampler, under its name.
        bins: How many.

    Source: Vehtari et al., 2021, Rank-normalization, folding, and localization, https://arxiv.org/abs/1903.08008

    Example:
        >>> import torch
        >>> len(ranks({"SGLD": torch.rand(4, 50), "SGHMC": torch.rand(4, 50)}).axes)
        2
    """
    columns = min(3, len(values))
    rows = -(-len(values) // columns)
    with styled():
        fig, axes = panels(9.4, 1.9 * rows + 0.3, rows, columns, sharex=True)
        for ax, (name, draws) in zip(axes, values.items(), strict=False):
            _ranks(ax, draws.numpy(force=True), bins)
            ax.set_title(name)
        for ax in axes[len(values) :]:
            ax.set_visible(False)
        fig.supxlabel("rank among the draws of all chains, as a share", size=10)
        fig.supylabel("share of a chain's draws over the expected one", size=10)
    return fig


def _ranks(ax: Axes, draws: np.ndarray, bins: int) -> None:
    chains, length = draws.shape
    order = draws.ravel().argsort(kind="stable").argsort(kind="stable").reshape(chains, length)
    band = LEVEL * np.sqrt(bins / length * (1 - 1 / bins) * (1 - 1 / chains))
    ax.axhspan(max(0, 1 - band), 1 + band, color="0.9", lw=0)
    for c, row in enumerate(order):
        counts, edges = np.histogram(row, bins, (0, draws.size))
        colour = _SHADES[c * (len(_SHADES) - 1) // max(1, chains - 1)]
        ax.stairs(counts * bins / length, edges / draws.size, baseline=None, color=colour, lw=1.3)
    ax.axhline(1, color="0.4", lw=0.8, ls=":")
    ax.set(xlim=(0, 1))
    ax.set_ylim(bottom=0)


def autocorrelations(steps: Mapping[str, Tensor], values: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Show how fast chains forget: correlation with the past against the gradient evaluations in between.

    ``rho(l)`` is around the mean and over the variance of all chains together, so that chains that stay apart do not
    come down to 0, and is the mean over quantities. The band holds 99 % of ``rho`` of one quantity and as many
    independent draws as the sampler with the fewest has.

    Args:
        steps: After which step states were kept, evenly, ``[T]`` of each sampler, under its name.
        values: Quantities ``[C, T, Q]`` of each sampler, in one panel for each kind, e.g. functions and weights.

    Example:
        >>> import torch
        >>> values = {"weights": {"SGLD": torch.randn(4, 60, 5)}}
        >>> len(autocorrelations({"SGLD": torch.arange(10, 610, 10)}, values).axes)
        1
    """
    with styled():
        fig, axes = panels(9.4, 3.4, columns=len(values), sharey=True)
        for ax, (kind, samplers) in zip(axes, values.items(), strict=True):
            fewest = min(draws.shape[0] * draws.shape[1] for draws in samplers.values())
            ax.axhspan(-LEVEL / fewest**0.5, LEVEL / fewest**0.5, color="0.9", lw=0)
            for i, (name, draws) in enumerate(samplers.items()):
                rho = _autocorrelation(draws.double().numpy(force=True))
                apart = int(steps[name][1] - steps[name][0])
                style = {"color": _LINES[i % 8], "marker": "osDXv^<P"[i % 8], "markevery": (0.03 * i, 0.2), "ms": 4}
                ax.plot(apart * np.arange(len(rho)), rho, lw=1.4, label=name, **style)
            ax.set_xscale("symlog", linthresh=min(int(at[1] - at[0]) for at in steps.values()))
            ax.set(title=kind, xlabel="gradient evaluations in between")
            ax.set_xlim(left=0)
        axes[0].set_ylabel("autocorrelation")
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return fig


def _autocorrelation(draws: np.ndarray) -> np.ndarray:
    """Average ``E[(x_t - m)(x_{t+l} - m)] / Var`` over chains and quantities, lags up to half a chain, ``[T // 2]``."""
    away = draws - draws.mean((0, 1))
    length = draws.shape[1]
    spectrum = np.abs(np.fft.rfft(away, 2 * length, axis=1)) ** 2
    overlap = np.arange(length, length - length // 2, -1)[:, None]
    covariance = np.fft.irfft(spectrum.mean(0), axis=0)[: length // 2] / overlap
    moving = covariance[0] > 0
    return (covariance[:, moving] / covariance[0, moving]).mean(-1)


def heat_and_speed(
    step_sizes: Sequence[float],
    speed: Sequence[float],
    heat: Mapping[str, Sequence[float]],
    bar: float,
    unit: str = "effective draws of functions per 1,000 gradient evaluations",
) -> Figure:
    """Show the frontier of a sampler between its excess temperature and how fast it mixes, over its step size.

    Args:
        step_sizes: Of the runs, ``n``; they label the points.
        speed: What they reach, ``n``.
        heat: Their excess temperatures, ``n`` of each kind, measured or predicted, under its name.
        bar: The excess that is allowed.
        unit: Of the speed.

    Example:
        >>> len(heat_and_speed([1e-4, 1e-3], [0.4, 2.0], {"momenta": [0.01, 0.2]}, 0.05).axes)
        1
    """
    with styled():
        fig, (ax,) = panels(7, 3.6)
        ax.axhline(bar, color="0.5", lw=0.8, ls=":")
        for i, (name, excess) in enumerate(heat.items()):
            ax.plot(speed, excess, color=_LINES[i], marker="osD^v"[i], ms=5, lw=1.2, label=name)
        for h, x, *excess in zip(step_sizes, speed, *heat.values(), strict=True):
            text = {"textcoords": "offset points", "xytext": (0, 8), "ha": "center", "size": 9}
            ax.annotate(f"h = {h:g}", (x, max(excess)), **text)
        ax.margins(0.12, 0.18)
        ax.set(xlabel=unit, ylabel="temperature - 1")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
