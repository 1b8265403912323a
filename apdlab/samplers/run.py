"""The loop that samplers run in, and what consumes it: a progress bar, kept states."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm.auto import tqdm

from apdlab.chains import Chains
from apdlab.networks import Network
from apdlab.streams import streams
from apdlab.types import Batch, Info, Sampler, is_count, refuse_module


class Step(NamedTuple):
    """One step that was taken: its number from 1, the state after it, the sampler's info. Valid until the next."""

    number: int
    state: Any
    info: Info


class Position(NamedTuple):
    """All that a run needs to go on: steps taken, the state after them, one noise generator a chain.

    Walking on from it uses it up: state and generators change in place.
    """

    number: int
    state: Any
    generators: Sequence[torch.Generator]


class Steps(Sized, Iterable[Step], Protocol):
    """A run, or a run in a progress bar: steps, and how many they will be."""


class Diverged(ArithmeticError):
    """A chain left the numbers. ``chains`` holds what was kept before, or None."""

    chains: Chains | None = None


@dataclass(frozen=True)
class Run:
    """Runs a sampler from ``theta``: iterate over it to get every ``Step``.

    Chain ``c`` draws its noise from ``stream(seed, "noise", c)``, so it is the same in any company.

    Attributes:
        sampler: The kernel.
        theta: Where the chains start, ``[C, D]``.
        batches: ``step -> Batch``.
        seed: Of the noise.
        steps: How many.

    Raises:
        Diverged: When the log posterior of a chain is not finite: names the step, the chain, the step size.

    Example:
        >>> import torch
        >>> from apdlab.samplers.sgld import sgld
        >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
        >>> [step.number for step in Run(kernel, torch.zeros(2, 3), lambda t: None, seed=0, steps=3)]
        [1, 2, 3]
    """

    sampler: Sampler
    theta: Tensor
    batches: Callable[[int], Batch]
    seed: int
    steps: int

    def __post_init__(self) -> None:
        if not is_count(self.steps):
            raise ValueError(f"steps is {self.steps}; wanted a whole number of 1 or more")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Step]:
        return self.walk(self.start())

    def start(self) -> Position:
        """Give the position before the first step."""
        state = self.sampler.init(self.theta)
        return Position(0, state, streams(self.seed, "noise", len(self.theta), self.theta.device))

    def walk(self, position: Position) -> Iterator[Step]:
        """Take the steps that are left from a position: none if it is at the end or past it."""
        state = position.state
        for number in range(position.number + 1, self.steps + 1):
            state, info = self.sampler.step(state, self.batches(number - 1), position.generators)
            refuse_non_finite(info.log_posterior, number, info.step_size)
            yield Step(number, state, info)


def progress(steps: Steps, bar: Callable[..., tqdm] = tqdm) -> tqdm:
    """Show how far a run is, its rate, and the mean log posterior of its chains.

    Args:
        steps: A run.
        bar: A widget in a notebook and text elsewhere by default; ``tqdm.tqdm`` is always text.

    Returns:
        The run in a bar, itself to be iterated over.
    """

    def shown() -> Iterator[Step]:
        for step in steps:
            if step.number % every == 0:
                wrapped.set_postfix_str(f"log posterior {step.info.log_posterior.mean():.4g}", refresh=False)
            yield step

    every = max(1, len(steps) // 100)
    wrapped = bar(shown(), total=len(steps), unit=" steps", mininterval=0.5)
    return wrapped


def keep(steps: Steps, network: Network, *, burn_in: int = 0, thin: int = 1) -> Chains:
    """Run, and keep every ``thin``-th state after the burn-in.

    Args:
        steps: A run, or a run in a progress bar.
        network: Whose weights they are.
        burn_in: How many steps to let pass first.
        thin: Keep the states after steps ``burn_in + thin, burn_in + 2 thin, ...``.

    Returns:
        ``Chains`` with ``T = (len(steps) - burn_in) // thin`` states a chain.

    Raises:
        ValueError: If nothing would be kept.
        Diverged: If a chain diverges; ``error.chains`` holds the states kept before, all finite.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> from apdlab.samplers.sgld import sgld
        >>> network = mlp(1, 1)
        >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
        >>> run = Run(kernel, torch.zeros(4, network.size), lambda t: None, seed=0, steps=100)
        >>> keep(run, network, burn_in=50, thin=10).theta.shape
        torch.Size([4, 5, 2])
    """
    count_kept(len(steps), burn_in, thin)
    return keep_at(steps, network, range(burn_in + thin, len(steps) + 1, thin))


def keep_at(steps: Steps, network: Network, numbers: Sequence[int]) -> Chains:
    """Run, and keep the states after the steps of these numbers, e.g. those of ``cyclical(...).kept``.

    Args:
        steps: A run, or a run in a progress bar.
        network: Whose weights they are.
        numbers: Step numbers, from 1, in ascending order.

    Returns:
        ``Chains`` with a state a number.

    Raises:
        ValueError: If there are no numbers, or they are not those of the run in ascending order.
        Diverged: If a chain diverges; ``error.chains`` holds the states kept before, all finite.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> from apdlab.samplers.sgld import sgld
        >>> network = mlp(1, 1)
        >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
        >>> run = Run(kernel, torch.zeros(4, network.size), lambda t: None, seed=0, steps=9)
        >>> keep_at(run, network, [3, 4, 9]).steps
        tensor([3, 4, 9])
    """
    if not numbers or list(numbers) != sorted(set(numbers)) or not 1 <= numbers[0] <= numbers[-1] <= len(steps):
        raise ValueError(f"numbers has {len(numbers)} entries; wanted some of 1 to {len(steps)}, in ascending order")
    refuse_module(network)
    wanted = frozenset(numbers)
    theta: Tensor | None = None
    seen, values = [], []
    try:
        for number, state, info in steps:
            if number not in wanted:
                continue
            if theta is None:
                theta = state.theta.new_empty(len(state.theta), len(numbers), network.size)
            refuse_non_finite(state.theta.sum(-1), number, info.step_size)
            theta[:, len(seen)] = state.theta
            seen.append(number)
            values.append(cloned(info))
    except Diverged as error:
        error.chains = None if theta is None or not seen else _chains(network, theta[:, : len(seen)], seen, values)
        raise
    assert theta is not None
    return _chains(network, theta, seen, values)


def count_kept(steps: int, burn_in: int, thin: int) -> int:
    """Count the states that are kept of so many steps.

    Raises:
        ValueError: If there are none.

    Example:
        >>> count_kept(100, burn_in=50, thin=10)
        5
    """
    length = (steps - burn_in) // thin if is_count(burn_in + 1) and is_count(thin) else 0
    if length < 1:
        raise ValueError(
            f"burn_in is {burn_in}, thin {thin} of {steps} steps; wanted 0 <= burn_in <= {steps} - thin and thin >= 1"
        )
    return length


def is_kept(number: int, burn_in: int, thin: int) -> bool:
    """Say whether the state after a step is kept.

    Example:
        >>> [number for number in range(1, 12) if is_kept(number, burn_in=5, thin=2)]
        [7, 9, 11]
    """
    return number > burn_in and (number - burn_in) % thin == 0


def refuse_non_finite(values: Tensor, number: int, step_size: float) -> None:
    """Raise ``Diverged`` if a chain's value ``[C]`` is not finite: names the step, the chain, the step size."""
    finite = values.isfinite()
    if not finite.all():
        chain = int((~finite).nonzero()[0])
        raise Diverged(
            f"chain {chain} is not finite at step {number} with step_size {step_size:.3g}: "
            f"try step_size {step_size / 4:.2g}, a start nearer to the mode, or inputs scaled to [-1, 1]"
        )


def cloned(info: Info) -> dict[str, Tensor]:
    """Copy what is kept of a step beside its state: the log posterior and the sampler's measures, each ``[C]``."""
    return {name: value.clone() for name, value in {"log_posterior": info.log_posterior, **info.measured()}.items()}


def stacked(kept: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join what was kept of ``T`` steps, each ``[C, T]``."""
    return {name: torch.stack([each[name] for each in kept], 1) for name in kept[0]}


def _chains(network: Network, theta: Tensor, numbers: list[int], values: list[dict[str, Tensor]]) -> Chains:
    measures = stacked(values)
    return Chains(network, theta, torch.tensor(numbers), measures.pop("log_posterior"), measures)
