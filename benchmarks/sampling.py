"""How fast do 16 chains of SGLD walk, and how far is that from the machine's limit?

Each chain has its own minibatch of 100, whose gathering is timed too. Ours is what a user writes: ``LogDensity``,
``sgld``, a ``Run`` over ``batches``; then the same on ``network.mixed(torch.bfloat16)``. The rivals sample the same
posterior in float32 on the same minibatches:

- loop: one ``nn.Module`` a chain, one after the other, updated in place as an optimizer of ``torch.optim`` does;
- torch.func: ``vmap`` of ``grad`` of ``functional_call``, as its documentation says, then updates in place;
- posteriors: its ``sgld``, chain by chain in place, and under ``vmap``;
- blackjax: its ``sgld``, ``vmap`` over chains and ``scan`` over the steps of a round, in one compiled call.

Before anything is timed, each takes one step of size 1, which shows nothing but the gradient and the noise: without
noise it must arrive where ours does, with noise as far from there. One line each: ``name, ratio, ours_ms, rival_ms,
spread, share`` (see ``timing.report``), milliseconds of one step of all chains. The share is of the rate of a large
product in the same dtype; what counts are the products of three passes (outputs, gradients of weights, of inputs), but
two for the first layer. A note tells how fast normal numbers come on a processor, which is what a step cannot do
without, in the ways that need no compiler. Compiling is not timed. For one core run it with ``OMP_NUM_THREADS=1`` under
``taskset -c 0``: jax looks at nothing but the cores that it may use.
"""

import math
import statistics
from collections.abc import Mapping
from functools import partial
from itertools import islice, pairwise

import numpy as np
import torch
from sampling_rivals import NEEDS, RIVALS, Task, Walk, Way
from timing import SAME, check_same, installed, note, options, reached, report, roof, rounds, save
from torch import Tensor

from apdlab.data.batches import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers.run import Run
from apdlab.samplers.sgld import sgld
from apdlab.streams import stream, streams
from apdlab.types import Data

SIZES = {(784, 100, 10): 20, (784, 400, 400, 10): 5}  # and steps a round, which takes a tenth of a second or more
TOY = {(8, 5, 10): 2, (8, 5, 5, 10): 2}
BF16 = 0.1  # of the largest: what products of 8 bits leave of a gradient, with units that they switch on or off
NOISE = 0.1  # of its scale: six standard errors of the fewest weights


def task(sizes: tuple[int, ...], chains: int, examples: int, device: str) -> Task:
    """Make a set of random inputs and labels, and random starts."""
    network, generator = mlp(*sizes), stream(0, "data")
    x, y = torch.randn(examples, sizes[0], generator=generator), torch.randint(10, (examples,), generator=generator)
    start = torch.stack([network.init(g) for g in streams(0, "weights", chains)])
    return Task(network, Data(x, y).to(device), start.to(device), batch=100, precision=50.0, step_size=1e-6)


def ours(task: Task) -> Walk:
    """Walk as a user of this package does."""
    density = LogDensity(task.network, categorical(), gaussian_prior(task.network, task.precision), len(task.data.y))
    seen = batches(task.data, task.batch, seed=0, chains=len(task.start))
    steps = iter(Run(sgld(density, task.step_size, task.temperature), task.start, seen, seed=0, steps=10**9))
    theta = task.start

    def advance(count: int) -> None:
        nonlocal theta
        for step in islice(steps, count):
            theta = step.state.theta

    return Walk(advance, lambda: theta)


def ours_bf16(task: Task) -> Walk:
    """Walk with products in bfloat16, all else in float32."""
    return ours(task._replace(network=task.network.mixed(torch.bfloat16)))


OURS = {"": (ours, torch.float32, SAME), " bf16": (ours_bf16, torch.bfloat16, BF16)}


def check(name: str, way: Way, task: Task, within: float) -> None:
    """Refuse a way whose first step is another one."""
    big = task._replace(step_size=1.0)
    still = arrived(ours, big._replace(temperature=0.0))
    check_same(name, still, arrived(way, big._replace(temperature=0.0)), within)
    noise = (arrived(way, big) - still).std() if within == SAME else torch.ones(())
    check_same(f"{name}, noise", torch.ones_like(noise), noise, NOISE)


def arrived(way: Way, task: Task) -> Tensor:
    """Take one step, ``[C, D]``."""
    walk = way(task)
    walk.advance(1)
    return walk.theta().clone()


def flops(sizes: tuple[int, ...], task: Task) -> float:
    """Count the products of one step of all chains, ``2 C B (3 sum_l n_l n_{l+1} - n_0 n_1)``."""
    weights = [a * b for a, b in pairwise(sizes)]
    return 2 * len(task.start) * task.batch * (3 * sum(weights) - weights[0])


def tell_noise(count: int, turns: int) -> None:
    """Print how many normal numbers a second torch draws, numpy, and torch from numpy's bits."""
    room, rng = torch.empty(count), np.random.Generator(np.random.SFC64(0))
    ways = {
        "torch": room.normal_,
        "numpy": lambda: rng.standard_normal(out=room.numpy(), dtype=np.float32),
        "Box and Muller's way from numpy's bits": lambda: box_muller(rng, room),
    }
    for name, way in ways.items():
        way()
        check_same(f"noise, {name}", torch.ones(()), room.square().mean(), NOISE)
    times = rounds(ways, turns)
    found = (f"{name} {count / 1e3 / statistics.median(each):.0f}" for name, each in times.items())
    note(f"million normal numbers a second, {count:,} at a time: {', '.join(found)}")


def box_muller(rng: np.random.Generator, room: Tensor) -> Tensor:
    """Fill ``room [n]``, ``n`` even, with ``sqrt(-2 log u) (cos, sin)(2 pi v)``."""
    bits = rng.integers(0, 2**64 - 1, endpoint=True, size=len(room) // 2, dtype=np.uint64)
    u, v = torch.from_numpy(bits).view(torch.int32).view(-1, 2).mT.float().mul_(2**-32).unbind()
    radius, angle = u.add_(0.5 + 2**-25).clamp_(max=1).log_().mul_(-2).sqrt_(), v.mul_(2 * math.pi)
    cos, sin = room.chunk(2)
    torch.mul(radius, torch.cos(angle, out=cos), out=cos)
    torch.mul(radius, torch.sin(angle, out=sin), out=sin)
    return room


def competing(device: str) -> dict[str, Way]:
    """Choose the rivals that are installed, and for the device."""
    there = {package for package in dict.fromkeys(NEEDS.values()) if installed(package)}
    if device != "cpu" and "blackjax" in there:
        import jax

        if jax.default_backend() == "cpu":
            note("blackjax is left out: the jax that is installed knows no accelerator")
            there.remove("blackjax")
    return {name: way for name, way in RIVALS.items() if name not in NEEDS or NEEDS[name] in there}


def measure(title: str, task: Task, rivals: Mapping[str, Way], steps: int, count: int) -> dict[str, list[float]]:
    """Give the milliseconds of one step of all chains, of ours and of rivals that do the same."""
    for name, (way, _, within) in OURS.items():
        check(title + name, way, task, within)
    for name, way in rivals.items():
        check(f"{title} over {name}", way, task, SAME)
    walks = {name: way(task) for name, (way, *_) in OURS.items()} | {name: way(task) for name, way in rivals.items()}
    turns = rounds({name: partial(walk.advance, steps) for name, walk in walks.items()}, count)
    return {name: [time / steps for time in each] for name, each in turns.items()}


def main() -> None:
    """Measure the limits, then both networks."""
    chosen = options("How fast do chains of SGLD walk?", chains=16)
    limits = {name: roof(chosen.device, dtype, 64 if chosen.toy else 2048) for name, (_, dtype, _) in OURS.items()}
    note(", ".join(f"limit{name}: {limit:.0f} GFLOP/s" for name, limit in limits.items()))
    if chosen.device == "cpu":
        tell_noise(79_510, chosen.rounds)
    found = competing(chosen.device)
    for sizes, steps in (TOY if chosen.toy else SIZES).items():
        title = f"sampling {'-'.join(map(str, sizes))}"
        made = task(sizes, chosen.chains, 300 if chosen.toy else 50_000, chosen.device)
        times = measure(title, made, found, steps, chosen.rounds)
        for own in OURS:
            part = reached(flops(sizes, made), times[own], limits[own])
            for name in found:
                report(f"{title}{own} over {name}", times[own], times[name], part)
    save(chosen)


if __name__ == "__main__":
    main()
