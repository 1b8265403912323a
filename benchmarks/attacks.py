"""Is PGD on the streamed predictor as fast as what it replaces, in float32 and bfloat16, in less memory?

Ours is ``attacks.pgd`` (10 steps, eps .3 on pixels of [0, 1]) on ``predictor(draws)``, 100 draws of a 784-100-10
network, with 500 inputs and with 20; then the same on ``network.mixed(torch.bfloat16)``. The rivals attack the same
average: foolbox's ``LinfPGD`` on an ensemble that goes through its modules one by one, as users write it, and on the
stack of all draws in one graph; and plain PGD on the loop.

First lines ``# ...``: by how much each raises the peak of memory, in a process of its own, and where bfloat16 leads
attacks on networks that have learned the bundled digits. Then ``name, ratio, ours_ms, rival_ms, spread, share`` (see
``timing.report``); the share is that of a large product in the same dtype, of the products of outputs and of gradients
of inputs, ``4 * weights * inputs * draws * steps`` flops. Run it with ``OMP_NUM_THREADS=1``.
"""

import math
import sys
import warnings
from collections.abc import Callable
from functools import partial

import torch
from ensembles import at_random, modules, outputs, trained
from memory import alone, here, raised
from timing import check_same, installed, note, options, reached, report, roof, rounds, save
from torch import Tensor, nn

from apdlab.attacks import pgd
from apdlab.draws import Draws
from apdlab.predictor import predictor
from apdlab.streams import stream

EPS, STEPS = 0.6, 10
SIZES = {"500 inputs": (100, 500, 784, 100, 10), "20 inputs": (100, 20, 784, 100, 10)}  # draws, inputs, layers
TOY = {"15 inputs": (3, 15, 16, 5, 10), "4 inputs": (3, 4, 16, 5, 10)}
BF16 = 0.02  # of the loss that an attack in float32 reaches
Attack = Callable[[Tensor, Tensor], Tensor]


def problem(draws: int, inputs: int, *layers: int, device: str = "cpu") -> tuple[Draws, Tensor, Tensor]:
    """Draw networks and inputs, and label these as the first network does."""
    made = at_random(draws, *layers, scale=3.0, device=device)
    x = (2 * torch.rand(inputs, layers[0], generator=stream(0, "inputs")) - 1).to(device)
    return made, x, predictor(made[:1])(x).argmax(-1)


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


class Loop(nn.Module):
    """One module after the other, all of their graphs alive; no gradient of weights."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.members = nn.ModuleList(modules(draws)).requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Give ``log mean_s p_s``."""
        return outputs(list(self.members), x).logsumexp(0) - math.log(len(self.members))


def ours(draws: Draws) -> Attack:
    """Attack the streamed predictor."""
    return partial(pgd, predictor(draws), eps=EPS, steps=STEPS)


def ours_bf16(draws: Draws) -> Attack:
    """Attack it with products in bfloat16."""
    return ours(Draws(draws.network.mixed(torch.bfloat16), draws.theta))


def foolbox(model: type[nn.Module], draws: Draws) -> Attack:
    """Attack by foolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from foolbox import PyTorchModel
        from foolbox.attacks import LinfPGD
    attack = LinfPGD(rel_stepsize=None, abs_stepsize=2.5 * EPS / STEPS, steps=STEPS, random_start=False)
    attacked = PyTorchModel(model(draws), (-1, 1), draws.codes.device)
    return lambda x, y: attack.run(attacked, x, y, epsilon=EPS)


def by_hand(draws: Draws) -> Attack:
    """Attack by plain PGD on the loop."""
    model = Loop(draws)

    def attack(x: Tensor, y: Tensor) -> Tensor:
        at = x
        for _ in range(STEPS):
            leaf = at.clone().requires_grad_()
            slope = torch.autograd.grad(nn.functional.nll_loss(model(leaf), y, reduction="sum"), leaf)[0]
            at = (x + (at + 2.5 * EPS / STEPS * slope.sign() - x).clamp(-EPS, EPS)).clamp(-1, 1)
        return at

    return attack


OURS: dict[str, Callable[[Draws], Attack]] = {"": ours, " bf16": ours_bf16}
RIVALS = {
    "foolbox on the loop": partial(foolbox, Loop),
    "foolbox on the stack": partial(foolbox, Stack),
    "the loop": by_hand,
}
WAYS = {f"ours{name}": way for name, way in OURS.items()} | RIVALS


def peak(name: str, sizes: tuple[int, ...]) -> float:
    """Measure by how many MiB one way raises the peak of a process, on the CPU."""
    draws, x, y = problem(*sizes)
    WAYS[name](draws[:1])(x[:1], y[:1])  # what the first call of a library takes is not the way's
    attack = WAYS[name](draws)
    return raised(lambda: attack(x, y))


def tell_memory(sizes: tuple[int, ...], ways: list[str], apart: Callable) -> None:
    """Print a note a way, and more of them for ours with a tenth, twice and ten times of the draws."""
    draws, *rest = sizes
    for name in ways:
        for many in (max(1, draws // 10), draws, 2 * draws, 10 * draws) if name == "ours" else (draws,):
            found = apart(peak, name, (many, *rest))
            note(f"memory of {name}, {many:,} draws: {found:.0f} MiB beside draws and inputs")


def tell_error(draws: int, steps: int, device: str) -> None:
    """Print where attacks in bfloat16 end on networks that have learned something, beside those in float32."""
    learned, (x, y) = trained(draws + draws % 2, device, steps=steps)
    judge, low = predictor(learned), predictor(Draws(learned.network.mixed(torch.bfloat16), learned.theta))
    for eps in (EPS / 6, EPS / 2):
        found = [pgd(attacked, x, y, eps=eps, steps=STEPS) for attacked in (judge, low)]
        differ = ((found[0] - found[1]).abs() > 1e-4).double().mean()
        fooled = [(judge(at).argmax(-1) != y).double().mean() for at in (x, *found)]
        losses = [nn.functional.nll_loss(judge(at), y) for at in found]
        note(
            f"bf16 on {len(learned)} networks trained on digits, {len(y)} test inputs, eps {eps:.2f} of [-1, 1]: "
            f"{differ:.1%} of pixels end elsewhere; wrong in float32: {fooled[0]:.1%} without attack, {fooled[1]:.1%} "
            f"attacked in float32, {fooled[2]:.1%} in bf16; loss {losses[0]:.3f} and {losses[1]:.3f}"
        )


def check(title: str, ways: dict[str, Attack], draws: Draws, x: Tensor, y: Tensor) -> None:
    """Refuse rivals of whose pixels one in a thousand differs, and bfloat16 if it reaches another loss."""
    found = {name: way(x, y) for name, way in ways.items()}
    for name in set(ways) & set(RIVALS):
        differ = ((found[name] - found["ours"]).abs() > 1e-4).double().mean()
        check_same(f"{title}, {name}, equal pixels", torch.ones(()), 1 + (differ >= 1e-3).double())
    losses = [nn.functional.nll_loss(predictor(draws)(found[name]), y) for name in ("ours bf16", "ours")]
    check_same(f"{title}, bf16, loss", *losses, BF16)


def weights(draws: Draws) -> int:
    """Count the weights of one network that multiply something."""
    return sum(shape.numel() for shape in draws.network.shapes.values() if len(shape) > 1)


def compare(title: str, made: tuple[Draws, Tensor, Tensor], rivals: list[str], limits: list[float], count: int) -> None:
    """Print one line for each of our ways and each rival."""
    draws, x, y = made
    ways = {name: WAYS[name](draws) for name in (*(f"ours{own}" for own in OURS), *rivals)}
    check(title, ways, draws, x, y)
    times = rounds({name: partial(way, x, y) for name, way in ways.items()}, count)
    flops = 4 * weights(draws) * len(x) * len(draws) * STEPS
    for own, limit in zip(OURS, limits, strict=True):
        for name in rivals:
            share = reached(flops, times[f"ours{own}"], limit)
            report(f"PGD{own} over {name}, {title}", times[f"ours{own}"], times[name], share)


def main() -> None:
    """Measure memory, then times."""
    chosen = options("Is PGD on the streamed predictor as fast as what it replaces?")
    sizes, there = TOY if chosen.toy else SIZES, installed("foolbox")
    rivals = [name for name in RIVALS if there or "foolbox" not in name]
    largest = next(iter(sizes.values()))
    if chosen.device == "cpu" and sys.platform != "win32":
        tell_memory(largest, ["ours", "ours bf16", *rivals], here if chosen.toy else alone)
    tell_error(largest[0], 100 if chosen.toy else 4000, chosen.device)
    limits = [roof(chosen.device, dtype, 64 if chosen.toy else 2048) for dtype in (torch.float32, torch.bfloat16)]
    note(", ".join(f"limit{own}: {limit:.0f} GFLOP/s" for own, limit in zip(OURS, limits, strict=True)))
    for title, size in sizes.items():
        compare(title, problem(*size, device=chosen.device), rivals, limits, chosen.rounds)
    save(chosen)


if __name__ == "__main__":
    main()
