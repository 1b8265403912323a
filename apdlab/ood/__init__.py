"""Out-of-distribution detection: are inputs unlike the data told apart, by which score, and how sure is that?"""

from apdlab.ood.detection import SCORES, Resamples, detection, resamples, roc, scores
from apdlab.ood.tables import (
    Case,
    Seen,
    blame,
    brightness,
    detect,
    gaps,
    intervals,
    look,
    tabulate,
    verdicts,
)

__all__ = [
    "SCORES",
    "Case",
    "Resamples",
    "Seen",
    "blame",
    "brightness",
    "detect",
    "detection",
    "gaps",
    "intervals",
    "look",
    "resamples",
    "roc",
    "scores",
    "tabulate",
    "verdicts",
]
