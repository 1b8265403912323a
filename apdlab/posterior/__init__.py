"""Posteriors that are not chains."""

from apdlab.posterior import dropout, sgd, swag
from apdlab.posterior.point import mean_of_weights, point

__all__ = ["dropout", "mean_of_weights", "point", "sgd", "swag"]
