"""What attacks do to posteriors: accuracy, doubt, detection and transfer, whether to trust that, and what follows."""

from apdlab.robustness.detection import detection, watch
from apdlab.robustness.grid import Grid, grid
from apdlab.robustness.sanity import gradients, sanity
from apdlab.robustness.sources import sources
from apdlab.robustness.survey import against_size, battery, right, score, survey, transfer
from apdlab.robustness.verdict import verdict

__all__ = [
    "Grid",
    "against_size",
    "battery",
    "detection",
    "gradients",
    "grid",
    "right",
    "sanity",
    "score",
    "sources",
    "survey",
    "transfer",
    "verdict",
    "watch",
]
