r"""The log posterior of a network's weights, on one scale: the sum over the whole set.

``log p(theta | D) = log p(theta) + sum_i log p(y_i | x_i, theta) + const``; a minibatch of ``B`` of ``n`` examples
estimates the sum as ``n / B`` times its own. Temperature 1 is Bayes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apdlab.networks import Network
from apdlab.stacks import dots
from apdlab.types import Batch, Likelihood, is_count, refuse_module


@dataclass(frozen=True)
class LogDensity:
    """Evaluates ``log p(theta | D)`` of stacked weights on a minibatch, up to the evidence.

    Attributes:
        network: The network.
        likelihood: What its outputs say about targets.
        prior: ``theta [C, D] -> [C]``, e.g. ``gaussian_prior(network, 1.0)``.
        n: How many examples the whole set has.

    Example:
        >>> import torch
        >>> from apdlab.likelihoods import categorical
        >>> from apdlab.networks import mlp
        >>> from apdlab.priors import gaussian_prior
        >>> network = mlp(2, 3)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=100)
        >>> x, y = torch.zeros(1, 4, 2), torch.zeros(1, 4, dtype=torch.long)
        >>> log_posterior(torch.zeros(5, network.size), Batch(x, y, y)).shape
        torch.Size([5])
    """

    network: Network
    likelihood: Likelihood
    prior: Callable[[Tensor], Tensor]
    n: int

    def __post_init__(self) -> None:
        refuse_module(self.network)
        if not is_count(self.n):
            raise ValueError(f"n is {self.n}; wanted the number of examples in the whole set, e.g. len(data.y)")

    def __call__(self, theta: Tensor, batch: Batch) -> Tensor:
        """Return ``log p(theta) + n / B sum_b log p(y_b | x_b, theta)``, ``[C]``, for ``theta [C, D]``."""
        return self.of_outputs(theta, self.network(self.network.unravel(theta), batch.x), batch.y)

    def of_outputs(self, theta: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the same from outputs ``[C, B, K]``, where they are made in another way (dropout).

        Raises:
            ValueError: If the outputs have more axes than these three.
        """
        return self.prior(theta) + self._log_likelihood(outputs, y)

    def add_grad(self, theta: Tensor, batch: Batch, into: Tensor, times: float | Tensor) -> tuple[Tensor, Tensor]:
        """Add its gradient as :func:`add_grad` does, by hand where prior and network can."""
        outputs, pull = self.network.pullback(theta, batch.x)
        log_likelihood, slope = value_and_grad(self._log_likelihood, outputs, batch.y)
        along, add = pull(slope)
        prior, more = add_grad(self.prior, theta, into=into, times=times)
        add(into, times)
        return prior + log_likelihood, along + more

    def _log_likelihood(self, outputs: Tensor, y: Tensor) -> Tensor:
        if outputs.ndim != 3:
            raise ValueError(
                f"outputs has shape {tuple(outputs.shape)}; wanted [C, N, K], one row an example: "
                "end the module with nn.Flatten() and a layer of K outputs"
            )
        return self.n / y.shape[1] * self.likelihood.log_prob(outputs, y).sum(-1)


def value_and_grad(log_density: Callable[..., Tensor], theta: Tensor, *batch: Any) -> tuple[Tensor, Tensor]:
    """Evaluate a log density and its gradient.

    Args:
        log_density: ``(theta [C, ...], *batch) -> [C]``, chain by chain.
        theta: Stacked weights ``[C, D]``.
        batch: What else it takes: the minibatch.

    Returns:
        Values ``[C]`` and gradients like ``theta``.

    Example:
        >>> import torch
        >>> value_and_grad(lambda theta, batch: -theta.square().sum(-1), torch.ones(1, 2), None)
        (tensor([-2.]), tensor([[-2., -2.]]))
    """
    if hasattr(log_density, "add_grad"):
        grad = torch.zeros_like(theta)
        return add_grad(log_density, theta, *batch, into=grad, times=1.0)[0], grad
    leaf = theta.detach().requires_grad_()
    with torch.enable_grad():
        value = log_density(leaf, *batch)
        if not value.requires_grad:  # it is flat
            return value, torch.zeros_like(theta)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), grad


def add_grad(
    log_density: Callable[..., Tensor], theta: Tensor, *batch: Any, into: Tensor, times: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Add ``times grad log p(theta)`` to a momentum, or to ``theta`` itself, in place.

    Args:
        log_density: ``(theta [C, D], *batch) -> [C]``, chain by chain. One that knows its gradient, like
            ``LogDensity``, has a method ``add_grad(theta, *batch, into, times)``; of all else autograd makes it.
        theta: Stacked weights ``[C, D]``.
        batch: What else it takes: the minibatch.
        into: What to add to, like ``theta``.
        times: A number, or one a chain, ``[C, 1]``.

    Returns:
        Of ``theta`` as it was: values ``[C]``, and ``<theta, grad log p(theta)>``, ``[C]``.

    Example:
        >>> import torch
        >>> theta = torch.ones(1, 2)
        >>> add_grad(lambda theta: -theta.square().sum(-1), theta, into=theta, times=0.25)
        (tensor([-2.]), tensor([-4.]))
        >>> theta
        tensor([[0.5000, 0.5000]])
    """
    theta = theta.detach()
    if itself := getattr(log_density, "add_grad", None):
        return itself(theta, *batch, into, times)
    value, grad = value_and_grad(log_density, theta, *batch)
    along = dots(theta, grad)
    into.add_(grad * times)
    return value, along
