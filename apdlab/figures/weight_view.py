"""Two posteriors over the weights of one network: two weights at a time, single units draw by draw, the whole cloud."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from torch import Tensor

from apdlab.distill import pca
from apdlab.draws import Draws
from apdlab.fidelity import marginal_distance
from apdlab.figures.style import COLOURS, NAMES, bare, figure, styled
from apdlab.networks import Network

BINS = 20


class Look(NamedTuple):
    """What is looked at.

    Attributes:
        chain: Name of a set of draws.
        method: Id of the posterior that is held against the first one of the set.
        layer: Name of a tensor of weights.
        a: Which weight of it, counted along its rows.
        b: Which other one.
        unit: Which row of it is shown as an image.
        draw: Which draw.
    """

    chain: str
    method: str
    layer: str
    a: int
    b: int
    unit: int
    draw: int


class WeightView:
    """A figure of weights of two posteriors, kept and moved by ``show``.

    Above, draws of two weights against each other with the marginal of each and the distance between the posteriors'
    marginals; and the plane of the first posterior's two leading principal directions, with its draws as a path, in
    the order in which they came. Below, what goes into one unit, in a draw and in the mean of all draws.

    Args:
        network: Whose weights they are.
        sets: Under the name of each set, draws ``[S, D]`` of each posterior under its id; the first is the one that
            others stand for. The sets have the same posteriors.
        image: Height and width of what the first layer sees, if that is an image; else a unit is shown as a strip.

    Attributes:
        look: What is shown now.
        apart: How far the marginals of its two weights are apart, ``W1 / sd`` each.

    Raises:
        ValueError: If there are not two posteriors, an id is unknown, sets differ, or draws do not fit the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> network, generator = mlp(16, 5, 3), torch.Generator().manual_seed(0)
        >>> theta = torch.randn(2, 20, network.size, generator=generator)
        >>> view = WeightView(network, {"my chain": {"sgld": theta[0], "apd": theta[1]}}, image=(4, 4))
        >>> view.show(view.look._replace(layer="3.weight", unit=2, draw=19))
        >>> view.fig.axes[-1].get_title()
        'APD, unit 2: mean'
    """

    def __init__(
        self,
        network: Network,
        sets: Mapping[str, Mapping[str, Draws | Tensor]],
        image: tuple[int, int] | None = None,
    ) -> None:
        self.network, self.layers = network, _pictures(network, image)
        self.sets = {chain: {m: _weights(d) for m, d in draws.items()} for chain, draws in sets.items()}
        self.methods = _refuse_sets(self.sets, network)
        self.draws = min(len(theta) for draws in self.sets.values() for theta in draws.values())
        axes = {chain: pca(draws[self.methods[0]][None], network, 2, 0) for chain, draws in self.sets.items()}
        self.planes = {
            chain: {m: axes[chain].encode(theta[None])[0].numpy(force=True) for m, theta in draws.items()}
            for chain, draws in self.sets.items()
        }
        layer, (height, width) = next((name, shape[1:]) for name, shape in self.layers.items())
        centre = height // 2 * width + width // 2
        self.look = Look(next(iter(sets)), self.methods[1], layer, centre, max(0, centre - 1), 0, 0)
        self._build()
        self.show(self.look)

    @property
    def moving(self) -> list[Artist]:
        """What another draw or unit moves; all else changes with other weights or posteriors only."""
        return [*self._marks, *(part for ax in self._units for part in (ax.images[0], ax.title))]

    def columns(self, chain: str, method: str, layer: str) -> Tensor:
        """Select the weights of a layer, ``[S, rows, columns]``: what goes into each unit."""
        units, height, width = self.layers[layer]
        return self.network.unravel(self.sets[chain][method])[layer].reshape(-1, units, height * width)

    def show(self, look: Look) -> None:
        """Move to other weights, draws or posteriors.

        Raises:
            ValueError: If there is no such set, posterior, layer, weight, unit or draw.
        """
        self._refuse_look(look)
        self.look, pair = look, (self.methods[0], look.method)
        self._title.set_text(f"Draws of {look.chain}: {NAMES[pair[0]]} and {NAMES[pair[1]]}")
        layers = [self.columns(look.chain, method, look.layer) for method in pair]
        self._show_pair([w.flatten(1)[:, [look.a, look.b]] for w in layers], pair)
        self._show_plane([self.planes[look.chain][method] for method in pair], pair)
        self._show_units([w[:, look.unit].numpy(force=True) for w in layers], pair)

    def _build(self) -> None:
        with styled():
            self.fig = figure(9.6, 6.3)
            self.fig.set_layout_engine("none")  # fixed places: solving for them at each move costs more than drawing
            self._title = self.fig.suptitle("", y=0.99)
            self._pair = self.fig.add_axes((0.08, 0.45, 0.3, 0.34))
            self._sides = [self.fig.add_axes(at) for at in ((0.08, 0.8, 0.3, 0.09), (0.39, 0.45, 0.07, 0.34))]
            self._plane = self.fig.add_axes((0.57, 0.45, 0.41, 0.44))
            self._units = [bare(self.fig.add_axes((0.03 + 0.245 * i, 0.02, 0.2, 0.29))) for i in range(4)]
            for ax in self._units:
                ax.imshow([[0.0]], cmap="RdBu_r", interpolation="nearest", aspect="auto", extent=(0, 1, 0, 1))
            self._plane.set(xlabel="leading direction, standard deviations", ylabel="second direction")
            self._heads = [self.fig.text(0.08, y, "", size=9.5) for y in (0.925, 0.9)]
            self._clouds = [self._cloud(ax, size) for ax in (self._pair, self._plane) for size in (7, 9)]
            self._marks = [self._mark(ax) for ax in (self._pair, self._plane) for _ in range(2)]
            (self._path,) = self._plane.plot([], [], color=COLOURS[self.methods[0]], lw=0.6, alpha=0.6)
            self._steps = [
                [self._outline(ax, kind) for _ in range(2)] for ax, kind in zip(self._sides, "vh", strict=True)
            ]
            for ax in self._sides:
                bare(ax)
            self._legend = self._plane.legend(
                self._clouds[2:], ["", ""], loc="lower right", bbox_to_anchor=(1, 1), ncols=2
            )

    def _show_pair(self, values: list[Tensor], methods: tuple[str, str]) -> None:
        a, b = (v.numpy(force=True) for v in values)
        low, high = np.minimum(a.min(0), b.min(0)), np.maximum(a.max(0), b.max(0))
        low, high = low - 0.05 * (high - low) - 1e-9, high + 0.05 * (high - low) + 1e-9
        self._pair.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        names = (f"weight {self.look.a}", f"weight {self.look.b}")
        self._pair.set(xlabel=f"{names[0]} of {self.look.layer}", ylabel=names[1])
        self._place(0, (a, b), methods)
        for i, steps in enumerate(self._steps):
            edges = np.linspace(low[i], high[i], BINS + 1)
            shares = [np.histogram(v[:, i], edges)[0] / len(v) for v in (a, b)]
            for patch, share, method in zip(steps, shares, methods, strict=True):
                patch.set_data(share, edges)
                patch.set_edgecolor(COLOURS[method])
            limits = {"xlim": (low[i], high[i]), "ylim": (0, 1.1 * np.max(shares))}
            self._sides[i].set(**limits if i == 0 else {"xlim": limits["ylim"], "ylim": limits["xlim"]})
        self.apart = marginal_distance(values[1], values[0]).tolist()
        for head, name, far in zip(self._heads, names, self.apart, strict=True):
            head.set_text(f"{name}: the marginals are {far:.2f} sd apart (W1)")

    def _show_plane(self, values: list[np.ndarray], methods: tuple[str, str]) -> None:
        everything = np.concatenate(values)
        low, high = everything.min(0), everything.max(0)
        margin = 0.06 * (high - low)
        self._plane.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
        self._path.set_data(*values[0].T)
        self._place(2, values, methods)
        for text, method in zip(self._legend.get_texts(), methods, strict=True):
            text.set_text(NAMES[method])
        for handle, method in zip(self._legend.legend_handles, methods, strict=True):
            handle.set_facecolor(COLOURS[method])

    def _place(self, first: int, values: tuple, methods: tuple[str, str]) -> None:
        """Put two clouds of points in their place, and a ring around the present draw of each."""
        for i, (points, method) in enumerate(zip(values, methods, strict=True), start=first):
            self._clouds[i].set_offsets(points)
            self._clouds[i].set_facecolor(COLOURS[method])
            self._marks[i].set_data(*points[[self.look.draw]].T)
            self._marks[i].set_markerfacecolor(COLOURS[method])

    def _show_units(self, values: list[np.ndarray], methods: tuple[str, str]) -> None:
        shape = self.layers[self.look.layer][1:]
        shown = [part for v in values for part in (v[self.look.draw], v.mean(0))]
        limit = max(np.quantile(np.abs(v), 0.995) for v in values) or 1.0
        for i, (ax, weights) in enumerate(zip(self._units, shown, strict=True)):
            ax.images[0].set(data=weights.reshape(shape), clim=(-limit, limit))
            what = "mean" if i % 2 else f"draw {self.look.draw}"
            ax.set_title(f"{NAMES[methods[i // 2]]}, unit {self.look.unit}: {what}", fontsize=9.5)

    def _cloud(self, ax: Axes, size: float) -> object:
        return ax.scatter([], [], s=size, alpha=0.45, lw=0)

    def _mark(self, ax: Axes) -> object:
        return ax.plot([], [], marker="o", ms=8, mec="black", mew=1.2, zorder=5)[0]

    def _outline(self, ax: Axes, kind: str) -> object:
        orientation = "vertical" if kind == "v" else "horizontal"
        return ax.stairs([0], [0, 1], lw=1.4, orientation=orientation)

    def _refuse_look(self, look: Look) -> None:
        for name, known in (("chain", self.sets), ("method", self.methods[1:]), ("layer", self.layers)):
            if getattr(look, name) not in known:
                raise ValueError(f"{name} is {getattr(look, name)!r}; wanted one of {list(known)}")
        units, height, width = self.layers[look.layer]
        most = {"a": units * height * width, "b": units * height * width, "unit": units, "draw": self.draws}
        for name, count in most.items():
            if not 0 <= getattr(look, name) < count:
                raise ValueError(f"{name} is {getattr(look, name)}; wanted 0 to {count - 1:,} of {look.layer}")


def _weights(draws: Draws | Tensor) -> Tensor:
    return draws.theta if isinstance(draws, Draws) else draws


def _pictures(network: Network, image: tuple[int, int] | None) -> dict[str, tuple[int, int, int]]:
    """Say how each tensor is shown: units, height and width of what goes into one."""
    shapes = {}
    for i, (name, shape) in enumerate(network.shapes.items()):
        units = shape[0] if len(shape) > 1 else 1
        inputs = shape.numel() // units
        shapes[name] = (units, inputs // shape[-1], shape[-1]) if len(shape) > 2 else (units, 1, inputs)
        if i == 0 and image:
            if image[0] * image[1] != inputs:
                raise ValueError(f"image is {image}; wanted height and width of the {inputs} inputs of {name}")
            shapes[name] = (units, *image)
    return shapes


def _refuse_sets(sets: Mapping[str, Mapping[str, Tensor]], network: Network) -> list[str]:
    methods = [list(draws) for draws in sets.values()]
    if not methods or len(methods[0]) < 2 or any(names != methods[0] for names in methods):
        raise ValueError(f"sets have the posteriors {methods}; wanted the same two or more in each, a reference first")
    if unknown := set(methods[0]) - set(NAMES):
        raise ValueError(f"sets have the posteriors {sorted(unknown)}; wanted ids among {list(NAMES)}")
    for chain, draws in sets.items():
        for method, theta in draws.items():
            if theta.ndim != 2 or theta.shape[1] != network.size or len(theta) < 3:
                seen = f"sets[{chain!r}][{method!r}] has shape {tuple(theta.shape)}"
                raise ValueError(f"{seen}; wanted [S, {network.size}], three draws or more")
    return methods[0]
