"""Figures: arrays in, a matplotlib ``Figure`` out; they draw and compute nothing."""

from apdlab.figures.active import asked_classes, learning_curves
from apdlab.figures.attack_view import AttackView
from apdlab.figures.bands import regression_bands
from apdlab.figures.calibration import reliability_diagram, risk_coverage_curves
from apdlab.figures.chains import distillation, traces
from apdlab.figures.cold import hypotheses, sweep
from apdlab.figures.digits import image_grid, predictive_rows
from apdlab.figures.draw import DrawView
from apdlab.figures.frontier import frontier
from apdlab.figures.maps import MapView, training_maps, uncertainty_maps
from apdlab.figures.mixing import autocorrelations, heat_and_speed, ranks
from apdlab.figures.online import courses
from apdlab.figures.ood import detection_dots, roc_curves, score_histograms
from apdlab.figures.paths import planes, spectra
from apdlab.figures.playground import PlaygroundView, step_size_bias
from apdlab.figures.regression import error_bars
from apdlab.figures.robustness import against_size, transfer_matrix
from apdlab.figures.style import COLOURS, NAMES
from apdlab.figures.threshold import ThresholdView
from apdlab.figures.weight_view import Look, WeightView
from apdlab.figures.weights import weight_pairs

__all__ = [
    "COLOURS",
    "NAMES",
    "AttackView",
    "DrawView",
    "Look",
    "MapView",
    "PlaygroundView",
    "ThresholdView",
    "WeightView",
    "against_size",
    "asked_classes",
    "autocorrelations",
    "courses",
    "detection_dots",
    "distillation",
    "error_bars",
    "frontier",
    "heat_and_speed",
    "hypotheses",
    "image_grid",
    "learning_curves",
    "planes",
    "predictive_rows",
    "ranks",
    "regression_bands",
    "reliability_diagram",
    "risk_coverage_curves",
    "roc_curves",
    "score_histograms",
    "spectra",
    "step_size_bias",
    "sweep",
    "traces",
    "training_maps",
    "transfer_matrix",
    "uncertainty_maps",
    "weight_pairs",
]
