"""Samplers: one file a kernel, one loop for all of them; ``laws`` says what their draws are on a Gaussian."""

from apdlab.samplers import laws
from apdlab.samplers.cyclical import Cycles, cyclical
from apdlab.samplers.hmc import hmc
from apdlab.samplers.precondition import layerwise_mass, preconditioned, with_mass
from apdlab.samplers.psgld import psgld
from apdlab.samplers.run import Diverged, Position, Run, Step, keep, keep_at, progress
from apdlab.samplers.sghmc import from_wenzel, sghmc, symplectic_euler
from apdlab.samplers.sgld import from_apd, relaxation_steps, sgld
from apdlab.samplers.sgnht import sgnht

__all__ = [
    "Cycles",
    "Diverged",
    "Position",
    "Run",
    "Step",
    "cyclical",
    "from_apd",
    "from_wenzel",
    "hmc",
    "keep",
    "keep_at",
    "laws",
    "layerwise_mass",
    "preconditioned",
    "progress",
    "psgld",
    "relaxation_steps",
    "sghmc",
    "sgld",
    "sgnht",
    "symplectic_euler",
    "with_mass",
]
