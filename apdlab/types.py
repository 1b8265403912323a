"""The words that all rooms share: batches, data, likelihoods, samplers, costs.

Axes are always in this order: chains ``C`` or draws ``S``, then examples ``N``, then classes or outputs ``K``.
``theta`` is a flat vector of weights ``[..., D]``; ``Params`` is the same vector as named views.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Params = dict[str, Tensor]


def is_count(value: float, most: float = math.inf) -> bool:
    """Say whether a number is a whole one from 1 to ``most``; 1e4 is none, as Python counts with integers only.

    Example:
        >>> is_count(3), is_count(3.0), is_count(0), is_count(7, most=6)
        (True, False, False, False)
    """
    return isinstance(value, Integral) and 1 <= value <= most


def refuse_module(network: Any) -> None:
    """Refuse a bare module where a ``Network`` is wanted."""
    if isinstance(network, nn.Module):
        raise ValueError(f"network is a {type(network).__name__}; wanted the functional view of it: Network(module)")


class Data(NamedTuple):
    """A labelled set in two tensors on one device: ``x [N, ...]`` and ``y [N]`` (classes) or ``[N, K]`` (targets)."""

    x: Tensor
    y: Tensor

    def first(self, n: int) -> "Data":
        """Take the first ``n`` examples, or all there are."""
        return Data(self.x[:n], self.y[:n])

    def to(self, device: torch.device | str) -> "Data":
        """Move both tensors to a device."""
        return Data(self.x.to(device), self.y.to(device))


class Split(NamedTuple):
    """A set cut in three: what is learned from, what choices are made on, what is reported."""

    train: Data
    valid: Data
    test: Data

    def to(self, device: torch.device | str) -> "Split":
        """Move all three parts to a device."""
        return Split(*(part.to(device) for part in self))


class Batch(NamedTuple):
    """Examples of one step, ``x [C, B, ...]`` and ``y [C, B, ...]``, and their rows in the set, ``index [C, B]``.

    The leading axis is 1 when all chains share the minibatch.
    """

    x: Tensor
    y: Tensor
    index: Tensor


class Likelihood(NamedTuple):
    """What the outputs of a network say about the targets.

    ``log_prob(outputs [C, N, K], y [C or 1, N, ...]) -> [C, N]``;
    ``predictive(outputs [S, N, K])`` gives the parameters of the predictive distribution of each draw.
    """

    log_prob: Callable[[Tensor, Tensor], Tensor]
    predictive: Callable[[Tensor], Tensor]


class Info(NamedTuple):
    """What a sampler saw on its way, before the move: values ``[C]``, and None where a sampler has none.

    Attributes:
        log_posterior: Of the minibatch.
        step_size: The one used.
        configurational: ``-<theta, grad log posterior> / D``; its mean is the temperature, in the target.
        kinetic: The mean over coordinates of ``m^2 / M``; its mean is the temperature too.
        acceptance: The probability with which the move was accepted.
    """

    log_posterior: Tensor
    step_size: float
    configurational: Tensor | None = None
    kinetic: Tensor | None = None
    acceptance: Tensor | None = None

    def measured(self) -> dict[str, Tensor]:
        """Name what this sampler measures of each chain besides the log posterior, each ``[C]``."""
        named = self._asdict()
        found = {name: named[name] for name in ("configurational", "kinetic", "acceptance")}
        return {name: value for name, value in found.items() if value is not None}


class Sampler(NamedTuple):
    """A Markov kernel over stacked weights.

    ``init(theta [C, D]) -> state``; ``step(state, batch, generators) -> (state, info)`` with one generator a chain.
    A state has at least ``theta [C, D]`` and ``step``, belongs to ``step`` and may be updated in place by it.
    """

    init: Callable[[Tensor], Any]
    step: Callable[[Any, Batch, Sequence[torch.Generator]], tuple[Any, Info]]


class Cost(NamedTuple):
    """What a fit took: gradient evaluations (one minibatch, one network each) and seconds. Costs add up.

    Example:
        >>> Cost(300, 6.0).share(3) + Cost(50, 1.0)
        Cost(gradient_evaluations=150, seconds=3.0)
    """

    gradient_evaluations: int
    seconds: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.gradient_evaluations + other.gradient_evaluations, self.seconds + other.seconds)

    def share(self, n: int) -> "Cost":
        """Give the part of each of ``n`` that were made together."""
        return Cost(self.gradient_evaluations // n, self.seconds / n)
