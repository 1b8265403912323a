"""How near the predictions of two posteriors are: scores side by side, distances, and do they doubt the same inputs.

Where chains have mixed in functions but not in weights, only these compare posteriors fairly.
"""

import math

from torch import Tensor

from apdlab.metrics import accuracy, brier, ece, mutual_information, nll
from apdlab.moments import Moments, refuse_unlike


def scores(m: Moments, y: Tensor) -> dict[str, float]:
    """Score the predictions of a posterior: accuracy, NLL, Brier, ECE, and the mean mutual information of its draws.

    Args:
        m: Moments of its predictions on ``N`` examples.
        y: Labels ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> scores(moments(torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]).log()), torch.tensor([0]))["accuracy"]
        1.0
    """
    return {
        "accuracy": accuracy(m.log_mean, y),
        "nll": nll(m.log_mean, y),
        "brier": brier(m.log_mean, y),
        "ece": ece(m.log_mean, y),
        "mutual_information": mutual_information(m).mean().item(),
    }


def agreement(a: Moments, b: Moments) -> float:
    """Compute the share of examples on which two posterior predictives choose the same class (the first, if several).

    It sees only the top class, so it is near 1 between any two good classifiers; and nothing of their confidence.

    Args:
        a: Moments of the predictions of one posterior on ``N`` examples.
        b: Moments of another, on the same ones.

    Returns:
        A share in ``[0, 1]``.

    Raises:
        ValueError: If the two speak of different numbers of examples or classes.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> a, b = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]]), torch.tensor([[[0.6, 0.4], [0.3, 0.7]]])
        >>> agreement(moments(a.log()), moments(b.log()))
        0.5
    """
    refuse_unlike(a, b)
    return (a.log_mean.argmax(-1) == b.log_mean.argmax(-1)).double().mean().item()


def total_variation(a: Moments, b: Moments) -> float:
    """Measure how far apart two posterior predictives are: ``(1/N) sum_n 1/2 sum_k |p_nk - q_nk|``.

    It sees the mean prediction, and nothing of how the draws disagree around it.

    Args:
        a: Moments of the predictions of one posterior on ``N`` examples.
        b: Moments of another, on the same ones.

    Returns:
        A distance in ``[0, 1]``; finite numbers of draws leave some between equal posteriors, too.

    Raises:
        ValueError: If the two speak of different numbers of examples or classes.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> a, b = torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[0.6, 0.4]]])
        >>> round(total_variation(moments(a.log()), moments(b.log())), 4)
        0.3
    """
    refuse_unlike(a, b)
    return 0.5 * (a.mean - b.mean).abs().sum(-1).mean().item()


def uncertainty_correlation(a: Moments, b: Moments, floor: float = 1e-9) -> float:
    """Correlate the log mutual information of two posteriors over examples: do they doubt the same inputs?

    Unlike its mean, this cannot be tuned by one noise level. It is NaN for a point estimate, which doubts nothing.

    Args:
        a: Moments of the predictions of one posterior on ``N`` examples.
        b: Moments of another, on the same ones.
        floor: Added to the mutual information, in nats, before the log.

    Raises:
        ValueError: If the two speak of different numbers of examples or classes.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> p = torch.rand(5, 20, 3, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
        >>> round(uncertainty_correlation(moments(p), moments(p)), 4)
        1.0
    """
    refuse_unlike(a, b)
    x, y = ((mutual_information(m) + floor).log() for m in (a, b))
    if (x == x[0]).all() or (y == y[0]).all():  # else the rounding of the mean would be correlated
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    return ((x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()).item()
