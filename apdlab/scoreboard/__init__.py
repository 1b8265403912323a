"""Posteriors side by side: one row of scores and costs for each, and how far each is from the one it stands for."""

from apdlab.scoreboard.chains import distil, hold_against, mixing, stand_ins
from apdlab.scoreboard.table import Entry, gaps, predictions, rows, spread, to_another, within

__all__ = [
    "Entry",
    "distil",
    "gaps",
    "hold_against",
    "mixing",
    "predictions",
    "rows",
    "spread",
    "stand_ins",
    "to_another",
    "within",
]
