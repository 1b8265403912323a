"""Distillers: what turns draws into a posterior that no longer needs them."""

from apdlab.distill import flow, gan, gaussian, judge, mixture, online
from apdlab.distill.coordinates import Codes, Coordinates, Distilled, pca, raw, standardised

__all__ = [
    "Codes",
    "Coordinates",
    "Distilled",
    "flow",
    "gan",
    "gaussian",
    "judge",
    "mixture",
    "online",
    "pca",
    "raw",
    "standardised",
]
