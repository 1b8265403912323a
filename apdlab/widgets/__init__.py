"""Widgets: figures wired to controls; no mathematics."""

from apdlab.widgets.draws import draw_explorer
from apdlab.widgets.picture import Picture

__all__ = ["Picture", "draw_explorer"]
