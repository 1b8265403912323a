r"""The layer-wise mass of Wenzel et al.: one number a named parameter, from the size of its gradients.

``M_l = sqrt(mean over elements and batches of (grad log posterior / n)^2 + 1e-7)``, over the smallest of them, so that
the smallest mass is 1. It is a constant of the kernel, so nothing is left out (compare ``psgld``); to follow the chain
it is estimated anew between cycles, never within one, and the momenta are scaled to the new mass: ``preconditioned``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apdlab.density import LogDensity, value_and_grad
from apdlab.types import Batch, Info, Sampler, is_count


class State(NamedTuple):
    """Where the chains are, ``theta [C, D]``, the state of the kernel, its mass ``[C, D]``, and steps taken."""

    theta: Tensor
    inner: Any
    mass: Tensor
    step: int


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


def preconditioned(
    make: Callable[[Tensor], Sampler],
    log_posterior: LogDensity,
    batches: Callable[[int], Batch],
    every: int,
    count: int = 32,
) -> Sampler:
    """Give a kernel a layer-wise mass that follows its chains: estimated at the start of each cycle, frozen within it.

    Args:
        make: The kernel of a mass ``[C, D]``, e.g. ``lambda mass: sghmc(log_posterior, h, friction, mass=mass)``.
        log_posterior: What the mass is estimated of.
        batches: ``step -> Batch``, other ones than the chain sees: a seed of their own.
        every: Steps in a cycle.
        count: Batches of an estimate; those of cycle ``i`` are from step ``i count``.

    Returns:
        A sampler. The first step of a cycle costs ``count`` gradients more.

    Raises:
        ValueError: If ``every`` or ``count`` is below 1.

    Source: Wenzel et al., 2020, How good is the Bayes posterior in deep neural networks really?,
    https://arxiv.org/abs/2002.02405, and its code

    Example:
        >>> import torch
        >>> from apdlab.data import batches
        >>> from apdlab.likelihoods import categorical
        >>> from apdlab.priors import gaussian_prior
        >>> from apdlab.networks import mlp
        >>> from apdlab.samplers import Run, keep, sghmc
        >>> from apdlab.types import Data
        >>> network, data = mlp(2, 3), Data(torch.ones(6, 2), torch.arange(6) % 3)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=6)
        >>> of_mass = lambda mass: sghmc(log_posterior, 0.1, 1.0, mass=mass)
        >>> kernel = preconditioned(of_mass, log_posterior, batches(data, 2, seed=1), every=10)
        >>> run = Run(kernel, torch.zeros(4, network.size), batches(data, 2, seed=0, chains=4), seed=0, steps=20)
        >>> keep(run, network, thin=5).theta.shape
        torch.Size([4, 4, 9])
    """
    if not is_count(every):
        raise ValueError(f"every is {every}; wanted a cycle of 1 step or more, a whole number")

    def estimated(theta: Tensor, cycle: int) -> Tensor:
        return layerwise_mass(log_posterior, theta, lambda t: batches(cycle * count + t), count)

    made: tuple[Tensor | None, Sampler | None] = (None, None)

    def kernel(mass: Tensor) -> Sampler:
        nonlocal made
        if made[0] is not mass:
            made = mass, make(mass)
        return made[1]

    def init(theta: Tensor) -> State:
        mass = estimated(theta, 0)
        inner = kernel(mass).init(theta)
        return State(inner.theta, inner, mass, 0)

    def step(state: State, batch: Batch, generators: Sequence[torch.Generator]) -> tuple[State, Info]:
        inner, mass = state.inner, state.mass
        cycle, place = divmod(state.step, every)
        if cycle and not place:
            mass = estimated(inner.theta, cycle)
            inner = with_mass(inner, state.mass, mass)
        inner, info = kernel(mass).step(inner, batch, generators)
        return State(inner.theta, inner, mass, state.step + 1), info

    return Sampler(init, step)
