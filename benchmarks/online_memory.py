"""How much memory does distillation while the chain runs take, and does it grow with the number of draws?

Prints ``draws, MiB of the process's peak, MiB by which the fit raised it, MiB held at the end, MiB of the draws if they
were stored`` with tabs between, each from a process of its own, then the ratio of the peaks.
"""

import argparse
from functools import partial

import torch
from memory import alone, here, highest

from apdlab.distill import gan, online, pca
from apdlab.networks import mlp
from apdlab.samplers import Run, sgld
from apdlab.streams import stream, streams

SIZES = ((784, 100, 10), 200, 100, (1000, 10_000))  # layers, capacity, first look, draws
TOY = ((8, 5, 3), 20, 20, (100, 300))


def fit(layers: tuple[int, ...], capacity: int, first: int, draws: int) -> online.Course:
    """Distil a chain of which every state is a draw, and look for coordinates again and again."""
    network = mlp(*layers)
    start = torch.stack([network.init(g) for g in streams(0, "init", 1)])
    run = Run(sgld(lambda theta, _: -0.5 * theta.square().sum(-1), 1e-3), start, lambda t: None, 0, draws)
    recipe = gan.STEADY._replace(hidden=(32, 32), critic_steps=1)
    looks, x = online.doubling(first, draws * 4 // 5), torch.randn(50, layers[0], generator=stream(0, "inputs"))
    settings = {"every": 1, "gan_steps": 1, "capacity": capacity, "looks": looks, "seed": 0, "recipe": recipe}
    return online.fit(run, network, partial(pca, k=8), x, **settings)[2]


def peak(draws: int, layers: tuple[int, ...], capacity: int, first: int) -> tuple[float, ...]:
    """Measure one process."""
    fit(TOY[0], *TOY[1:3], 200)  # what the first call of a library takes is not the fit's
    before = highest()
    held = fit(layers, capacity, first, draws).nbytes.max().item()
    after = highest()
    stored = 4 * draws * mlp(*layers).size
    return after, after - before, held / 2**20, stored / 2**20


def main() -> None:
    """Measure each number of draws in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="tiny sizes")
    toy = parser.parse_args().toy
    (*known, counts), apart = (TOY, here) if toy else (SIZES, alone)
    peaks = []
    for draws in counts:
        found = apart(peak, draws, *known)
        peaks.append(found[0])
        print(draws, *(f"{value:.3f}" for value in found), sep="\t", flush=True)
    print(f"# peak at {counts[1]:,} draws over that at {counts[0]:,}: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
