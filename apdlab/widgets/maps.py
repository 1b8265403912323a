"""Walk over maps of uncertainty: data set, its noise and size, posterior, number of draws, one draw, one point."""

import ipywidgets as widgets

from apdlab.atlas import Settings
from apdlab.figures.maps import TITLES, MapView
from apdlab.figures.style import NAMES
from apdlab.widgets.grid import STYLE, grid
from apdlab.widgets.picture import Picture


def map_explorer(view: MapView) -> widgets.VBox:
    """Wire a view of maps to its controls; arrow keys move the one that has the focus.

    The point estimate has one draw: both sliders of draws rest while it is shown.

    Args:
        view: The figure; all that it may show is computed.

    Returns:
        A box of controls and picture.

    Example:
        >>> import torch
        >>> from apdlab.atlas import Atlas, Sheet
        >>> from apdlab.types import Data
        >>> data = Data(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
        >>> sheet = Sheet(data, {"sgld": torch.full((6, 9, 2), 0.5).log()})
        >>> atlas = Atlas(torch.linspace(-5, 5, 3), {("clusters", 0.5, 2): sheet})
        >>> box = map_explorer(MapView(atlas, Settings("clusters", 0.5, 2, "sgld")))
        >>> [type(child).__name__ for child in box.children]
        ['GridBox', 'Image']
    """
    picture, controls = Picture(view.fig, moving=view.moving), _controls(view)

    def move(change: dict) -> None:
        asked = Settings(**{name: control.value for name, control in controls.items()})
        there = len(view.atlas.log_probs(asked))
        for name, most in (("draws", there), ("draw", there - 1)):
            controls[name].disabled = there == 1
            asked = asked._replace(**{name: min(getattr(asked, name), most)})
        view.show(asked)
        picture.redraw() if change["owner"] is controls["measure"] else picture.refresh()

    for control in controls.values():
        control.observe(move, names="value")
    return widgets.VBox([grid(controls.values()), picture.image])


def _controls(view: MapView) -> dict[str, widgets.Widget]:
    sets, noises, sizes, methods = view.atlas.choices()
    axis, most = view.atlas.axis.tolist(), max(map(len, next(iter(view.atlas.sheets.values())).log_probs.values()))
    place = {"min": axis[0], "max": axis[-1], "step": round(axis[1] - axis[0], 4), "readout_format": ".1f"}
    options = {
        "data_set": sets,
        "noise": noises,
        "size": sizes,
        "method": [(NAMES[method], method) for method in methods],
        "measure": [(title.partition(":")[0], measure) for measure, title in TITLES.items()],
    }
    words = {"data_set": "data set", "size": "points a class", "method": "posterior", "measure": "map of"}
    controls: dict[str, widgets.Widget] = {
        name: widgets.Dropdown(options=values, description=words.get(name, name), style=STYLE)
        for name, values in options.items()
    }
    controls |= {
        "draws": widgets.IntSlider(min=1, max=most, description="draws", style=STYLE),
        "draw": widgets.IntSlider(min=0, max=most - 1, description="single draw", style=STYLE),
    }
    controls |= {name: widgets.FloatSlider(description=name, style=STYLE, **place) for name in ("x1", "x2")}
    for name, control in controls.items():
        control.value = getattr(view.settings, name)
    return controls
