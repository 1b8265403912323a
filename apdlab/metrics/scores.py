"""Scores of predictions against labels: how good they are, and how honest about it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from apdlab.moments import probabilities
from apdlab.types import is_count


class Reliability(NamedTuple):
    """Mean ``confidence``, ``accuracy`` and ``count`` of bins of top-label probability, ``[bins]``; NaN where empty."""

    confidence: Tensor
    accuracy: Tensor
    count: Tensor


def accuracy(log_probs: Tensor, y: Tensor) -> float:
    """Compute the share of examples whose most probable class (the first, if several are) is the label.

    Args:
        log_probs: Log class probabilities, ``[N, C]``.
        y: Labels, integers in ``[0, C)``, ``[N]``.

    Returns:
        A share in ``[0, 1]``.

    Raises:
        ValueError: If ``log_probs`` are no log probabilities, or ``y`` no labels of them.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]))
        0.5
    """
    _check(log_probs, y)
    return (log_probs.argmax(-1) == y).double().mean().item()


def nll(log_probs: Tensor, y: Tensor) -> float:
    """Compute the negative log likelihood ``-(1/N) sum_n log p(y_n | x_n)``.

    Args:
        log_probs: Log class probabilities, ``[N, C]``.
        y: Labels, integers in ``[0, C)``, ``[N]``.

    Returns:
        Nats an example; infinite if a label has probability 0.

    Raises:
        ValueError: If ``log_probs`` are no log probabilities, or ``y`` no labels of them.

    Example:
        >>> import torch
        >>> round(nll(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1])), 4)
        0.5108
    """
    _check(log_probs, y)
    return -log_probs.gather(1, y.long()[:, None]).double().mean().item()


def brier(log_probs: Tensor, y: Tensor) -> float:
    """Compute the Brier score ``(1/N) sum_n sum_k (p_nk - [y_n = k])^2``: sum over classes, mean over examples.

    Source: Brier (1950), Verification of forecasts expressed in terms of probability.

    Args:
        log_probs: Log class probabilities, ``[N, C]``.
        y: Labels, integers in ``[0, C)``, ``[N]``.

    Returns:
        A score in ``[0, 2]``.

    Raises:
        ValueError: If ``log_probs`` are no log probabilities, or ``y`` no labels of them.

    Example:
        >>> import torch
        >>> round(brier(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1])), 4)
        0.37
    """
    probs = _check(log_probs, y)
    return (probs - one_hot(y.long(), probs.shape[1])).square().sum(-1).mean().item()


def ece(log_probs: Tensor, y: Tensor, bins: int = 15) -> float:
    """Compute the expected calibration error ``sum_b (n_b / N) |accuracy_b - confidence_b|`` of the top label.

    Source: Guo et al. (2017), On calibration of modern neural networks, https://arxiv.org/abs/1706.04599

    Args:
        log_probs: Log class probabilities, ``[N, C]``.
        y: Labels, integers in ``[0, C)``, ``[N]``.
        bins: How many bins of equal width.

    Returns:
        An error in ``[0, 1]``.

    Raises:
        ValueError: If ``log_probs`` are no log probabilities, ``y`` no labels of them, or ``bins`` below 1.

    Example:
        >>> import torch
        >>> round(ece(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1])), 4)
        0.35
    """
    by_bin = reliability(log_probs, y, bins)
    gap = (by_bin.accuracy - by_bin.confidence).abs() * by_bin.count
    return gap[by_bin.count > 0].sum().item() / len(y)


def reliability(log_probs: Tensor, y: Tensor, bins: int = 15) -> Reliability:
    """Compare confidence with accuracy in bins ``((b - 1) / bins, b / bins]`` of the top-label probability.

    Args:
        log_probs: Log class probabilities, ``[N, C]``.
        y: Labels, integers in ``[0, C)``, ``[N]``.
        bins: How many bins of equal width.

    Returns:
        Mean confidence, accuracy and count of each bin.

    Raises:
        ValueError: If ``log_probs`` are no log probabilities, ``y`` no labels of them, or ``bins`` below 1.

    Example:
        >>> import torch
        >>> reliability(torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log(), torch.tensor([0, 1]), bins=2).count
        tensor([0, 2])
    """
    if not is_count(bins):
        raise ValueError(f"bins is {bins}; wanted 1 or more, a whole number, e.g. 15")
    confidence, label = _check(log_probs, y).max(-1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    index = torch.bucketize(confidence, edges)
    count = torch.bincount(index, minlength=bins)
    sums = (torch.bincount(index, value, minlength=bins) for value in (confidence, (label == y).double()))
    return Reliability(*(total / count for total in sums), count)


def _check(log_probs: Tensor, y: Tensor) -> Tensor:
    probs = probabilities(log_probs, ("N", "C"))
    classes = probs.shape[1]
    if y.shape != probs.shape[:1]:
        raise ValueError(
            f"y has shape {tuple(y.shape)}; wanted [N] = ({len(probs)},), one label for each row of log_probs"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"y is {y.dtype}; wanted integer labels; call .long() on it")
    low, high = y.min().item(), y.max().item()
    if low < 0 or high >= classes:
        raise ValueError(
            f"y has labels from {low} to {high}; wanted 0 to {classes - 1}, as log_probs has C = {classes}"
        )
    return probs
