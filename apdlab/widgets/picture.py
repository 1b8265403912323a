"""A kept matplotlib figure in a widget: drawn again as PNG, without flicker and without a growing pile of figures."""

from collections.abc import Sequence
from io import BytesIO

import ipywidgets as widgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

FIT = "calc(100% - 4px)"  # of the cell, less the margins that Jupyter gives a widget


class Picture:
    """Shows a figure in an ``ipywidgets.Image`` of fixed width; ``refresh`` after the figure was changed.

    Args:
        fig: The figure, changed in place by whoever owns it.
        dpi: Pixels per inch.
        moving: The only artists that change between two ``redraw``: they are drawn over a kept background, which is
            several times faster. Everything is drawn anew if there are none.

    Example:
        >>> picture = Picture(Figure(figsize=(2, 1)))
        >>> bytes(picture.image.value[1:4])
        b'PNG'
    """

    def __init__(self, fig: Figure, dpi: int = 100, moving: Sequence[Artist] = ()) -> None:
        self.fig, self.dpi, self._moving = fig, dpi, moving
        fig.set_dpi(dpi)
        self._canvas = FigureCanvasAgg(fig)
        for artist in moving:
            artist.set_animated(True)  # left out when the background is drawn
        width = round(fig.get_figwidth() * dpi)
        self.image = widgets.Image(format="png", layout=widgets.Layout(width=f"{width}px", max_width=FIT))
        self.redraw()

    def redraw(self) -> None:
        """Draw the whole figure and show it."""
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self.fig.bbox)
        self._send()

    def refresh(self) -> None:
        """Show what moved; the whole figure, if anything may."""
        if self._moving:
            self._canvas.restore_region(self._background)
            self._send()
        else:
            self.redraw()

    def _send(self) -> None:
        for artist in self._moving:
            self.fig.draw_artist(artist)
        buffer = BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).save(buffer, format="png", compress_level=1)
        self.image.value = buffer.getvalue()
