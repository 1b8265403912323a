r"""Temperatures as densities: the log posterior over ``T``, chain by chain, or the likelihood alone over ``T``.

A sampler at temperature ``T`` with mass ``M`` makes the same moves as one at temperature 1 on ``log p / T`` with mass
``M / T`` (its momenta are ``1 / T`` as large). So chains at many temperatures run as one stack,

``sghmc(tempered(log_posterior, t), step_size, friction, mass=1 / t[:, None])``,

in which both measured temperatures are shares of the one asked for: 1 is right.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from apdlab.density import add_grad
from apdlab.types import Batch, Likelihood


def tempered(
    log_posterior: Callable[[Tensor, Batch], Tensor], temperatures: Tensor
) -> Callable[[Tensor, Batch], Tensor]:
    """Temper all of it, prior and likelihood: ``log p_c = log p(theta | D) / T_c``.

    Args:
        log_posterior: ``(theta [C, D], batch) -> [C]``.
        temperatures: ``T``, one a chain, ``[C]``; 1 is Bayes, below it is cold.

    Returns:
        The same function of chains at their temperatures.

    Raises:
        ValueError: If a temperature is not a finite number above 0.

    Source: Wenzel et al., 2020, How good is the Bayes posterior in deep neural networks really?,
    https://arxiv.org/abs/2002.02405

    Example:
        >>> import torch
        >>> cold = tempered(lambda theta, batch: -theta.square().sum(-1), torch.tensor([1.0, 0.1]))
        >>> cold(torch.ones(2, 3), None)
        tensor([ -3., -30.])
    """
    return _Tempered(log_posterior, _checked(temperatures))


@dataclass(frozen=True)
class _Tempered:
    log_posterior: Callable[[Tensor, Batch], Tensor]
    temperatures: Tensor

    def __call__(self, theta: Tensor, batch: Batch) -> Tensor:
        return self.log_posterior(theta, batch) / self.temperatures

    def add_grad(self, theta: Tensor, batch: Batch, into: Tensor, times: float | Tensor) -> tuple[Tensor, Tensor]:
        cold = times / self.temperatures[:, None]
        value, along = add_grad(self.log_posterior, theta, batch, into=into, times=cold)
        return value / self.temperatures, along / self.temperatures


def tempered_likelihood(likelihood: Likelihood, temperatures: Tensor) -> Likelihood:
    """Temper the likelihood alone: ``log p(y | f)_c = log p(y | f) / T_c``; the prior stays, and so do predictions.

    It counts every example ``1 / T`` times. On a flat prior it is the same as tempering all.

    Args:
        likelihood: What it is at temperature 1.
        temperatures: ``T``, one a chain, ``[C]``.

    Returns:
        A likelihood for stacks of ``C`` chains.

    Raises:
        ValueError: If a temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> from apdlab.likelihoods import categorical
        >>> cold = tempered_likelihood(categorical(), torch.tensor([1.0, 0.5]))
        >>> cold.log_prob(torch.zeros(2, 1, 10), torch.tensor([[3]]))
        tensor([[-2.3026],
                [-4.6052]])
    """
    each = _checked(temperatures)[:, None]
    return Likelihood(lambda outputs, y: likelihood.log_prob(outputs, y) / each, likelihood.predictive)


def _checked(temperatures: Tensor) -> Tensor:
    low, high = temperatures.aminmax()
    if temperatures.ndim != 1 or not 0 < low <= high < torch.inf:
        seen = f"temperatures has shape {tuple(temperatures.shape)}, between {low:.3g} and {high:.3g}"
        raise ValueError(f"{seen}; wanted finite numbers above 0, one a chain, [C]")
    return temperatures
