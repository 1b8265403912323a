"""Posteriors that are not chains."""

from apdlab.posterior.point import mean_of_weights, point

__all__ = ["mean_of_weights", "point"]
