"""What to label next: scores of doubt, and how a batch is chosen by them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy, variation_ratio
from apdlab.moments import Moments
from apdlab.predict import predict_moments
from apdlab.streams import streams
from apdlab.types import is_count


class Picked(NamedTuple):
    """Rows of the pool to label, ``[k]``, the most wanted first, and what they scored, ``[k]``."""

    rows: Tensor
    scores: Tensor


Choose = Callable[[Tensor, Tensor, int, torch.Generator], Tensor]
Acquire = Callable[[Draws, Tensor, Tensor, int, torch.Generator], Picked]


def first_labels(y: Tensor, each: int, *, repeats: int, seed: int) -> Tensor:
    """Choose the rows that are labelled at the start, as many of each class, at random for each repeat.

    Args:
        y: Labels of the pool ``[N]``, int64.
        each: How many of each class.
        repeats: How many choices.
        seed: Of all of them; the choice of a repeat is the same in any company.

    Returns:
        Rows ``[R, K each]``.

    Raises:
        ValueError: If there are fewer than two classes, or one of them has too few.

    Example:
        >>> import torch
        >>> y = torch.tensor([0, 1, 0, 1, 1])
        >>> y[first_labels(y, 2, repeats=3, seed=0)]
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1],
                [0, 0, 1, 1]])
    """
    counts = y.bincount()
    if len(counts) < 2 or not counts.all():
        seen = f"y has labels of {int((counts > 0).sum())} of {len(counts)} classes"
        raise ValueError(f"{seen}; wanted all of 2 or more: number them from 0 on, or take a larger pool")
    if not is_count(each, int(counts.min())):
        raise ValueError(f"each is {each}; wanted 1 to {int(counts.min())}, as many as the rarest class has")
    rows = []
    for generator in streams(seed, "first labels", repeats):
        order = torch.randperm(len(y), generator=generator).to(y.device)
        rows.append(torch.cat([order[y[order] == label][:each] for label in range(len(counts))]))
    return torch.stack(rows)


def highest(scores: Tensor, taken: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Choose the ``k`` rows of the highest scores, of equal ones the first: what most papers do.

    They are chosen one by one: ten near copies of the same image are as wanted as ten different ones.

    Args:
        scores: ``[N]``, higher is wanted more.
        taken: Rows that have a label already, ``[n]``.
        k: How many.
        generator: Not used; every way to choose has one.

    Raises:
        ValueError: If fewer than ``k`` rows are left, or a score is NaN.

    Example:
        >>> import torch
        >>> highest(torch.tensor([0.1, 0.9, 0.5, 0.7]), torch.tensor([1]), 2, torch.Generator())
        tensor([3, 2])
    """
    free = _free(scores, taken, k)
    return free[scores[free].sort(descending=True, stable=True).indices[:k]]


def weighted(scores: Tensor, taken: Tensor, k: int, generator: torch.Generator, *, power: float = 1.0) -> Tensor:
    """Draw ``k`` rows without replacement, each next one with probability ``score^power / sum of those left``.

    With mutual information this is PowerBALD: a batch that is spread by chance costs nothing and does about as well
    as one chosen jointly. It is drawn by the Gumbel trick, the ``k`` largest of ``power log score + g``, with ``g`` of
    density ``exp(-g - exp(-g))``. Power 0 chooses at random. A score of 0, or below by rounding, weighs as the smallest
    number does.

    Args:
        scores: ``[N]``, higher is wanted more.
        taken: Rows that have a label already, ``[n]``.
        k: How many.
        generator: Of the choice.
        power: ``beta``, 0 or more.

    Raises:
        ValueError: If fewer than ``k`` rows are left, a score is NaN, or the power is below 0.

    Source: Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal (2021), Stochastic batch acquisition,
    https://arxiv.org/abs/2106.12059; Kool, van Hoof and Welling (2019), https://arxiv.org/abs/1903.06059

    Example:
        >>> import torch
        >>> scores = torch.tensor([0.1, 0.9, 0.5, 0.7])
        >>> weighted(scores, torch.tensor([1]), 3, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 2, 3])
    """
    if not power >= 0:
        raise ValueError(f"power is {power}; wanted 0 (at random) or more, e.g. 1.0")
    free = _free(scores, taken, k)
    logs = scores[free].double().clamp(min=torch.finfo(torch.float64).tiny).log()
    uniform = torch.rand(len(free), generator=generator, dtype=torch.float64, device=generator.device)
    gumbel = -torch.log(-torch.log(uniform.to(logs.device)))
    return free[(power * logs + gumbel).sort(descending=True, stable=True).indices[:k]]


def _free(scores: Tensor, taken: Tensor, k: int) -> Tensor:
    free = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    free[taken] = False
    rows = free.nonzero().squeeze(1)
    if not is_count(k, len(rows)):
        raise ValueError(f"k is {k}; wanted 1 to {len(rows)}, as many rows as have no label")
    if scores.isnan().any():
        raise ValueError("scores holds NaN; wanted numbers that can be ordered; drop the draws that diverged")
    return rows


def at_random(draws: Draws, x: Tensor, taken: Tensor, k: int, generator: torch.Generator) -> Picked:
    """Pick at random, without a look at the predictions."""
    same = torch.ones(len(x), dtype=torch.float64, device=x.device)
    rows = weighted(same, taken, k, generator, power=0)
    return Picked(rows, torch.zeros_like(same[rows]))


def by_score(
    draws: Draws,
    x: Tensor,
    taken: Tensor,
    k: int,
    generator: torch.Generator,
    *,
    score: Callable[[Moments], Tensor],
    choose: Choose = highest,
) -> Picked:
    """Pick by the doubt of draws.

    Args:
        draws: ``S`` networks of a classifier.
        x: Inputs of the pool, ``[N, ...]``.
        taken: Rows that have a label already, ``[n]``.
        k: How many.
        generator: Of the choice.
        score: An uncertainty, e.g. ``mutual_information``.
        choose: How a batch is made of the scores.

    Returns:
        Rows ``[k]``, none of them taken, all different, and their scores.
    """
    scores = score(predict_moments(draws, x))
    rows = choose(scores, taken, k, generator)
    return Picked(rows, scores[rows])


# BALD: Houlsby et al. (2011), https://arxiv.org/abs/1112.5745; all in Gal et al. (2017), https://arxiv.org/abs/1703.02910
ACQUISITIONS: Mapping[str, Acquire] = {
    "random": at_random,
    "entropy": partial(by_score, score=predictive_entropy),
    "bald": partial(by_score, score=mutual_information),
    "variation_ratio": partial(by_score, score=variation_ratio),
    "power_bald": partial(by_score, score=mutual_information, choose=weighted),
}
