"""Is PGD on the streamed predictor as fast as what it replaces, and what memory does it save?

Ours is ``attacks.pgd`` (10 steps, eps .3 on pixels of [0, 1]) on 100 draws of a 784-100-10 network, with 500 inputs
and with 20. The rivals attack the same average: foolbox's ``LinfPGD`` on the stack of all draws in one graph, and the
loop, plain PGD on an ensemble that goes through its networks one by one. First a line ``# peak memory of <way>``,
each in a process of its own; then ``name, ratio, ours_ms, rival_ms, spread, share`` (see ``timing.report``). Run it
with ``OMP_NUM_THREADS=1``.
"""

import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context

import torch
from timing import check_same, note, options, report, rounds, save
from torch import Tensor, nn

from apdlab.attacks import pgd
from apdlab.draws import Draws
from apdlab.networks import mlp
from apdlab.predictor import predictor
from apdlab.streams import stream, streams

EPS, STEPS = 0.6, 10
SIZES = {"": (100, 500, 784, 100), "few inputs, ": (100, 20, 784, 100)}  # draws, inputs, features, hidden units
TOY = {"": (3, 15, 16, 5), "few inputs, ": (3, 4, 16, 5)}


def problem(draws: int, inputs: int, features: int, hidden: int, device: str) -> tuple[Draws, Tensor, Tensor]:
    """Draw networks, inputs, and the labels that the first network gives them."""
    network = mlp(features, hidden, 10)
    theta = torch.empty(draws, network.size)
    for row, generator in zip(theta, streams(0, "weights", draws), strict=True):
        row.copy_(3 * network.init(generator))
    x = 2 * torch.rand(inputs, features, generator=stream(0, "inputs")) - 1
    labels = network(network.unravel(theta[0]), x).argmax(-1)
    return Draws(network, theta.to(device)), x.to(device), labels.to(device)


class Stack(nn.Module):
    """All networks in one graph."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.draws = draws
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Give ``log mean_s p_s``."""
        network = self.draws.network
        log_probs = network(network.unravel(self.draws.theta), x[None]).log_softmax(-1)
        return log_probs.logsumexp(0) - math.log(len(self.draws))


class Loop(Stack):
    """One network after the other, all of their graphs alive."""

    def forward(self, x: Tensor) -> Tensor:
        """Give ``log mean_s p_s``."""
        network = self.draws.network
        each = [network(network.unravel(theta), x).log_softmax(-1) for theta in self.draws.theta]
        return torch.stack(each).logsumexp(0) - math.log(len(each))


def ours(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Attack the streamed predictor."""
    return pgd(predictor(draws), x, y, eps=EPS, steps=STEPS)


def foolbox(model: type[Stack], draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Attack by foolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from foolbox import PyTorchModel
        from foolbox.attacks import LinfPGD
    settings = {"rel_stepsize": None, "abs_stepsize": 2.5 * EPS / STEPS, "steps": STEPS, "random_start": False}
    return LinfPGD(**settings).run(PyTorchModel(model(draws), (-1, 1), x.device), x, y, epsilon=EPS)


def by_hand(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Attack by plain PGD on the loop."""
    model, at = Loop(draws), x
    for _ in range(STEPS):
        leaf = at.clone().requires_grad_()
        slope = torch.autograd.grad(nn.functional.nll_loss(model(leaf), y, reduction="sum"), leaf)[0]
        at = (x + (at + 2.5 * EPS / STEPS * slope.sign() - x).clamp(-EPS, EPS)).clamp(-1, 1)
    return at


OURS: dict[str, Callable[[Draws, Tensor, Tensor], Tensor]] = {"ours": ours}
RIVALS = {"foolbox on the stack": partial(foolbox, Stack), "loop": by_hand}
WAYS = OURS | RIVALS


def peak(name: str, sizes: tuple[int, ...]) -> float:
    """Measure by how many MiB one way raises this process's peak of memory, on the CPU."""
    import resource

    draws, x, y = problem(*sizes, "cpu")
    WAYS[name](draws[:1], x[:1], y[:1])  # what the first call of a library takes is not the way's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WAYS[name](draws, x, y)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def compare(prefix: str, draws: Draws, x: Tensor, y: Tensor, count: int) -> None:
    """Print one line for each rival, after a check that not one pixel in a thousand differs."""
    found = ours(draws, x, y)
    for name, rival in RIVALS.items():
        differ = ((rival(draws, x, y) - found).abs() > 1e-4).double().mean()
        check_same(f"{prefix}{name}, equal pixels", torch.ones(()), 1 + (differ >= 1e-3).double())
    times = rounds({name: partial(way, draws, x, y) for name, way in WAYS.items()}, count)
    for name in RIVALS:
        report(f"{prefix}PGD over {name}", times["ours"], times[name])


def main() -> None:
    """Measure memory, then times: a process starts with the peak of the one that started it."""
    chosen = options("Is PGD on the streamed predictor as fast as what it replaces?")
    sizes = TOY if chosen.toy else SIZES
    if chosen.device == "cpu" and sys.platform != "win32":
        more = (10 * sizes[""][0], *sizes[""][1:])
        for name, size in [*((way, sizes[""]) for way in WAYS), *((way, more) for way in OURS)]:
            with get_context("spawn").Pool(1) as fresh:
                used = fresh.apply(peak, (name, size))
                note(f"peak memory of {name}, {size[0]} draws: {used:.0f} MiB")
    for prefix, size in sizes.items():
        compare(prefix, *problem(*size, chosen.device), chosen.rounds)
    save(chosen)


if __name__ == "__main__":
    main()
