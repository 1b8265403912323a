"""How near one posterior comes to another: in what it predicts, and in its weights."""

from apdlab.fidelity.predictions import agreement, scores, total_variation, uncertainty_correlation
from apdlab.fidelity.side_by_side import Portrait, compare, portrait
from apdlab.fidelity.weights import (
    marginal_distance,
    mean_error,
    nearest_ratio,
    sd_error,
    sliced_wasserstein,
    two_sample_accuracy,
)

__all__ = [
    "Portrait",
    "agreement",
    "compare",
    "marginal_distance",
    "mean_error",
    "nearest_ratio",
    "portrait",
    "scores",
    "sd_error",
    "sliced_wasserstein",
    "total_variation",
    "two_sample_accuracy",
    "uncertainty_correlation",
]
