"""Priors with heavier tails than the Gaussian, at the same variance: one precision a named parameter."""

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from apdlab.density import checked_precisions, of_each_weight
from apdlab.networks import Network


def laplace_prior(network: Network, precision: float | Mapping[str, float]) -> Callable[[Tensor], Tensor]:
    """Make ``log p(theta) = -sum_d (|theta_d| / b_d + log 2 b_d)``, with ``b_d = (2 precision_d)^(-1/2)``.

    Args:
        network: Whose weights.
        precision: ``1 / variance``: one number, or one per named parameter.

    Returns:
        A function ``theta [C, D] -> [C]``.

    Raises:
        ValueError: If a precision is not above 0, or the names are not those of the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> laplace_prior(mlp(1, 1), precision=2.0)(torch.ones(1, 2))
        tensor([-4.])
    """
    scale = of_each_weight(network, checked_precisions(network, precision)).mul(2).rsqrt()

    def log_prob(theta: Tensor) -> Tensor:
        b = scale.to(theta.device)
        return -(theta.abs() / b + (2 * b).log()).sum(-1)

    return log_prob


def student_prior(
    network: Network, precision: float | Mapping[str, float], freedom: float = 3.0
) -> Callable[[Tensor], Tensor]:
    """Make ``log p(theta) = -sum_d (nu + 1) / 2 log(1 + theta_d^2 / (nu s_d^2)) + const``, Student's t.

    Its scale is ``s_d^2 = (1 - 2 / nu) / precision_d``, so that the variance is ``1 / precision_d``.

    Args:
        network: Whose weights.
        precision: ``1 / variance``: one number, or one per named parameter.
        freedom: ``nu``, above 2; the smaller, the heavier the tails.

    Returns:
        A function ``theta [C, D] -> [C]``.

    Raises:
        ValueError: If a precision is not above 0, the names are not those of the network, or ``freedom`` is 2 or less.

    Source: Fortuin et al., 2022, Bayesian neural network priors revisited, https://arxiv.org/abs/2102.06571

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> student_prior(mlp(1, 1), precision=1.0)(torch.zeros(1, 2))
        tensor([-0.9032])
    """
    if not 2 < freedom < math.inf:
        raise ValueError(f"freedom is {freedom}; wanted a finite number above 2, so that there is a variance, e.g. 3.0")
    precisions = of_each_weight(network, checked_precisions(network, precision))
    width = (freedom - 2) / precisions  # nu s^2
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)

    def log_prob(theta: Tensor) -> Tensor:
        w = width.to(theta.device)
        return (constant - 0.5 * w.log() - (freedom + 1) / 2 * (theta.square() / w).log1p()).sum(-1)

    return log_prob
