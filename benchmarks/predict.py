"""Is ``predict_moments`` as fast as what it replaces, in float32, in bfloat16 and through a basis, in less memory?

Ours is ``predict_moments`` for 100 draws of a 784-100-10 network on 10,000 inputs, then the same on
``network.mixed(torch.bfloat16)``. The rivals keep ``[S, N, K]``: a loop over modules in batches of 100, one with all
inputs in one batch, and ``vmap`` over all draws and inputs at once; they then take means, entropies and variances of it
in float32, or stop before that ("outputs only", which is less work than ours). Last, 1,000 draws that are combinations
of 64 directions, on fewer inputs, against the same draws stored in full.

First lines ``# ...``: by how much each raises the peak of memory, in a process of its own, and what bfloat16 changes
in the predictions of networks that have learned the bundled digits. Then ``name, ratio, ours_ms, rival_ms, spread,
share`` (see ``timing.report``); the share is that of a large product in the same dtype. Run it with
``OMP_NUM_THREADS=1``.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from ensembles import at_random, modules, trained
from memory import alone, here, raised
from timing import SAME, check_same, note, options, reached, report, roof, rounds, save
from torch import Tensor, nn

from apdlab.draws import Draws
from apdlab.metrics import mutual_information
from apdlab.predict import predict_moments
from apdlab.stacks import vmapped
from apdlab.streams import stream

BATCH, DIRECTIONS = 100, 64
BF16 = 0.02  # of the largest: far above what products of 8 bits leave of a probability
Call = Callable[[], object]


class Sizes(NamedTuple):
    """How many draws and inputs, and how many draws and inputs where there is a basis."""

    layers: tuple[int, ...]
    draws: int
    inputs: int
    coded: int
    few: int
    trained: int


FULL, TOY = Sizes((784, 100, 10), 100, 10_000, 1000, 2000, 4000), Sizes((8, 5, 10), 3, 150, 400, 20, 100)


def drawn(inputs: int, features: int, device: str) -> Tensor:
    """Draw inputs."""
    return torch.randn(inputs, features, generator=stream(0, "inputs")).to(device)


@torch.no_grad()
def loop(each: list[nn.Module], x: Tensor, batch: int = BATCH) -> Tensor:
    """Predict model by model and batch by batch: ``[S, N, K]``."""
    return torch.stack([torch.cat([module(part).log_softmax(-1) for part in x.split(batch)]) for module in each])


@torch.no_grad()
def at_once(draws: Draws, x: Tensor) -> Tensor:
    """Predict with all models on all inputs at once: ``[S, N, K]``."""
    return vmapped(draws.network.module)(draws.network.unravel(draws.theta), x[None]).log_softmax(-1)


def statistics(log_probs: Tensor) -> list[Tensor]:
    """Compute what uncertainties need as it is usually written: mean, its entropy, the mean entropy, variance."""
    probs = log_probs.exp()
    mean = probs.mean(0)
    return [mean, -(mean * mean.log()).sum(-1), -(probs * log_probs).sum(-1).mean(0), probs.var(0, unbiased=False)]


def summarised(draws: Draws, x: Tensor) -> list[Tensor]:
    """Give the same by ours."""
    found = predict_moments(draws, x)
    entropy = -(found.mean * found.log_mean).sum(-1)
    return [part.float() for part in (found.mean, entropy, found.expected_entropy, found.squares / found.draws)]


def mixed(draws: Draws) -> Draws:
    """Give the same draws with products in bfloat16."""
    return Draws(draws.network.mixed(torch.bfloat16), draws.theta)


def ways_of(draws: Draws, x: Tensor) -> dict[str, Call]:
    """List all ways; modules are made here, for nobody would make them again at each prediction."""
    each, low = modules(draws), mixed(draws)
    return {
        "ours": lambda: summarised(draws, x),
        "ours bf16": lambda: summarised(low, x),
        "loop": lambda: statistics(loop(each, x)),
        "loop, one batch": lambda: statistics(loop(each, x, len(x))),
        "vmap": lambda: statistics(at_once(draws, x)),
        "loop, outputs only": lambda: loop(each, x),
        "vmap, outputs only": lambda: at_once(draws, x),
    }


def peak(name: str, draws: int, sizes: Sizes) -> float:
    """Measure by how many MiB one way raises the peak of a process, on the CPU."""
    made, x = at_random(draws, *sizes.layers), drawn(sizes.inputs, sizes.layers[0], "cpu")
    ways_of(made[:1], x[:BATCH])[name]()  # what the first call of a library takes is not the way's
    return raised(ways_of(made, x)[name])


def tell_memory(sizes: Sizes, apart: Callable) -> None:
    """Print a note a way, and one for ten times as many draws."""
    asked = [(name, sizes.draws) for name in ("ours", "ours bf16", "loop", "vmap")]
    for name, draws in [*asked, ("ours", 10 * sizes.draws)]:
        note(f"memory of {name}, {draws:,} draws: {apart(peak, name, draws, sizes):.0f} MiB beside draws and inputs")


def tell_error(sizes: Sizes, device: str) -> None:
    """Print what bfloat16 changes in predictions of networks that have learned something."""
    draws, test = trained(sizes.draws + sizes.draws % 2, device, steps=sizes.trained)
    exact, low = (predict_moments(made, test.x) for made in (draws, mixed(draws)))
    labels = [found.mean.argmax(-1) for found in (exact, low)]
    doubt = (mutual_information(exact) - mutual_information(low)).abs().max()
    right = " and ".join(f"{(label == test.y).double().mean():.1%}" for label in labels)
    note(
        f"bf16 on {len(draws)} networks trained on digits, {len(test.y)} test inputs: largest error of the mean "
        f"probability {(exact.mean - low.mean).abs().max():.1e}, of the mutual information {doubt:.1e} nats (largest "
        f"{mutual_information(exact).max():.2f}); {(labels[0] != labels[1]).double().mean():.1%} of labels changed, "
        f"accuracy {right} in float32 and bf16"
    )


def flops(layers: tuple[int, ...]) -> int:
    """Count the products of one network on one input."""
    return 2 * sum(a * b for a, b in pairwise(layers))


def compare(draws: Draws, x: Tensor, count: int, sizes: Sizes, limits: dict[str, float]) -> None:
    """Print a line for each of our ways and each rival."""
    ways = ways_of(draws, x)
    whole = ways["loop"]()
    for name, within in (("ours", SAME), ("ours bf16", BF16), ("vmap", SAME)):
        for part, (a, b) in enumerate(zip(ways[name](), whole, strict=True)):
            check_same(f"{name} and the loop, statistic {part}", a, b, within if part == 0 else 10 * within)
    times = rounds(ways, count)
    done = flops(sizes.layers) * len(draws) * len(x)
    for own in ("ours", "ours bf16"):
        share = reached(done, times[own], limits[own])
        for name in [name for name in ways if name not in limits]:
            report(f"predict_moments{own[4:]} over {name}", times[own], times[name], share)


def compare_basis(sizes: Sizes, count: int, device: str, limit: float) -> None:
    """Print the line of draws with a basis over the same draws stored in full."""
    directions = min(DIRECTIONS, sizes.coded // 4)
    basis = at_random(directions, *sizes.layers, device=device)
    codes = torch.randn(sizes.coded, directions, generator=stream(0, "codes")).to(device) / directions**0.5
    coded = Draws(basis.network, codes, basis.theta, basis.theta.mean(0))
    stored, x = Draws(basis.network, coded.theta), drawn(sizes.few, sizes.layers[0], device)
    for part, (a, b) in enumerate(zip(summarised(coded, x), summarised(stored, x), strict=True)):
        check_same(f"through a basis, statistic {part}", a, b)
    times = rounds({"ours": partial(summarised, coded, x), "stored": partial(summarised, stored, x)}, count)
    first, last = sizes.layers[0] * sizes.layers[1], sizes.layers[1] * sizes.layers[2]
    each = (directions + 1) * first + sizes.coded * (directions * sizes.layers[1] + last)
    share = reached(2 * each * len(x), times["ours"], limit)
    name = f"{sizes.coded:,} draws through {directions} directions over stored in full, {sizes.few:,} inputs"
    report(name, times["ours"], times["stored"], share)


def main() -> None:
    """Measure memory, then times."""
    chosen = options("Is predict_moments as fast as what it replaces?")
    sizes = TOY if chosen.toy else FULL
    if chosen.device == "cpu" and sys.platform != "win32":
        tell_memory(sizes, here if chosen.toy else alone)
    tell_error(sizes, chosen.device)
    kinds = {"ours": torch.float32, "ours bf16": torch.bfloat16}
    limits = {name: roof(chosen.device, dtype, 64 if chosen.toy else 2048) for name, dtype in kinds.items()}
    note(", ".join(f"limit of {name}: {limit:.0f} GFLOP/s" for name, limit in limits.items()))
    x = drawn(sizes.inputs, sizes.layers[0], chosen.device)
    compare(at_random(sizes.draws, *sizes.layers, device=chosen.device), x, chosen.rounds, sizes, limits)
    compare_basis(sizes, chosen.rounds, chosen.device, limits["ours"])
    save(chosen)


if __name__ == "__main__":
    main()
