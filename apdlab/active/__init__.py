"""Active learning: a posterior says which labels it wants next, and is judged by what it makes of them."""

from apdlab.active.acquire import ACQUISITIONS, Picked, first_labels, highest, weighted
from apdlab.active.learners import apd, distilled, dropout, sampled, sgd, sgld
from apdlab.active.rounds import Round, labels_to_reach, rounds, rows

__all__ = [
    "ACQUISITIONS",
    "Picked",
    "Round",
    "apd",
    "distilled",
    "dropout",
    "first_labels",
    "highest",
    "labels_to_reach",
    "rounds",
    "rows",
    "sampled",
    "sgd",
    "sgld",
    "weighted",
]
