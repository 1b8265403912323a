"""What attacks make grow: losses ``(output of the predictor, y [N]) -> [N]``."""

from collections.abc import Callable

import torch
from torch import Tensor

from apdlab.metrics import mutual_information
from apdlab.predictor import Averages


def cross_entropy(log_probs: Tensor, y: Tensor) -> Tensor:
    """Compute ``-log p(y)``.

    Of ``predictor(draws)`` it is the loss of the averaged predictive; of ``predictor(draws, mean_log)`` the mean of the
    draws' losses, which weighs every draw alike: another attack.

    Args:
        log_probs: ``[N, K]``.
        y: Labels ``[N]``.

    Returns:
        ``[N]``.

    Raises:
        ValueError: If there is one class only.

    Example:
        >>> import torch
        >>> cross_entropy(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([0]))
        tensor([0.6931])
    """
    if log_probs.shape[-1] < 2:
        seen = f"log_probs has shape {tuple(log_probs.shape)}, {log_probs.shape[-1]} class"
        raise ValueError(f"{seen}; wanted [N, K] with K of 2 or more: give the network an output for each class")
    return -log_probs.gather(-1, y[:, None])[:, 0]


def margin(log_probs: Tensor, y: Tensor) -> Tensor:
    """Compute ``max_{k != y} log p(k) - log p(y)``: above 0 exactly where the prediction is wrong.

    Its gradient does not vanish where ``p(y)`` is 1 but for rounding.

    Source: Carlini and Wagner (2017), Towards evaluating the robustness of neural networks,
    https://arxiv.org/abs/1608.04644

    Args:
        log_probs: ``[N, K]``.
        y: Labels ``[N]``.

    Returns:
        ``[N]``.

    Example:
        >>> import torch
        >>> margin(torch.tensor([[0.2, 0.8], [0.8, 0.2]]).log(), torch.tensor([0, 0]))
        tensor([ 1.3863, -1.3863])
    """
    others = log_probs.scatter(-1, y[:, None], -torch.inf)
    return others.amax(-1) + cross_entropy(log_probs, y)


def evasive(
    weight: float, confidence: float = 1.0, score: Callable[[Averages], Tensor] = mutual_information
) -> Callable[[Averages, Tensor], Tensor]:
    """Make the adaptive loss ``min(margin, confidence) - weight score``: wrong, and not noticed by a score of doubt.

    It is for ``predictor(draws, averages)``. Once the margin is as large as asked, only the score counts.

    Args:
        weight: Of the score, in nats of margin for a nat of it.
        confidence: Margin that is enough, in nats.
        score: Of doubt, which a defender watches.

    Returns:
        The loss.

    Raises:
        ValueError: If the weight is below 0.

    Source: Carlini and Wagner (2017), Adversarial examples are not easily detected, https://arxiv.org/abs/1705.07263

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> m = moments(torch.tensor([[[0.2, 0.8]], [[0.2, 0.8]]]).log())
        >>> evasive(2.0)(m, torch.tensor([0])).float()
        tensor([1.])
    """
    if not weight >= 0:
        raise ValueError(f"weight is {weight}; wanted 0 (the margin alone) or more")
    return lambda averages, y: margin(averages.log_mean, y).clamp_max(confidence) - weight * score(averages)
