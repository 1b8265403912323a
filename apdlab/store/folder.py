"""The store: a folder in which chains and fits are found again by the hash of what made them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apdlab import __version__
from apdlab.chains import Chains
from apdlab.distill.coordinates import Coordinates, Distilled
from apdlab.distill.flow import Flow
from apdlab.distill.gan import Trace
from apdlab.distill.gaussian import Normal
from apdlab.distill.generator import Generator, Latent
from apdlab.distill.mixture import Mixture
from apdlab.distill.online import Course
from apdlab.draws import Draws
from apdlab.files import write_whole
from apdlab.networks import Network
from apdlab.posterior.dropout import Dropout
from apdlab.posterior.swag import Swag
from apdlab.samplers.run import Run, count_kept
from apdlab.store.fingerprint import describe, digest
from apdlab.store.manifest import locked, read_manifest, remedy, versions, write_manifest
from apdlab.store.packing import Unlisted, pack, unpack
from apdlab.store.shards import Bar, Record
from apdlab.types import Cost

KINDS: tuple[type, ...] = (
    *(Chains, Draws, Cost, Dropout, Swag),
    *(Distilled, Coordinates, Generator, Latent, Normal, Mixture, Flow, Trace, Course),
)


@dataclass(frozen=True)
class Store:
    """Keeps what took long under the hash of everything that it depends on, so that nobody waits for it twice.

    Jobs that ask for the same at the same time wait for one of them. What a killed job has drawn until its last
    checkpoint is not lost.

    Attributes:
        root: The folder; made when something is stored.
        kinds: Dataclasses and NamedTuples that a fit may be made of.

    Raises:
        ValueError: If ``root`` is a file.
    """

    root: str | Path
    kinds: tuple[type, ...] = field(default=KINDS, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))  # a text would do until the first result
        for place in (self.root, *self.root.parents):
            if place.exists() and not place.is_dir():
                raise ValueError(
                    f"root is {self.root}, and {place} is a file; wanted a folder, or a path for a new one"
                )

    def keep(
        self, run: Run, network: Network, *, burn_in: int = 0, thin: int = 1, bar: Bar = iter, every: float = 30.0
    ) -> tuple[Chains, Cost]:
        """Run and keep states as ``samplers.keep`` does, bit for bit, but on disk; what is there is not drawn again.

        The number of steps is not in the hash: a longer run goes on where a shorter one ended, a shorter one is the
        beginning of a longer one.

        Args:
            run: The run, without a bar around it.
            network: Whose weights they are.
            burn_in: How many steps to let pass first.
            thin: Keep the states after steps ``burn_in + thin, burn_in + 2 thin, ...``.
            bar: Wraps the steps that are drawn now, e.g. ``samplers.progress``.
            every: Seconds of drawing that a kill or a power cut may cost.

        Returns:
            The chains, memory-mapped where they lie in one shard, and the cost of their steps, whoever took them.

        Raises:
            ValueError: If nothing would be kept, the run depends on what cannot be described, the folder cannot be
                written, or a file in it is damaged.
            Diverged: If a chain diverges; ``error.chains`` holds the states kept before.

        Example:
            >>> import tempfile, torch
            >>> from apdlab.networks import mlp
            >>> from apdlab.samplers.sgld import sgld
            >>> network, store = mlp(1, 1), Store(Path(tempfile.mkdtemp()))
            >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
            >>> run = Run(kernel, torch.zeros(4, network.size), lambda t: None, seed=0, steps=100)
            >>> chains, cost = store.keep(run, network, burn_in=50, thin=10)
            >>> chains.theta.shape, cost.gradient_evaluations
            (torch.Size([4, 5, 2]), 400)
        """
        if not isinstance(run, Run):
            raise ValueError(f"run is a {type(run).__name__}; wanted a Run, and its bar as bar=progress")
        if not every >= 0:
            raise ValueError(f"every is {every}; wanted seconds, 0 or more")
        wanted = count_kept(run.steps, burn_in, thin)
        tree, record = self._record(run, network, burn_in, thin)
        if record.checkpoint().kept < wanted:
            with locked(record.folder):
                if record.checkpoint().kept < wanted:  # another job may have drawn it while this one waited
                    record.draw(tree, bar, every)
        done = record.checkpoint()
        seconds = done.seconds * min(1, run.steps / done.step)
        return record.open(wanted), Cost(run.steps * len(run.theta), seconds)

    def has(self, run: Run, network: Network, *, burn_in: int = 0, thin: int = 1) -> bool:
        """Tell whether all that ``keep`` would give is drawn already, so that nobody need wait for it.

        Args:
            run: The run.
            network: Whose weights they are.
            burn_in: As for ``keep``.
            thin: As for ``keep``.

        Raises:
            ValueError: As ``keep`` does, before anything is drawn.

        Example:
            >>> import tempfile, torch
            >>> from apdlab.networks import mlp
            >>> from apdlab.samplers.sgld import sgld
            >>> network, store = mlp(1, 1), Store(Path(tempfile.mkdtemp()))
            >>> kernel = sgld(lambda theta, batch: -0.5 * theta.square().sum(-1), step_size=0.1)
            >>> run = Run(kernel, torch.zeros(4, network.size), lambda t: None, seed=0, steps=100)
            >>> before, _ = store.has(run, network), store.keep(run, network)
            >>> before, store.has(run, network), store.has(run, network, thin=2)
            (False, True, False)
        """
        _, record = self._record(run, network, burn_in, thin)
        return record.checkpoint().kept >= count_kept(run.steps, burn_in, thin)

    def _record(self, run: Run, network: Network, burn_in: int, thin: int) -> tuple[Any, Record]:
        settings = {"sampler": run.sampler, "theta": run.theta, "batches": run.batches, "seed": run.seed}
        tree = describe(settings | {"network": network, "burn_in": burn_in, "thin": thin, "apdlab": __version__})
        return tree, Record(self.root / "chains" / digest(tree), run, network, burn_in, thin)

    def fit(self, network: Network, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Give ``function(*args, **kwargs)``, computed once for these arguments and opened from then on.

        Args:
            network: The network of the posterior.
            function: A fit, e.g. ``gan.fit``; it must depend on nothing but its arguments.
            args: Its arguments.
            kwargs: Its arguments by name.

        Returns:
            What the function returned, memory-mapped.

        Raises:
            ValueError: If an argument cannot be described, the result cannot be stored, the folder cannot be written,
                or a file in it is damaged.

        Example:
            >>> import tempfile, torch
            >>> from apdlab.networks import mlp
            >>> from apdlab.posterior.point import point
            >>> store, network = Store(Path(tempfile.mkdtemp())), mlp(2, 3)
            >>> len(store.fit(network, point, network, torch.zeros(9)))
            1
        """
        settings = {"function": function, "args": args, "kwargs": kwargs}
        tree = describe(settings | {"network": network, "apdlab": __version__})
        folder = self.root / "fits" / digest(tree)
        path = folder / "fit.safetensors"
        if not path.exists():
            with locked(folder):
                if not path.exists():
                    content = pack(function(*args, **kwargs))
                    write_manifest(folder, tree, versions=versions())
                    write_whole(path, content)
        if read_manifest(folder) is None:
            raise ValueError(f"{folder / 'manifest.json'} is missing: {remedy(folder)}")
        try:
            return unpack(path, network, self.kinds, _device(_tensors((args, kwargs))))
        except Unlisted:
            raise  # it would come again
        except ValueError as error:
            raise ValueError(f"{error}: {remedy(folder)}") from error


def _device(tensors: Iterable[Tensor]) -> torch.device:
    """Find where the work was done: a tensor may wait on the processor until its device is asked for."""
    return next((each.device for each in tensors if each.device.type != "cpu"), torch.device("cpu"))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Walk through the tensors in nested arguments."""
    if isinstance(value, Tensor):
        yield value
    if is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in fields(value)]
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
        yield from _tensors(part)
