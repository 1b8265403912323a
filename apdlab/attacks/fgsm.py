"""The fast gradient sign method: one step as far as it may go."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from apdlab.attacks.gradient import Loss, loss_and_grad, refuse, within
from apdlab.attacks.losses import cross_entropy
from apdlab.attacks.norms import LINF, Norm


def fgsm(
    predictor: Callable[[Tensor], Any],
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    norm: Norm = LINF,
    loss: Loss = cross_entropy,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Attack by one step, ``x' = clip(x + eps sign(grad loss))``.

    Args:
        predictor: What to attack, e.g. ``predictor(draws)``.
        x: Inputs ``[N, ...]`` inside the box.
        y: Labels ``[N]``.
        eps: Size of the perturbation, in units of the data.
        norm: In which it is measured: ``LINF``, or ``L2``.
        loss: What is to grow.
        box: Smallest and largest value of the data.

    Returns:
        ``x'``, like ``x``.

    Raises:
        ValueError: If ``eps`` is below 0, ``x`` is outside the box, or the predictor has no gradient.

    Source: Goodfellow, Shlens and Szegedy (2015), Explaining and harnessing adversarial examples,
    https://arxiv.org/abs/1412.6572

    Example:
        >>> import torch
        >>> fgsm(lambda x: x.log_softmax(-1), torch.tensor([[0.5, 0.0]]), torch.tensor([0]), eps=0.25)
        tensor([[0.2500, 0.2500]])
    """
    refuse(x, y, eps, box)
    _, grad = loss_and_grad(predictor, x, y, loss)
    return within(x + eps * norm.steepest(grad), x, eps, norm, box)
