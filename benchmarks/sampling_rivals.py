"""The rivals of ``sampling.py``: SGLD in other ways, on the same posterior, minibatches and scale."""

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from apdlab.data.batches import batches
from apdlab.networks import Network
from apdlab.streams import stream
from apdlab.types import Data, Params


class Task(NamedTuple):
    """What all sample: a posterior on ``data`` under a prior of ``precision``, from ``start [C, D]``."""

    network: Network
    data: Data
    start: Tensor
    batch: int
    precision: float
    step_size: float
    temperature: float = 1.0


class Walk(NamedTuple):
    """Chains under way: ``advance(steps)``, and where they are, ``theta() -> [C, D]``."""

    advance: Callable[[int], None]
    theta: Callable[[], Tensor]


Way = Callable[[Task], Walk]


def loop(task: Task) -> Walk:
    """Walk chain by chain, each a module, updated in place."""
    theta, generator, n = task.start.clone(), _noise(task), len(task.data.y)
    modules = [copy.deepcopy(task.network.module).to(theta.device) for _ in theta]
    for module, row in zip(modules, theta, strict=True):
        for name, leaf in task.network.unravel(row).items():
            module.get_parameter(name).data = leaf

    def step(x: Tensor, y: Tensor) -> None:
        for module, xs, ys in zip(modules, x, y, strict=True):
            leaves = tuple(module.parameters())
            slopes = torch.autograd.grad(n * nn.functional.cross_entropy(module(xs), ys), leaves)
            _descend(task, leaves, slopes, generator)

    return Walk(_each_step(task, step), lambda: theta)


def torch_func(task: Task) -> Walk:
    """Walk all chains at once by ``vmap(grad(functional_call))``, updated in place."""
    params, generator, n = _leaves(task), _noise(task), len(task.data.y)

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return n * nn.functional.cross_entropy(functional_call(task.network.module, params, (x,)), y)

    def step(x: Tensor, y: Tensor) -> None:
        _descend(task, params.values(), vmap(grad(loss))(params, x, y).values(), generator)

    return Walk(_each_step(task, step), lambda: task.network.ravel(params))


def posteriors_loop(task: Task) -> Walk:
    """Walk chain by chain with ``posteriors.sgmcmc.sgld``, in place."""
    kernel = _posteriors(task)
    states = [kernel.init(task.network.unravel(row)) for row in task.start.clone()]

    def step(x: Tensor, y: Tensor) -> None:
        for chain, batch in enumerate(zip(x, y, strict=True)):
            states[chain], _ = kernel.update(states[chain], batch, inplace=True)

    def theta() -> Tensor:
        return torch.stack([task.network.ravel(dict(state.params.items())) for state in states])

    return Walk(_each_step(task, step), theta)


def posteriors_vmap(task: Task) -> Walk:
    """Walk all chains at once with ``posteriors.sgmcmc.sgld`` under ``vmap``."""
    kernel, params = _posteriors(task), _leaves(task)

    def one(params: Params, x: Tensor, y: Tensor) -> Params:
        return dict(kernel.update(kernel.init(params), (x, y))[0].params.items())

    def step(x: Tensor, y: Tensor) -> None:
        params.update(vmap(one, randomness="different")(params, x, y))

    return Walk(_each_step(task, step), lambda: task.network.ravel(params))


def blackjax_scan(task: Task) -> Walk:
    """Walk all chains at once with ``blackjax.sgld``, all steps of a round in one compiled call."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or it takes most of a GPU that torch needs too
    import blackjax
    import jax

    kernel = blackjax.sgld(jax.grad(partial(_jax_log_posterior, len(task.data.y), task.precision)))
    x, y = (jax.numpy.asarray(part.cpu().numpy()) for part in task.data)

    def one(position: Any, key: Any, rows: Any) -> Any:
        return kernel.step(key, position, (x[rows], y[rows]), task.step_size / 2, task.temperature)

    def step(position: Any, given: Any) -> Any:
        key, rows = given
        return jax.vmap(one)(position, jax.random.split(key, len(rows)), rows), None

    @partial(jax.jit, donate_argnums=0)
    def walk(position: Any, key: Any, rows: Any) -> Any:
        return jax.lax.scan(step, position, (jax.random.split(key, len(rows)), rows))[0]

    position, key, orders = _to_jax(task), jax.random.key(0), _orders(task)

    def advance(steps: int) -> None:
        nonlocal position, key
        key, now = jax.random.split(key)
        position = jax.block_until_ready(walk(position, now, torch.stack(list(islice(orders, steps))).numpy()))

    return Walk(advance, lambda: _from_jax(task, position))


RIVALS: dict[str, Way] = {
    "loop": loop,
    "torch.func": torch_func,
    "posteriors": posteriors_loop,
    "vmap(posteriors)": posteriors_vmap,
    "blackjax": blackjax_scan,
}
NEEDS = {"posteriors": "posteriors", "vmap(posteriors)": "posteriors", "blackjax": "blackjax"}


def _each_step(task: Task, step: Callable[[Tensor, Tensor], None]) -> Callable[[int], None]:
    draw, numbers = batches(task.data, task.batch, seed=0, chains=len(task.start)), count()

    def advance(steps: int) -> None:
        for number in islice(numbers, steps):
            step(*draw(number)[:2])

    return advance


def _orders(task: Task) -> Iterator[Tensor]:
    """Give the rows ``[C, B]`` of each step's minibatches."""
    rows = torch.arange(len(task.data.y))
    draw = batches(Data(rows, rows), task.batch, seed=0, chains=len(task.start))
    return (draw(number).index for number in count())


def _leaves(task: Task) -> Params:
    return {name: leaf.clone() for name, leaf in task.network.unravel(task.start).items()}


def _noise(task: Task) -> torch.Generator:
    return stream(0, "rival", device=task.start.device)


@torch.no_grad()
def _descend(task: Task, leaves: Iterable[Tensor], slopes: Iterable[Tensor], generator: torch.Generator) -> None:
    """Update leaves by the slopes of the summed loss, the prior as weight decay."""
    for leaf, slope in zip(leaves, slopes, strict=True):
        leaf.mul_(1 - task.step_size / 2 * task.precision).add_(slope, alpha=-task.step_size / 2)
        noise = torch.empty_like(leaf).normal_(generator=generator)
        leaf.add_(noise, alpha=math.sqrt(task.step_size * task.temperature))


def _posteriors(task: Task) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import posteriors
    n = len(task.data.y)

    def log_posterior(params: Params, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = batch
        prior = -task.precision / 2 * sum(leaf.square().sum() for leaf in params.values())
        outputs = functional_call(task.network.module, dict(params.items()), (x,))
        return prior - n * nn.functional.cross_entropy(outputs, y), torch.tensor([])

    return posteriors.sgmcmc.sgld.build(log_posterior, task.step_size / 2, temperature=task.temperature)


def _jax_log_posterior(n: int, precision: float, position: Any, minibatch: Any) -> Any:
    """Evaluate a perceptron with ReLU, whose weights are ``[(weight [I, O], bias [O]), ...]``."""
    import jax

    h, y = minibatch
    for place, (weight, bias) in enumerate(position):
        h = (jax.nn.relu(h) if place else h) @ weight + bias
    likelihood = jax.numpy.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1).mean()
    return n * likelihood - precision / 2 * sum((leaf**2).sum() for leaf in jax.tree.leaves(position))


def _to_jax(task: Task) -> Any:
    import jax

    leaves = [leaf.cpu() for leaf in task.network.unravel(task.start).values()]
    pairs = zip(leaves[::2], leaves[1::2], strict=True)
    return [(jax.numpy.array(weight.mT.numpy()), jax.numpy.array(bias.numpy())) for weight, bias in pairs]


def _from_jax(task: Task, position: Any) -> Tensor:
    import jax
    import numpy as np

    leaves = [torch.from_numpy(np.array(leaf)) for leaf in jax.tree.leaves(position)]
    turned = [leaf.mT if leaf.ndim == 3 else leaf for leaf in leaves]
    return task.network.ravel(dict(zip(task.network.shapes, turned, strict=True))).to(task.start.device)
