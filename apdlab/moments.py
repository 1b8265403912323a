"""Streaming statistics of the predictions of ``S`` draws: all that the metrics need, in ``O(N C)`` memory.

Chunks of draws are summarised one by one and merged pairwise (Chan, Golub and LeVeque 1983), so that ``[S, N, C]``
never exists as a whole and a small variance is never the difference of two large numbers. All sums are kept in float64:
the mutual information is a small difference of entropies.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_NOTHING = -800.0  # log of what is 0 in float64, where -inf times 0 would be NaN
NORMALISED = 1e-2  # far above the rounding of float32, far below the sum of exponentiated logits


class Moments(NamedTuple):
    """Statistics of the class probabilities ``p_s [N, C]`` of ``S`` draws.

    ``draws`` is ``S``; ``log_mean [N, C]`` is ``log (1/S) sum_s p_s``; ``expected_entropy [N]`` is
    ``(1/S) sum_s H[p_s]`` in nats; ``mean [N, C]`` is ``(1/S) sum_s p_s``; ``squares [N, C]`` is
    ``sum_s (p_s - mean)^2``; all float64. ``votes [N, C]`` counts, in int64, the draws whose most probable class is
    that one (the first, if several are).
    """

    draws: int
    log_mean: Tensor
    expected_entropy: Tensor
    mean: Tensor
    squares: Tensor
    votes: Tensor


def moments(log_probs: Tensor) -> Moments:
    """Summarise the predictions of one chunk of draws.

    The mean is a log-sum-exp, so its log is right where the mean itself underflows; a class of probability 0
    (``log_probs`` of ``-inf``) adds 0 to the entropy. Temporaries take about 40 bytes for each entry of the chunk.

    Args:
        log_probs: Log class probabilities of each draw, ``[S, N, C]``.

    Returns:
        Their moments.

    Raises:
        ValueError: If ``log_probs`` is not ``[S, N, C]``, not float32 or float64, NaN, or not normalised.

    Example:
        >>> import torch
        >>> chunk = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]).log()
        >>> moments(chunk).mean
        tensor([[0.7000, 0.3000]], dtype=torch.float64)
    """
    log_probs, probs = _exact(log_probs, ("S", "N", "C"))
    draws, mean = len(probs), probs.mean(0)
    winners = log_probs.max(-1).indices.T
    votes = torch.zeros_like(mean, dtype=torch.int64).scatter_add_(1, winners, torch.ones_like(winners))
    return Moments(
        draws=draws,
        log_mean=log_probs.logsumexp(0) - math.log(draws),
        expected_entropy=_entropy(probs, log_probs).mean(0),
        mean=mean,
        squares=(probs - mean).square_().sum(0),
        votes=votes,
    )


def merge(a: Moments, b: Moments) -> Moments:
    """Merge the moments of two disjoint chunks of draws into those of their union.

    ``squares = squares_a + squares_b + (mean_b - mean_a)^2 S_a S_b / (S_a + S_b)``.

    Source: Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance,
    https://doi.org/10.1080/00031305.1983.10483115

    Args:
        a: Moments of one chunk.
        b: Moments of another chunk, on the same examples.

    Returns:
        The moments of all draws, whatever the cut: ``functools.reduce(merge, map(moments, chunks))``.

    Raises:
        ValueError: If the two speak of different numbers of examples or classes.

    Example:
        >>> import torch
        >>> chunk = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]).log()
        >>> both = merge(moments(chunk[:1]), moments(chunk[1:]))
        >>> both.draws, both.squares
        (2, tensor([[0.0800, 0.0800]], dtype=torch.float64))
    """
    refuse_unlike(a, b)
    draws = a.draws + b.draws
    weight_a, weight_b = a.draws / draws, b.draws / draws
    delta = b.mean - a.mean
    return Moments(
        draws=draws,
        log_mean=torch.logaddexp(a.log_mean + math.log(weight_a), b.log_mean + math.log(weight_b)),
        expected_entropy=weight_a * a.expected_entropy + weight_b * b.expected_entropy,
        mean=a.mean + delta * weight_b,
        squares=a.squares + b.squares + delta.square() * (a.draws * weight_b),
        votes=a.votes + b.votes,
    )


def refuse_unlike(a: Moments, b: Moments) -> None:
    """Refuse moments of different numbers of examples or classes."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"b has [N, C] = {tuple(b.mean.shape)} and a {tuple(a.mean.shape)}; "
            "wanted the same examples and classes; pass the same x to both"
        )


def entropy(log_probs: Tensor) -> Tensor:
    """Compute the entropy ``H[p] = -sum_k p_k log p_k`` over the last axis, in nats and in float64.

    Args:
        log_probs: Log probabilities, ``[..., C]``; ``-inf`` adds 0.

    Returns:
        Entropies, ``[...]``.

    Example:
        >>> import torch
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()).abs()
        tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    log_probs = _double(log_probs)
    return _entropy(log_probs.exp(), log_probs)


def _double(log_probs: Tensor) -> Tensor:
    # In one layout the sums of equal inputs are equal to the last bit, so that one draw informs by exactly 0.
    return log_probs.double().contiguous()


def _entropy(probs: Tensor, log_probs: Tensor) -> Tensor:
    return log_probs.clamp_min(_NOTHING).mul_(probs).sum(-1).neg_()


def probabilities(log_probs: Tensor, axes: tuple[str, ...]) -> Tensor:
    """Exponentiate log probabilities, after a check that they are some.

    Args:
        log_probs: Log probabilities, the classes last.
        axes: The names of the axes that it must have, e.g. ``("N", "C")``.

    Returns:
        The probabilities, of the same shape, in float64.

    Raises:
        ValueError: If the axes are others or empty, the type is not float32 or float64, an entry is NaN, or
            the probabilities of an example do not sum to 1.

    Example:
        >>> import torch
        >>> probabilities(torch.tensor([[0.25, 0.75]]).log(), ("N", "C"))
        tensor([[0.2500, 0.7500]], dtype=torch.float64)
    """
    return _exact(log_probs, axes)[1]


def _exact(log_probs: Tensor, axes: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Give log probabilities and probabilities in float64, after the checks of ``probabilities``."""
    if log_probs.ndim != len(axes) or log_probs.numel() == 0:
        wanted = f"[{', '.join(axes)}]"
        raise ValueError(f"log_probs has shape {tuple(log_probs.shape)}; wanted {wanted}, none of them 0")
    if log_probs.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"log_probs is {log_probs.dtype}; wanted float32 or float64; call .float() on it")
    log_probs = _double(log_probs)
    probs = log_probs.exp()
    error = (probs.sum(-1) - 1).abs().max().item()
    if math.isnan(error):
        raise ValueError("log_probs holds NaN; wanted log probabilities; drop the draws that diverged")
    if error > NORMALISED:
        raise ValueError(
            f"log_probs has probabilities whose sum is off 1 by {error:.3g}; wanted normalised log probabilities; "
            "apply log_softmax to logits"
        )
    return log_probs, probs
