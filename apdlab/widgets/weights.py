"""Look at the weights of two posteriors."""

import ipywidgets as widgets

from apdlab.figures.style import NAMES
from apdlab.figures.weight_view import Look, WeightView
from apdlab.widgets.grid import grid
from apdlab.widgets.picture import Picture


def weight_explorer(view: WeightView) -> widgets.VBox:
    """Wire a view of weights to lists and sliders: which chain, posterior and layer; two weights, a unit, a draw.

    Args:
        view: The figure, with the draws that it shows.

    Returns:
        A box of controls and picture; arrow keys move the control that has the focus.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> network, generator = mlp(16, 5, 3), torch.Generator().manual_seed(0)
        >>> theta = torch.randn(2, 20, network.size, generator=generator)
        >>> view = WeightView(network, {"my chain": {"sgld": theta[0], "apd": theta[1]}}, image=(4, 4))
        >>> box = weight_explorer(view)
        >>> box.children[0].children[-1].value = 7
        >>> view.look.draw
        7
    """
    picture, controls = Picture(view.fig, moving=view.moving), _controls(view)

    def move(_: object = None) -> None:
        before = view.look
        view.show(Look(**{name: control.value for name, control in controls.items()}))
        same = view.look == before._replace(unit=view.look.unit, draw=view.look.draw)
        picture.refresh() if same else picture.redraw()

    def change_layer(change: dict) -> None:
        for name, top in _tops(view, change["new"]).items():
            controls[name].unobserve(move, names="value")
            controls[name].max = top  # takes the value along, where it is larger
            controls[name].observe(move, names="value")
        move()

    for name, control in controls.items():
        control.observe(change_layer if name == "layer" else move, names="value")
    return widgets.VBox([grid(controls.values()), picture.image])


def _controls(view: WeightView) -> dict[str, widgets.Widget]:
    tops = _tops(view, view.look.layer) | {"draw": view.draws - 1}
    methods = [(NAMES[method], method) for method in view.methods[1:]]
    lists = {"chain": list(view.sets), "method": methods, "layer": list(view.layers)}
    said = {"chain": "draws of", "method": "against", "a": "weight", "b": "and weight"}
    controls = {name: widgets.Dropdown(options=options) for name, options in lists.items()}
    controls |= {name: widgets.IntSlider(max=top) for name, top in tops.items()}
    for name, control in controls.items():
        control.value, control.description = getattr(view.look, name), said.get(name, name)
    return controls


def _tops(view: WeightView, layer: str) -> dict[str, int]:
    units, height, width = view.layers[layer]
    weights = units * height * width - 1
    return {"a": weights, "b": weights, "unit": units - 1}
