"""What Algorithm 2 holds while chains run: a buffer, coordinates, running moments, a pair in training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apdlab.distill import judge
from apdlab.distill.buffer import Buffer, Rule, empty, offer, reservoir
from apdlab.distill.coordinates import Coordinates, Distilled, raw
from apdlab.distill.gan import STEADY, Pair, Recipe, refuse_recipe
from apdlab.distill.generator import recoloured
from apdlab.distill.spread import Spread, moments, seen, settled, share_outside, spread_of
from apdlab.draws import Draws
from apdlab.moments import Moments, merge
from apdlab.networks import Network
from apdlab.predict import predict_moments
from apdlab.streams import stream
from apdlab.types import is_count


class Plan(NamedTuple):
    """How draws are learned from as they come; the arguments of ``online.fit`` of the same names."""

    find: Callable[[Tensor, Network], Coordinates]
    gan_steps: int
    capacity: int
    looks: Sequence[int]
    rule: Rule = reservoir
    recipe: Recipe = STEADY
    hold_out: int = 5

    def is_out(self, number: int) -> bool:
        """Say whether the draw of this number, from 0, is held out."""
        return number % self.hold_out == self.hold_out // 2

    def total(self, draws: int) -> int:
        """Count the generator steps that so many draws lead to.

        Raises:
            ValueError: If a number of the plan is out of its range.
        """
        if not is_count(self.hold_out) or self.hold_out == 1:
            raise ValueError(f"hold_out is {self.hold_out}; wanted 2 or more: one draw in so many is held out")
        if not is_count(self.gan_steps):
            raise ValueError(f"gan_steps is {self.gan_steps}; wanted a whole number of 1 or more")
        offered = sum(not self.is_out(number) for number in range(draws))
        self._refuse_looks(offered, draws // max(1, self.recipe.checkpoints))
        refuse_recipe(self.recipe, steps := self.gan_steps * (offered - self.looks[0] + 1))
        return steps

    def _refuse_looks(self, offered: int, section: int) -> None:
        looks = list(self.looks)
        if self.find is raw and len(looks) > 1:
            raise ValueError(f"looks is {tuple(looks)} for raw weights; wanted one: they stay the same coordinates")
        most = min(self.capacity, sum(not self.is_out(number) for number in range(section)))
        if not looks or looks != sorted(set(looks)) or not is_count(looks[0], most) or looks[-1] > offered:
            raise ValueError(
                f"looks is {tuple(looks)} of {offered} offered draws, with capacity {self.capacity} and "
                f"{self.recipe.checkpoints} checkpoints; wanted ascending numbers up to {offered}, the first at most "
                f"{most}: within the first section, while the buffer holds all draws"
            )


class Learner:
    """Takes one draw of each chain after another and trains on them; nothing that it holds grows with their number.

    Args:
        network: Whose weights they are.
        x: Inputs to compare predictions on, ``[N, ...]``.
        plan: How.
        steps: How many generator steps there will be.
        seed: Of all random numbers.
    """

    def __init__(self, network: Network, x: Tensor, plan: Plan, steps: int, seed: int) -> None:
        self.network, self.x, self.plan, self.steps, self.seed = network, x, plan, steps, seed
        self.rng = stream(seed, "buffer")
        self.number = self.offered = self.trained = self.most = 0
        self.cost: Tensor | float = 0.0
        self.weights: Buffer | None = None
        self.codes: Buffer | None = None
        self.coordinates: Coordinates | None = None
        self.spread: Spread | None = None
        self.pair: Pair | None = None
        self.predicted: list[Moments] = []

    def take(self, theta: Tensor) -> None:
        """Learn from one draw of each chain, ``theta [G, D]``, or hold it out."""
        number, self.number = self.number, self.number + 1
        if self.plan.is_out(number):
            self._predict(theta)
            return
        self._offer(theta)
        if self.pair is not None:
            self.pair.real = self.codes.held()
            for _ in range(self.plan.gan_steps):
                self.cost, self.trained = self.cost + self.pair.step(), self.trained + 1
        self.most = max(self.most, self.nbytes)
        if self.offered == self.plan.looks[-1]:
            self.weights = None  # from here on codes are enough

    def posterior(self) -> Distilled:
        """Give the posterior as it stands, matched to the moments of all draws and the predictions of those held out.

        What is trained on goes on as it was.
        """
        real, coordinates = self.codes.held(), settled(self.coordinates, self.spread)
        if coordinates.basis is not None:
            real = recoloured(real, *moments(self.spread, self.coordinates))
        rng = stream(self.seed, "moments", device=real.device)
        made = Distilled(self.network, coordinates, self.plan.recipe.finish(self.pair.generator(), real, rng))
        return judge.match_disagreement(made, self.predicted, self.x, seed=self.seed)

    def distance(self, posterior: Distilled) -> Tensor:
        """Measure the total variation to the predictions of all draws held out so far, ``[G]``."""
        return judge.between(judge.of_distilled(posterior, self.x, self.seed), self.predicted)

    def outside(self) -> Tensor:
        """Give the share of the variance so far that the coordinates leave out, ``[G]``."""
        return share_outside(self.spread, self.network, self.coordinates)

    def critic_cost(self) -> Tensor:
        """Give the mean critic cost since the last call, ``[G]``."""
        mean, self.cost, self.trained = self.cost / self.trained, 0.0, 0
        return mean

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors that are held now; ``most`` is the largest number so far."""
        pair = [self.pair.g, self.pair.f, self.pair.averaged] if self.pair else []
        pair += [self.pair.g.grad, self.pair.f.grad, self.pair.room] if self.pair else []
        states = [optimiser.state for optimiser in self.pair.optimisers] if self.pair else []
        held = (self.weights, self.codes, self.coordinates, self.spread, self.predicted, pair, states)
        return sum(part.nbytes for part in _tensors(held))

    def _predict(self, theta: Tensor) -> None:
        new = [predict_moments(Draws(self.network, row[None]), self.x) for row in theta]
        self.predicted = list(map(merge, self.predicted, new)) if self.predicted else new

    def _offer(self, theta: Tensor) -> None:
        rule, self.offered = self.plan.rule, self.offered + 1
        if self.weights is not None or self.pair is None:
            self.weights = offer(self.weights or empty(theta, self.plan.capacity), theta, rule, self.rng)
        if self.pair is not None:
            self.spread = seen(self.spread, theta, self.network, self.coordinates)
            codes = self.coordinates.encode(theta[:, None])[:, 0]
            self.codes = offer(self.codes, codes, rule, self.rng)
        if self.offered in self.plan.looks:
            self._look()

    def _look(self) -> None:
        """Find coordinates of what the buffer holds, and go over to them."""
        held, capacity = self.weights.held(), self.weights.items.shape[1]
        # One chain at a time: what this takes on top of the buffer is the peak of the memory.
        found, spread, codes = zip(*(self._measured(chain[None]) for chain in held), strict=True)
        found, spread, codes = _joined(found), _joined(spread), torch.cat(codes)
        scale, mean = self.offered / held.shape[1], spread.mean if self.spread is None else self.spread.mean
        self.spread = Spread(self.offered, mean, scale * spread.inside, scale * spread.outside)
        self.codes = Buffer(codes.new_zeros(len(held), capacity, codes.shape[-1]), self.offered)
        self.codes.held().copy_(codes)
        if self.pair is None:
            rng = stream(self.seed, "gan", device=held.device)
            self.pair = Pair(codes, self.plan.recipe, self.steps, rng)
        else:
            self.pair.move(*_change(self.coordinates, found), *_change(found, self.coordinates))
        self.coordinates = found

    def _measured(self, theta: Tensor) -> tuple[Coordinates, Spread, Tensor]:
        found = self.plan.find(theta, self.network)
        return found, spread_of(theta, self.network, found), found.encode(theta)


def _joined(parts: Sequence[Any]) -> Any:
    """Join what belongs to single chains: tensors along their first axis, the rest is the same for all."""
    columns = zip(*parts, strict=True)
    return type(parts[0])(*(torch.cat(c) if isinstance(c[0], Tensor) else c[0] for c in columns))


def _change(old: Coordinates, new: Coordinates) -> tuple[Tensor, Tensor]:
    """Give the map of codes ``y @ linear + shift``, ``[G, k, k]`` and ``[G, 1, k]``, from old to new coordinates."""
    stack, k = old.scale.shape[0], old.basis.shape[1] if old.basis is not None else old.mean.shape[-1]
    eye = torch.eye(k, dtype=old.scale.dtype, device=old.scale.device).expand(stack, k, k)
    shift = new.encode(old.decode(torch.zeros_like(eye[:, :1])))
    return new.encode(old.decode(eye)) - shift, shift


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | tuple | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)
