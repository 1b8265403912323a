"""Attacks: ``attack(predictor, x, y, *, eps, ...) -> x'`` with ``|x' - x| <= eps`` and ``x'`` in the box of the data.

A predictor is any function of ``x [N, ...]``; a loss makes ``[N]`` of what it gives and of the labels ``y``, and is to
grow. ``eps`` is in units of the data, whose box is ``[-1, 1]`` here: twice what papers quote on pixels of ``[0, 1]``.
Attacks are told the true labels and are untargeted.
"""

from apdlab.attacks.apgd import apgd
from apdlab.attacks.fgsm import fgsm
from apdlab.attacks.gradient import loss_and_grad
from apdlab.attacks.losses import cross_entropy, evasive, margin
from apdlab.attacks.noise import noise
from apdlab.attacks.norms import L2, LINF, Norm
from apdlab.attacks.pgd import pgd
from apdlab.attacks.square import square

__all__ = [
    "L2",
    "LINF",
    "Norm",
    "apgd",
    "cross_entropy",
    "evasive",
    "fgsm",
    "loss_and_grad",
    "margin",
    "noise",
    "pgd",
    "square",
]
