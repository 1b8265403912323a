"""How good a prediction is, and how sure: scores against labels, uncertainties of draws, and the two together."""

from apdlab.metrics.scores import Reliability, accuracy, brier, ece, nll, reliability
from apdlab.metrics.selection import RiskCoverage, risk_coverage
from apdlab.metrics.uncertainties import (
    expected_entropy,
    max_probability,
    model_variance,
    mutual_information,
    predictive_entropy,
    variation_ratio,
)

__all__ = [
    "Reliability",
    "RiskCoverage",
    "accuracy",
    "brier",
    "ece",
    "expected_entropy",
    "max_probability",
    "model_variance",
    "mutual_information",
    "nll",
    "predictive_entropy",
    "reliability",
    "risk_coverage",
    "variation_ratio",
]
