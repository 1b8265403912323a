"""What the notebooks ask, with hints, answers and checks: one file a notebook."""

from apdlab.lessons.attacks import FLATTERING_ATTACK
from apdlab.lessons.cold import REAL_TEMPERATURE
from apdlab.lessons.mixing import HOT_BY_A_TWENTIETH
from apdlab.lessons.own import ANSWERED_SHARE
from apdlab.lessons.performance import BLIND_MEASURE
from apdlab.lessons.playground import WIDER_BY_A_QUARTER
from apdlab.lessons.start import AGREED_DOUBT

__all__ = [
    "AGREED_DOUBT",
    "ANSWERED_SHARE",
    "BLIND_MEASURE",
    "FLATTERING_ATTACK",
    "HOT_BY_A_TWENTIETH",
    "REAL_TEMPERATURE",
    "WIDER_BY_A_QUARTER",
]
