"""Attacks on a few images by all combinations of what a reader may choose, computed for an explorer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.draws import Draws
from apdlab.metrics import expected_entropy, mutual_information, predictive_entropy
from apdlab.predict import predict, predict_moments
from apdlab.predictor import predictor
from apdlab.robustness.survey import Plan
from apdlab.types import Data

DOUBTS = {"total": predictive_entropy, "aleatoric": expected_entropy, "epistemic": mutual_information}


class Grid(NamedTuple):
    """All that an explorer shows, computed: ``P`` posteriors, ``A`` attacks, ``E`` sizes, ``T`` numbers of steps.

    Attributes:
        x: Images ``[N, 1, H, W]``.
        y: Labels ``[N]``.
        axes: The names along ``P`` and ``A``, the numbers along ``E`` and ``T``.
        found: Attacked images ``[P, A, E, T, N, 1, H, W]``.
        probs: Low quantile, mean and high quantile over draws of the class probabilities, ``[P, A, E, T, N, 3, K]``.
        doubts: Total, aleatoric, epistemic, ``[P, A, E, T, N, 3]``.
        clean_probs: Of the clean images, ``[P, N, 3, K]``.
        clean_doubts: Of the clean images, ``[P, N, 3]``.
    """

    x: Tensor
    y: Tensor
    axes: tuple[Sequence, Sequence, Sequence, Sequence]
    found: Tensor
    probs: Tensor
    doubts: Tensor
    clean_probs: Tensor
    clean_doubts: Tensor


def grid(
    draws: Mapping[str, Draws], plans: Mapping[str, Plan], eps: Sequence[float], steps: Sequence[int], data: Data
) -> Grid:
    """Attack a few images by all combinations of posterior, plan, size and number of steps.

    Args:
        draws: Posteriors, under the id of each method.
        plans: ``(statistic, attack)``; attacks are called with ``eps`` and ``steps``.
        eps: Sizes, in units of the data.
        steps: Numbers of steps.
        data: A few labelled images.

    Returns:
        What was found, and what the draws say of it.

    Example:
        >>> import torch
        >>> from apdlab.attacks import pgd
        >>> from apdlab.networks import mlp
        >>> from apdlab.predictor import log_mean
        >>> data = Data(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
        >>> made = grid({"sgld": Draws(mlp(4, 3), torch.ones(5, 15))}, {"PGD": (log_mean, pgd)}, [0.1, 0.2], [1], data)
        >>> made.probs.shape
        torch.Size([1, 1, 2, 1, 2, 3, 3])
    """
    size = len(draws), len(plans), len(eps), len(steps)
    found, seen, clean = [], [], [_seen(one, data.x) for one in draws.values()]
    for one in draws.values():
        for statistic, attack in plans.values():
            f = predictor(one, statistic)
            found += [attack(f, data.x, data.y, eps=e, steps=t) for e in eps for t in steps]
            seen += [_seen(one, x) for x in found[-len(eps) * len(steps) :]]
    probs, doubts = (torch.stack(part).unflatten(0, size) for part in zip(*seen, strict=True))
    clean_probs, clean_doubts = (torch.stack(part) for part in zip(*clean, strict=True))
    axes = tuple(draws), tuple(plans), tuple(eps), tuple(steps)
    return Grid(*data, axes, torch.stack(found).unflatten(0, size), probs, doubts, clean_probs, clean_doubts)


def _seen(draws: Draws, x: Tensor) -> tuple[Tensor, Tensor]:
    p, m = predict(draws, x).exp(), predict_moments(draws, x)
    probs = torch.stack([p.quantile(0.05, 0), p.mean(0), p.quantile(0.95, 0)], 1)
    return probs, torch.stack([doubt(m) for doubt in DOUBTS.values()], -1)
