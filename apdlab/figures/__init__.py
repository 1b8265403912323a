"""Figures: arrays in, a matplotlib ``Figure`` out; they draw and compute nothing."""

from apdlab.figures.attack_view import AttackView
from apdlab.figures.calibration import reliability_diagram, risk_coverage_curves
from apdlab.figures.chains import distillation, traces
from apdlab.figures.cold import hypotheses, sweep
from apdlab.figures.digits import image_grid, predictive_rows
from apdlab.figures.draw import DrawView
from apdlab.figures.frontier import frontier
from apdlab.figures.mixing import autocorrelations, heat_and_speed, ranks
from apdlab.figures.playground import PlaygroundView, step_size_bias
from apdlab.figures.regression import error_bars
from apdlab.figures.robustness import against_size, transfer_matrix
from apdlab.figures.style import COLOURS, NAMES
from apdlab.figures.threshold import ThresholdView
from apdlab.figures.weights import weight_pairs

__all__ = [
    "COLOURS",
    "NAMES",
    "AttackView",
    "DrawView",
    "PlaygroundView",
    "ThresholdView",
    "against_size",
    "autocorrelations",
    "distillation",
    "error_bars",
    "frontier",
    "heat_and_speed",
    "hypotheses",
    "image_grid",
    "predictive_rows",
    "ranks",
    "reliability_diagram",
    "risk_coverage_curves",
    "step_size_bias",
    "sweep",
    "traces",
    "transfer_matrix",
    "weight_pairs",
]
