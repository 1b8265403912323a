"""Is ``predict_moments`` as fast as the loops that it replaces, and what memory does it save?

Ours is ``predict_moments`` for 100 draws of a 784-100-10 network on 2,000 inputs. The rivals keep ``[S, N, C]``: a loop
over the networks in batches of 100, and ``vmap`` over the full batch; both then take its ``moments``, or stop before
that ("outputs only", which is less work than ours). First a line ``# peak memory of <way>`` each, in a process of its
own; then ``name, ratio, ours_ms, rival_ms, spread, share`` (see ``timing.report``). Run it with ``OMP_NUM_THREADS=1``.
"""

import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context

import torch
from timing import check_same, note, options, report, rounds, save
from torch import Tensor

from apdlab.draws import Draws
from apdlab.moments import Moments, moments
from apdlab.networks import mlp
from apdlab.predict import predict_moments
from apdlab.stacks import vmapped as by_vmap
from apdlab.streams import stream, streams

BATCH = 100
SIZES = (100, 2000, 784, 100)  # draws, inputs, features, hidden units
TOY = (3, 150, 8, 5)


def problem(draws: int, inputs: int, features: int, hidden: int, device: str) -> tuple[Draws, Tensor]:
    """Draw networks and inputs."""
    network = mlp(features, hidden, 10)
    theta = torch.empty(draws, network.size)  # filled row by row: a list beside it would hide a peak as large
    for row, generator in zip(theta, streams(0, "weights", draws), strict=True):
        row.copy_(network.init(generator))
    x = torch.randn(inputs, features, generator=stream(0, "inputs"))
    return Draws(network, theta.to(device)), x.to(device)


@torch.no_grad()
def loop(draws: Draws, x: Tensor) -> Tensor:
    """Predict model by model and batch by batch: ``[S, N, C]``."""
    network = draws.network
    each = (network.unravel(theta) for theta in draws.theta)
    return torch.stack([torch.cat([network(p, part).log_softmax(-1) for part in x.split(BATCH)]) for p in each])


@torch.no_grad()
def vmapped(draws: Draws, x: Tensor) -> Tensor:
    """Predict with all models on all inputs at once: ``[S, N, C]``."""
    network = draws.network
    return by_vmap(network.module)(network.unravel(draws.theta), x[None]).log_softmax(-1)


def then_moments(way: Callable[[Draws, Tensor], Tensor], draws: Draws, x: Tensor) -> Moments:
    """Summarise predictions that were made all at once."""
    return moments(way(draws, x))


OURS = {"ours": predict_moments}
RIVALS = {"loop": partial(then_moments, loop), "vmap": partial(then_moments, vmapped)}
OUTPUTS = {"loop, outputs only": loop, "vmap, outputs only": vmapped}
WAYS = OURS | RIVALS | OUTPUTS


def peak(name: str, sizes: tuple[int, ...]) -> float:
    """Measure by how many MiB one way raises this process's peak of memory, on the CPU."""
    import resource

    draws, x = problem(*sizes, "cpu")
    loop(draws[:1], x[:1])  # what the first call of a library takes is not the way's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WAYS[name](draws, x)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def compare(draws: Draws, x: Tensor, count: int) -> None:
    """Print one line for each rival."""
    ours = predict_moments(draws, x)
    for name, rival in RIVALS.items():
        for field, a, b in zip(Moments._fields[1:5], ours[1:5], rival(draws, x)[1:5], strict=True):
            check_same(f"{name}, {field}", a, b)
    times = rounds({name: partial(way, draws, x) for name, way in WAYS.items()}, count)
    for name in [*RIVALS, *OUTPUTS]:
        report(f"predict_moments over {name}", times["ours"], times[name])


def main() -> None:
    """Measure memory, then times: a process starts with the peak of the one that started it."""
    chosen = options("Is predict_moments as fast as the loops that it replaces?")
    sizes = TOY if chosen.toy else SIZES
    if chosen.device == "cpu" and sys.platform != "win32":
        for name in [*OURS, *RIVALS]:
            with get_context("spawn").Pool(1) as fresh:
                note(f"peak memory of {name}: {fresh.apply(peak, (name, sizes)):.0f} MiB")
    compare(*problem(*sizes, chosen.device), chosen.rounds)
    save(chosen)


if __name__ == "__main__":
    main()
