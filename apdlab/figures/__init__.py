"""Figures: arrays in, a matplotlib ``Figure`` out; they draw and compute nothing."""

from apdlab.figures.calibration import reliability_diagram
from apdlab.figures.chains import distillation, traces
from apdlab.figures.digits import image_grid, predictive_rows
from apdlab.figures.draw import DrawView
from apdlab.figures.style import COLOURS, NAMES
from apdlab.figures.weights import weight_pairs

__all__ = [
    "COLOURS",
    "NAMES",
    "DrawView",
    "distillation",
    "image_grid",
    "predictive_rows",
    "reliability_diagram",
    "traces",
    "weight_pairs",
]
