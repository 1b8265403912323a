"""Priors on the weights: the Gaussian, and two with heavier tails at the same variance. One precision a parameter."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from apdlab.networks import Network
from apdlab.stacks import dots
from apdlab.types import refuse_module


def gaussian_prior(network: Network, precision: float | Mapping[str, float]) -> Callable[[Tensor], Tensor]:
    """Make ``log p(theta) = sum_d log N(theta_d; 0, 1 / precision_d)``.

    Args:
        network: Whose weights.
        precision: One number, or one per named parameter (every name of ``network.shapes``).

    Returns:
        A function ``theta [C, D] -> [C]``.

    Raises:
        ValueError: If a precision is not above 0, or the names are not those of the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> gaussian_prior(mlp(1, 1), precision=2.0)(torch.zeros(1, 2))
        tensor([-1.1447])
    """
    each = _checked(network, precision)
    sizes = {name: shape.numel() for name, shape in network.shapes.items()}
    constant = 0.5 * sum(n * math.log(each[name] / (2 * math.pi)) for name, n in sizes.items())
    return _GaussianPrior(constant, _of_each_weight(network, each))


@dataclass(frozen=True)
class _GaussianPrior:
    """``constant - 1/2 sum_d scale_d theta_d^2``."""

    constant: float
    scale: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        return self.constant + 0.5 * self._along(theta)

    def add_grad(self, theta: Tensor, into: Tensor, times: float | Tensor) -> tuple[Tensor, Tensor]:
        along, scale = self._along(theta), self.scale.to(theta.device)
        if isinstance(times, Tensor):
            into.addcmul_(theta, times * scale, value=-1)
        else:
            into.addcmul_(theta, scale, value=-times)
        return self.constant + 0.5 * along, along

    def _along(self, theta: Tensor) -> Tensor:
        """Multiply weights by their gradients, ``-sum_d scale_d theta_d^2``."""
        scale = self.scale.to(theta.device)
        return -scale * dots(theta, theta) if scale.ndim == 0 else -dots(theta * scale, theta)


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
    scale = _of_each_weight(network, _checked(network, precision)).mul(2).rsqrt()

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
    precisions = _of_each_weight(network, _checked(network, precision))
    width = (freedom - 2) / precisions  # nu s^2
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)

    def log_prob(theta: Tensor) -> Tensor:
        w = width.to(theta.device)
        return (constant - 0.5 * w.log() - (freedom + 1) / 2 * (theta.square() / w).log1p()).sum(-1)

    return log_prob


def _checked(network: Network, precision: float | Mapping[str, float]) -> Mapping[str, float]:
    """Give the precision of each named parameter.

    Raises:
        ValueError: If one is not above 0, or the names are not those of the network.
    """
    refuse_module(network)
    each = precision if isinstance(precision, Mapping) else dict.fromkeys(network.shapes, precision)
    if each.keys() != network.shapes.keys():
        raise ValueError(f"precision names {sorted(each)}; wanted each of {sorted(network.shapes)} once")
    if bad := {name: value for name, value in each.items() if not 0 < value < math.inf}:
        raise ValueError(f"precision is {bad}; wanted finite numbers above 0 (1 / variance of the prior)")
    return each


def _of_each_weight(network: Network, each: Mapping[str, float]) -> Tensor:
    """Spread a number of each named parameter over its weights, ``[D]``, or ``[]`` if they are all the same."""
    if len(set(each.values())) == 1:
        return torch.tensor(next(iter(each.values())), dtype=network.dtype)
    parts = [torch.full((shape.numel(),), each[name], dtype=network.dtype) for name, shape in network.shapes.items()]
    return torch.cat(parts)
