"""A kept matplotlib figure in a widget: drawn again as PNG, without flicker and without a growing pile of figures."""

from io import BytesIO

import ipywidgets as widgets
from matplotlib.figure import Figure


class Picture:
    """Shows a figure in an ``ipywidgets.Image`` of fixed width; ``refresh`` after the figure was changed.

    Args:
        fig: The figure, changed in place by whoever owns it.
        dpi: Pixels per inch.

    Example:
        >>> picture = Picture(Figure(figsize=(2, 1)))
        >>> bytes(picture.image.value[1:4])
        b'PNG'
    """

    def __init__(self, fig: Figure, dpi: int = 100) -> None:
        self.fig, self.dpi = fig, dpi
        width = round(fig.get_figwidth() * dpi)
        self.image = widgets.Image(format="png", layout=widgets.Layout(width=f"{width}px", max_width="100%"))
        self.refresh()

    def refresh(self) -> None:
        """Draw the figure and show it."""
        buffer = BytesIO()
        self.fig.savefig(buffer, format="png", dpi=self.dpi, pil_kwargs={"compress_level": 1})
        self.image.value = buffer.getvalue()
