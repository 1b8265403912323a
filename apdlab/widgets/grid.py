"""Controls in three columns that fit the width of a cell."""

from collections.abc import Iterable

import ipywidgets as widgets

STYLE = {"description_width": "90px"}  # of controls whose names are short


def grid(controls: Iterable[widgets.Widget]) -> widgets.GridBox:
    """Lay controls out in three columns, as wide as the cell and at most 960 pixels: none is cut on a narrow screen.

    Args:
        controls: In reading order; their own widths are given up.

    Example:
        >>> len(grid([widgets.IntSlider(), widgets.Dropdown()]).children)
        2
    """
    controls = list(controls)
    for control in controls:
        control.layout.width = "auto"
    columns = "repeat(3, minmax(0, 1fr))"
    layout = widgets.Layout(grid_template_columns=columns, width="100%", max_width="960px")
    return widgets.GridBox(controls, layout=layout)
