"""One run on disk: shards of kept states, and a checkpoint from which it goes on bit for bit.

``checkpoint.safetensors`` is the truth. It is written after its shard, tells how many states the shards hold, and has
the sampler's state and the generators. A shard beyond it, of a job killed between the two, is written anew.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.files import write_whole
from apdlab.networks import Network
from apdlab.samplers.run import Diverged, Position, Run, Step, Steps, cloned, is_kept, refuse_non_finite, stacked
from apdlab.store.manifest import read_manifest, remedy, versions, write_manifest
from apdlab.store.packing import pack, unpack

SHARD_BYTES = 64 << 20

Bar = Callable[[Steps], Iterable[Step]]


class Shard(NamedTuple):
    """States kept one after the other: ``theta [C, t, D]``, ``steps [t]``, log posterior and measures ``[C, t]``."""

    chain: str
    number: int
    theta: Tensor
    steps: Tensor
    measures: dict[str, Tensor]

    def first(self, n: int) -> "Shard":
        """Select the first ``n`` states: views, which read nothing."""
        measures = {name: values[:, :n] for name, values in self.measures.items()}
        return Shard(self.chain, self.number, self.theta[:, :n], self.steps[:n], measures)


class Kept(NamedTuple):
    """One state that is to be in the next shard: ``theta [C, D]``, the log posterior and measures ``[C]``."""

    number: int
    theta: Tensor
    measures: dict[str, Tensor]


class Checkpoint(NamedTuple):
    """Where a run is, what it has on disk, and the seconds it took."""

    chain: str
    noise: str
    shards: int = 0
    kept: int = 0
    seconds: float = 0.0
    step: int = 0
    state: Any = None
    generators: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Rest:
    """The steps that a run has still to take."""

    run: Run
    position: Position

    def __len__(self) -> int:
        return self.run.steps - self.position.number

    def __iter__(self) -> Iterator[Step]:
        return self.run.walk(self.position)


@dataclass(frozen=True)
class Record:
    """A run and the folder of its chains, which is named by the hash of what makes them.

    Attributes:
        folder: Where they lie.
        run: What draws them.
        network: Whose weights they are.
        burn_in: How many steps pass first.
        thin: Which states after these are kept.
    """

    folder: Path
    run: Run
    network: Network
    burn_in: int
    thin: int

    def checkpoint(self) -> Checkpoint:
        """Read how far the run is on disk, step 0 where it never was."""
        there = self._checkpoint.exists()
        if read_manifest(self.folder) is None and there:
            raise ValueError(f"{self.folder / 'manifest.json'} is missing: {remedy(self.folder)}")
        return self._read(self._checkpoint, Checkpoint) if there else Checkpoint(self.folder.name, _noise(self.run))

    def draw(self, settings: Any, bar: Bar, every: float) -> None:
        """Draw what is missing; write it down after so many seconds, and when there is much of it."""
        done = self.checkpoint()
        for _ in self._shards(done.kept):
            pass  # what is damaged is better refused before hours of drawing than after
        position, pending = self._resume(done), []
        self._sign(settings, position.number)
        last = time.perf_counter()
        started = last - done.seconds
        try:
            for step in bar(Rest(self.run, position)):
                if is_kept(step.number, self.burn_in, self.thin):
                    pending.append(_copied(step))
                full = len(pending) * self.run.theta.nbytes >= SHARD_BYTES
                now = time.perf_counter()
                if now - last >= every or full or step.number == self.run.steps:
                    here = Position(step.number, step.state, position.generators)
                    done, pending = self._write(done, pending, here, now - started), []
                    last = time.perf_counter()
        except Diverged as error:
            shards = [*self._shards(done.kept), *self._shard(done.shards, pending)]
            error.chains = self._join(shards) if shards else None
            raise

    def open(self, kept: int) -> Chains:
        """Open the first so many kept states: memory-mapped if they lie in one shard, joined if in several."""
        return self._join(list(self._shards(kept)))

    def _write(self, done: Checkpoint, pending: Sequence[Kept], here: Position, seconds: float) -> Checkpoint:
        for shard in self._shard(done.shards, pending):
            write_whole(self._path(shard.number), pack(shard))
        generators = tuple(generator.get_state() for generator in here.generators)
        shards, kept = done.shards + bool(pending), done.kept + len(pending)
        state = _plain(here.state, "state")
        done = Checkpoint(done.chain, done.noise, shards, kept, seconds, here.number, state, generators)
        write_whole(self._checkpoint, pack(done))
        return done

    def _resume(self, done: Checkpoint) -> Position:
        start, noise = self.run.start(), _noise(self.run)
        _plain(start.state, "state")
        if done.step == 0:
            return start
        if done.noise != noise:
            raise ValueError(
                f"{self.folder} has {done.step:,} steps with the noise of {done.noise}, this run would go on with that "
                f"of {noise}; wanted the same device for the whole run, or {remedy(self.folder)}"
            )
        for generator, state in zip(start.generators, done.generators, strict=True):
            generator.set_state(state.clone())
        return Position(done.step, _like(start.state, done.state, self.run.theta.device), start.generators)

    def _sign(self, settings: Any, step: int) -> None:
        """Note in the manifest who draws from here on."""
        runs = (read_manifest(self.folder) or {"runs": []})["runs"]
        here = {"from_step": step, "versions": versions(), "device": str(self.run.theta.device)}
        here |= {"threads": torch.get_num_threads(), "noise": _noise(self.run)}
        write_manifest(self.folder, settings, runs=[*runs, here])

    def _shards(self, kept: int) -> Iterator[Shard]:
        """Read the shards of the first so many states, the last one cut."""
        seen, number = 0, 0
        while seen < kept:
            shard, first = self._read(self._path(number), Shard), self.burn_in + self.thin * (seen + 1)
            if (shard.number, int(shard.steps[0])) != (number, first):
                raise ValueError(
                    f"{self._path(number)} is shard {shard.number} from step {shard.steps[0]}; wanted shard {number} "
                    f"from step {first}: {remedy(self.folder)}"
                )
            yield shard.first(kept - seen)
            seen, number = seen + len(shard.steps), number + 1

    def _shard(self, number: int, pending: Sequence[Kept]) -> list[Shard]:
        """Join states to a shard; to none if there are none."""
        if not pending:
            return []
        steps, theta, values = zip(*pending, strict=True)
        return [Shard(self.folder.name, number, torch.stack(theta, 1), torch.tensor(steps), stacked(values))]

    def _join(self, shards: Sequence[Shard]) -> Chains:
        device = self.run.theta.device
        theta, steps = _joined([shard.theta for shard in shards], 1), _joined([shard.steps for shard in shards], 0)
        names = shards[0].measures
        measures = {name: _joined([shard.measures[name] for shard in shards], 1).to(device) for name in names}
        return Chains(self.network, theta.to(device), steps, measures.pop("log_posterior"), measures)

    def _read(self, path: Path, kind: type) -> Any:
        try:
            value = unpack(path, None, (kind,))
        except ValueError as error:
            raise ValueError(f"{error}: {remedy(self.folder)}") from error
        if getattr(value, "chain", None) != self.folder.name:
            raise ValueError(f"{path} is not of chain {self.folder.name}: {remedy(self.folder)}")
        return value

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}.safetensors"

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Join what lies in several shards; what lies in one stays memory-mapped."""
    return torch.cat([part.cpu() for part in parts], axis) if len(parts) > 1 else parts[0]


def _copied(step: Step) -> Kept:
    number, state, info = step
    refuse_non_finite(state.theta.sum(-1), number, info.step_size)
    return Kept(number, state.theta.detach().clone(), cloned(info))


def _noise(run: Run) -> str:
    device = run.theta.device.type
    return f"torch.Generator {'mt19937' if device == 'cpu' else 'philox'} on {device}"


def _plain(state: Any, path: str) -> Any:
    """Give a state as tuples, to be made again with the classes of a fresh one."""
    if isinstance(state, tuple):
        names = getattr(state, "_fields", range(len(state)))
        return tuple(_plain(part, f"{path}.{name}") for name, part in zip(names, state, strict=True))
    if state is None or isinstance(state, bool | int | float | str | Tensor):
        return state
    raise ValueError(
        f"{path} is of type {type(state).__name__}; wanted tensors, numbers, texts, None, or tuples and NamedTuples of "
        "them in the state of a sampler that is stored"
    )


def _like(template: Any, stored: Any, device: torch.device) -> Any:
    """Make a state again: tensors in memory of their own, laid out as a fresh state's, which noise may depend on."""
    if isinstance(stored, Tensor):
        alike = isinstance(template, Tensor) and (template.shape, template.dtype) == (stored.shape, stored.dtype)
        return torch.empty_like(template).copy_(stored) if alike else stored.to(device, copy=True)
    if not isinstance(stored, tuple):
        return stored
    if not isinstance(template, tuple) or len(template) != len(stored):
        raise ValueError(f"state has {len(stored)} parts where a fresh one has another kind or number; wanted the same")
    parts = [_like(*pair, device) for pair in zip(template, stored, strict=True)]
    return type(template)(*parts) if hasattr(template, "_fields") else tuple(parts)
