"""Widgets: figures wired to controls; no mathematics."""

from apdlab.widgets.attacks import attack_explorer
from apdlab.widgets.draws import draw_explorer
from apdlab.widgets.maps import map_explorer
from apdlab.widgets.picture import Picture
from apdlab.widgets.playground import Playground
from apdlab.widgets.threshold import threshold_explorer
from apdlab.widgets.weights import weight_explorer

__all__ = [
    "Picture",
    "Playground",
    "attack_explorer",
    "draw_explorer",
    "map_explorer",
    "threshold_explorer",
    "weight_explorer",
]
