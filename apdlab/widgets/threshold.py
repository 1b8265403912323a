"""Choose when to pass an input on."""

import ipywidgets as widgets

from apdlab.figures.threshold import ThresholdView
from apdlab.widgets.picture import Picture


def threshold_explorer(view: ThresholdView) -> widgets.VBox:
    """Wire a view of doubt to a slider of its threshold; arrow keys move it when it has the focus.

    Args:
        view: The figure, with all that it shows already computed.

    Returns:
        A box of slider and picture.

    Example:
        >>> import torch
        >>> doubt, right = torch.tensor([0.1, 0.2, 0.6]), torch.tensor([True, True, False])
        >>> view = ThresholdView(torch.zeros(3, 1, 8, 8), "abc", doubt, right, {"noise": torch.ones(5)}, 0.3)
        >>> box = threshold_explorer(view)
        >>> box.children[0].value = 0.15
        >>> view.fig.get_suptitle()
        'threshold 0.15: 33 % of your inputs answered, 0.0 % of these wrong'
    """
    picture = Picture(view.fig)
    limits = {"min": 0.0, "max": view.top, "step": view.top / 100}
    slider = widgets.FloatSlider(view.threshold, description="threshold", readout_format=".2f", **limits)
    slider.layout.width = "480px"

    def move(change: dict) -> None:
        view.show(change["new"])
        picture.refresh()

    slider.observe(move, names="value")
    return widgets.VBox([slider, picture.image])
