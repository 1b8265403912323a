"""What a chain and a distiller did over time."""

import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from apdlab.figures.style import COLOURS, panels, styled


def traces(steps: Tensor, values: dict[str, Tensor], colours: list[str] | None = None) -> Figure:
    """Show some quantities along the chains, one panel a quantity, one line a chain.

    Args:
        steps: When they were seen, ``[T]``.
        values: ``[C, T]`` of each quantity, under its name.
        colours: ``C`` colours; shades of one, from dark to light, otherwise.

    Example:
        >>> import torch
        >>> len(traces(torch.arange(10), {"log posterior": torch.zeros(4, 10)}).axes)
        1
    """
    chains = max(map(len, values.values()))
    colours = colours or _shades(COLOURS["sgld"], chains)
    with styled():
        fig, axes = panels(9, 1.75 * len(values) + 0.25 * (1 + -(-chains // 8)), len(values), sharex=True)
        for ax, (name, value) in zip(axes, values.items(), strict=True):
            for c, chain in enumerate(value.numpy(force=True)):
                ax.plot(steps.numpy(force=True), chain, lw=0.7, alpha=0.8, color=colours[c], label=f"chain {c}")
            ax.set_ylabel(name)
            ax.margins(x=0.01)
        axes[-1].set_xlabel("step of the sampler")
        if chains > 1:
            legend = fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=min(chains, 8))
            for line in legend.get_lines():
                line.set(lw=2, alpha=1)
    return fig


def _shades(colour: str, n: int) -> list[str]:
    """``n`` shades of a colour, that are told apart by their lightness alone."""
    dark, light = sns.set_hls_values(colour, l=0.15), sns.set_hls_values(colour, l=0.7)
    return [colour] if n == 1 else sns.blend_palette([dark, colour, light], n).as_hex()


def distillation(critic_cost: Tensor, distance: Tensor, floor: Tensor) -> Figure:
    """Show the critic's cost during training, and how far each checkpoint is from held-out draws.

    Args:
        critic_cost: ``[steps, G]``.
        distance: Total variation of each checkpoint's predictions to held-out draws', ``[checkpoints, G]``.
        floor: That of the draws it learned from, ``[G]``.

    Example:
        >>> import torch
        >>> len(distillation(torch.zeros(40, 2), torch.ones(8, 2), torch.ones(2)).axes)
        2
    """
    steps, checkpoints = len(critic_cost), len(distance)
    with styled():
        fig, (left, right) = panels(9, 2.9, columns=2)
        left.plot(critic_cost.numpy(force=True), lw=0.6, alpha=0.5, color=COLOURS["apd"])
        left.plot(critic_cost.mean(1).numpy(force=True), lw=1.5, color=COLOURS["apd"])
        left.set(xlabel="generator step", ylabel="critic cost", title="thin: one generator each; thick: their mean")
        at = [steps * (i + 1) // checkpoints for i in range(checkpoints)]
        right.plot(at, distance.numpy(force=True), lw=0.8, alpha=0.5, marker="o", ms=3, color=COLOURS["apd"])
        right.plot(at, distance.mean(1).numpy(force=True), lw=1.8, color=COLOURS["apd"], label="generated draws")
        right.axhline(floor.mean().item(), color=COLOURS["sgld"], lw=1.5, ls="--", label="draws it learned from")
        right.set(xlabel="generator step", ylabel="total variation", title="predictions, to those of held-out draws")
        right.set_ylim(bottom=0)
        right.legend(loc="lower right")
    return fig
