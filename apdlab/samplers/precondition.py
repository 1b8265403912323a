r"""The layer-wise mass of Wenzel et al.: one number a named parameter, from the size of its gradients.

``M_l = sqrt(mean over elements and batches of (grad log posterior / n)^2 + 1e-7)``, over the smallest of them, so that
the smallest mass is 1. It is a constant of the kernel, so nothing is left out (compare ``psgld``); to follow the chain
it is estimated anew between cycles, never within one, and the momenta are scaled to the new mass:

``new = layerwise_mass(log_posterior, state.theta, draw); state = with_mass(state, old, new);``
``sampler = sghmc(..., mass=new)``
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apdlab.density import LogDensity, value_and_grad
from apdlab.types import Batch


def layerwise_mass(
    log_posterior: LogDensity, theta: Tensor, batches: Callable[[int], Batch], count: int = 32
) -> Tensor:
    """Estimate the mass ``M [C, D]``, the same in all entries of a named parameter, each chain its own.

    Args:
        log_posterior: Of a network; its ``n`` says what the scale of a mean loss is.
        theta: Where the chains are, ``[C, D]``.
        batches: ``step -> Batch``, other ones than the chain sees: a seed of their own.
        count: How many of them, from step 0.

    Returns:
        The masses, of which the smallest in each chain is 1.

    Raises:
        ValueError: If ``count`` is below 1.

    Source: Wenzel et al., 2020, How good is the Bayes posterior in deep neural networks really?,
    https://arxiv.org/abs/2002.02405, and its code

    Example:
        >>> import torch
        >>> from apdlab.data import batches
        >>> from apdlab.likelihoods import categorical
        >>> from apdlab.priors import gaussian_prior
        >>> from apdlab.networks import mlp
        >>> from apdlab.types import Data
        >>> network, data = mlp(2, 3), Data(torch.ones(6, 2), torch.arange(6) % 3)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=6)
        >>> layerwise_mass(log_posterior, torch.ones(1, network.size), batches(data, 2, seed=1)).shape
        torch.Size([1, 9])
    """
    if count < 1:
        raise ValueError(f"count is {count}; wanted 1 batch or more")
    second = torch.zeros_like(theta)
    for t in range(count):
        second += (value_and_grad(log_posterior, theta, batches(t))[1] / log_posterior.n).square() / count
    sizes = [shape.numel() for shape in log_posterior.network.shapes.values()]
    each = torch.stack([part.mean(-1) for part in second.split(sizes, dim=-1)], dim=-1).add(1e-7).sqrt()
    mass = each / each.amin(-1, keepdim=True)
    return mass.repeat_interleave(torch.tensor(sizes, device=mass.device), dim=-1)


def with_mass(state: Any, old: Tensor | float, new: Tensor | float) -> Any:
    """Scale the momenta of a state to another mass, ``m sqrt(new / old)``: their temperature stays.

    Args:
        state: Of a sampler with momenta.
        old: The mass that it was run with.
        new: The mass that it will be run with.

    Returns:
        The state with other momenta.

    Example:
        >>> import torch
        >>> from apdlab.samplers.sghmc import State
        >>> state = State(torch.zeros(1, 1), 1, torch.ones(1, 1), torch.zeros(1, 1))
        >>> with_mass(state, old=1.0, new=100.0).momentum
        tensor([[10.]])
    """
    return state._replace(momentum=state.momentum * (new / old) ** 0.5)
