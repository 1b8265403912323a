"""Walk through the networks of a posterior."""

import ipywidgets as widgets

from apdlab.figures.draw import DrawView
from apdlab.widgets.picture import Picture


def draw_explorer(view: DrawView) -> widgets.VBox:
    """Wire a view of single draws to two sliders; arrow keys move a slider that has the focus.

    Args:
        view: The figure, with all that it shows already computed.

    Returns:
        A box of sliders and picture.

    Example:
        >>> import torch
        >>> probs, filters = {"sgld": torch.full((5, 2, 10), 0.1)}, {"sgld": torch.zeros(5, 10, 8, 8)}
        >>> box = draw_explorer(DrawView(torch.zeros(2, 1, 8, 8), torch.tensor([3, 4]), probs, filters))
        >>> [type(child).__name__ for child in box.children]
        ['HBox', 'Image']
    """
    picture = Picture(view.fig)
    draw = widgets.IntSlider(description="draw", max=view.draws - 1)
    example = widgets.IntSlider(description="image", max=len(view.y) - 1)

    def move(_: object) -> None:
        view.show(draw.value, example.value)
        picture.refresh()

    for slider in (draw, example):
        slider.observe(move, names="value")
    return widgets.VBox([widgets.HBox([draw, example]), picture.image])
