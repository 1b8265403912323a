"""What the notebooks ask, with hints, answers and checks: one file a notebook."""

from apdlab.lessons.active import RUNNING_MAXIMUM
from apdlab.lessons.anomaly import BLIND_BRIGHTNESS
from apdlab.lessons.attacks import FLATTERING_ATTACK
from apdlab.lessons.cold import REAL_TEMPERATURE
from apdlab.lessons.maps import ENOUGH_DRAWS
from apdlab.lessons.mixing import HOT_BY_A_TWENTIETH
from apdlab.lessons.online import WORTH_IT
from apdlab.lessons.own import ANSWERED_SHARE
from apdlab.lessons.paths import SHARE_OF_A_WALK
from apdlab.lessons.performance import BLIND_MEASURE
from apdlab.lessons.playground import WIDER_BY_A_QUARTER
from apdlab.lessons.start import AGREED_DOUBT

__all__ = [
    "AGREED_DOUBT",
    "ANSWERED_SHARE",
    "BLIND_BRIGHTNESS",
    "BLIND_MEASURE",
    "ENOUGH_DRAWS",
    "FLATTERING_ATTACK",
    "HOT_BY_A_TWENTIETH",
    "REAL_TEMPERATURE",
    "RUNNING_MAXIMUM",
    "SHARE_OF_A_WALK",
    "WIDER_BY_A_QUARTER",
    "WORTH_IT",
]
