"""How do time and memory grow with chains, draws, examples and weights, each alone?

Prints, with tabs between, ``name, exponent, smallest_ms, largest_ms, peak_small_MiB, peak_large_MiB``: the slope of
the logarithm of median times over the upper half of sizes that double, and by how much the smallest and the largest
raise the peak of a process of their own, beside their inputs. ``docs/scaling.md`` says what follows:
``python docs/scale.py`` after ``--json benchmarks/results/scaling.json``. Run it with ``OMP_NUM_THREADS=1``.
"""

import json
import statistics
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from memory import alone, here, raised
from timing import machine, options, rounds
from torch import Tensor

from apdlab.data.batches import batches
from apdlab.density import LogDensity
from apdlab.distill import pca
from apdlab.distill.gan import PAPER, STEADY, Pair, Recipe
from apdlab.draws import Draws
from apdlab.files import write_whole
from apdlab.likelihoods import categorical
from apdlab.networks import Network, mlp
from apdlab.predict import predict_moments
from apdlab.predictor import predictor
from apdlab.priors import gaussian_prior
from apdlab.resnet import resnet
from apdlab.samplers import sgld
from apdlab.streams import stream, streams
from apdlab.types import Data

INPUTS, CLASSES, BATCH, EXAMPLES, DRAWS, DIRECTIONS = 784, 10, 100, 200, 100, 64
Call = Callable[[], object]


class Case(NamedTuple):
    """Sizes that double, those of ``--toy``, what makes the task of a size on a device, and what it is drawn over."""

    sizes: tuple[int, ...]
    toy: tuple[int, ...]
    make: Callable[[int, str], Call]
    axis: Callable[[int], int] = lambda size: size


def layered(hidden: int) -> Network:
    """Build the network whose weights grow."""
    return mlp(INPUTS, hidden, CLASSES)


def weights(hidden: int) -> int:
    """Count its weights."""
    return layered(hidden).size


def normal(*shape: int, device: str) -> Tensor:
    """Fill a tensor in place: what is made on the way would hide peaks."""
    return torch.empty(*shape, device=device).normal_(0, 0.05, generator=stream(0, "scaling", device=device))


def sampling(network: Network, inputs: tuple[int, ...], chains: int, batch: int, device: str) -> Call:
    """Take steps of SGLD from a start."""
    data = Data(normal(batch, *inputs, device=device), torch.zeros(batch, dtype=torch.long, device=device))
    kernel = sgld(LogDensity(network, categorical(), gaussian_prior(network, 50.0), 60_000), 1e-6)
    draw, start, walk = batches(data, batch, seed=0, chains=chains), normal(chains, network.size, device=device), {}
    generators = streams(0, "noise", chains, device)

    def step() -> None:
        state = walk.get("state") or kernel.init(start)
        walk["state"], _ = kernel.step(state, draw(0), generators)

    return step


def predicting(draws: int, examples: int, device: str, hidden: int = 100) -> Call:
    """Average predictions."""
    network = layered(hidden)
    stored = Draws(network, normal(draws, network.size, device=device))
    return partial(predict_moments, stored, normal(examples, INPUTS, device=device))


def attacking(draws: int, device: str) -> Call:
    """Differentiate the averaged prediction in its input, as each step of PGD does."""
    network = layered(100)
    function = predictor(Draws(network, normal(draws, network.size, device=device)))
    x = normal(EXAMPLES, INPUTS, device=device).requires_grad_()
    return lambda: torch.autograd.grad(function(x)[:, 0].sum(), x)


def criticising(wide: int, recipe: Recipe, device: str) -> Call:
    """Take steps of a critic of codes that are so wide; the first makes the pair."""
    real, made = normal(1, DRAWS, wide, device=device), {}

    def step() -> None:
        made.setdefault("pair", None)
        made["pair"] = made["pair"] or Pair(real, recipe, 1, stream(0, "gan", device=device))
        made["pair"]._critic_step()

    return step


def turning(draws: int, hidden: int, k: int, device: str) -> Call:
    """Find principal coordinates."""
    network = layered(hidden)
    return partial(pca, normal(1, draws, network.size, device=device), network, k)


CASES = {
    "SGLD step, chains": Case(
        (1, 2, 4, 8, 16), (1, 2, 4), lambda n, where: sampling(layered(100), (INPUTS,), n, BATCH, where)
    ),
    "SGLD step, weights": Case(
        (50, 100, 200, 400, 800), (2, 4, 8), lambda n, where: sampling(layered(n), (INPUTS,), 1, BATCH, where), weights
    ),
    "SGLD step of ResNet-20, examples": Case(
        (4, 8, 16, 32, 64), (1, 2), lambda n, where: sampling(resnet(20), (3, 32, 32), 1, n, where)
    ),
    "predict_moments, draws": Case(
        (50, 100, 200, 400, 800), (2, 4, 8), lambda n, where: predicting(n, EXAMPLES, where)
    ),
    "predict_moments, examples": Case(
        (250, 500, 1000, 2000, 4000), (2, 4, 8), lambda n, where: predicting(DRAWS, n, where)
    ),
    "predict_moments, weights": Case(
        (50, 100, 200, 400, 800), (2, 4, 8), lambda n, where: predicting(DRAWS, EXAMPLES, where, n), weights
    ),
    "input gradient, draws": Case((50, 100, 200, 400, 800), (2, 4, 8), attacking),
    "critic step, raw weights": Case(
        (25, 50, 100, 200, 400), (2, 4, 8), lambda n, where: criticising(weights(n), PAPER, where), weights
    ),
    "critic step, directions": Case(
        (16, 32, 64, 128, 256), (2, 4, 8), lambda n, where: criticising(n, STEADY, where)
    ),
    "pca, draws": Case(
        (100, 200, 400, 800, 1600), (70, 140), lambda n, where: turning(n, 100, DIRECTIONS, where)
    ),
    "pca, weights": Case(
        (25, 50, 100, 200, 400), (2, 4, 8), lambda n, where: turning(DRAWS, n, DIRECTIONS, where), weights
    ),
}  # fmt: skip


def exponent(sizes: list[int], times: list[float]) -> float:
    """Fit ``log time = e log size + constant`` over the upper half of sizes, the middle one with it."""
    upper = (len(sizes) - 1) // 2
    return float(np.polyfit(np.log(sizes[upper:]), np.log(times[upper:]), 1)[0])


def peak(name: str, size: int, device: str) -> float:
    """Measure by how many MiB two calls raise the peak, after a tiny task: what a first call takes is not theirs."""
    case = CASES[name]
    tiny, call = (case.make(n, device) for n in (case.toy[0], size))
    tiny(), tiny()
    return raised(lambda: (call(), call()), device)


def measure(name: str, toy: bool, count: int, device: str) -> dict[str, str | int | float]:
    """Measure one case."""
    case = CASES[name]
    sizes = case.toy if toy else case.sizes
    apart = here if toy else alone
    peaks = [apart(peak, name, size, device) for size in (sizes[0], sizes[-1])]
    ways = {str(size): case.make(size, device) for size in sizes}
    times = [statistics.median(each) for each in rounds(ways, count).values()]
    along = [case.axis(size) for size in sizes]
    return {
        **{"name": name, "exponent": exponent(along, times), "smallest": along[0], "largest": along[-1]},
        **{"smallest_ms": times[0], "largest_ms": times[-1], "peak_small_MiB": peaks[0], "peak_large_MiB": peaks[1]},
    }


def main() -> None:
    """Measure all cases."""
    chosen, lines = options("How do time and memory grow with chains, draws, examples and weights?"), []
    for name in CASES:
        lines.append(line := measure(name, chosen.toy, chosen.rounds, chosen.device))
        numbers = (f"{line[key]:.3f}" for key in line if key not in ("name", "smallest", "largest"))
        print(name, *numbers, sep="\t", flush=True)
    if chosen.json:
        run = {"machine": machine(chosen.device), "weights": {"ResNet-20": resnet(20).size}, "lines": lines}
        write_whole(chosen.json.absolute(), json.dumps(run, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
