"""Samplers: one file a kernel, one loop for all of them."""

from apdlab.samplers.run import Diverged, Position, Run, Step, keep, progress
from apdlab.samplers.sghmc import from_wenzel, sghmc, symplectic_euler
from apdlab.samplers.sgld import from_apd, relaxation_steps, sgld

__all__ = [
    "Diverged",
    "Position",
    "Run",
    "Step",
    "from_apd",
    "from_wenzel",
    "keep",
    "progress",
    "relaxation_steps",
    "sghmc",
    "sgld",
    "symplectic_euler",
]
