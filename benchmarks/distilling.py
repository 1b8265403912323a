"""Is distillation faster than as it is written in textbooks, and how long does it take from a file to a generator?

Steps of the critic and of the generator of ``apdlab.distill.gan`` against the same steps with modules, a penalty that
autograd differentiates twice, and Adam over lists of tensors: in the paper's raw coordinates, and in a few principal
directions. Then ``pca`` of stored draws against the decompositions of torch and of scikit-learn, which want all
deviations in memory. Notes tell what memory these take beside the draws, and the seconds from a file of draws to a
fitted generator, each in a process of its own; and how many steps a second the paper's whole training takes, over
``--seconds``. Lines as of ``timing.report``; run it with ``OMP_NUM_THREADS=1``.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from memory import alone, here, highest, raised
from sklearn.decomposition import PCA
from timing import check_same, note, options, rate, reached, report, roof, rounds, save
from torch import Tensor, nn

from apdlab.chains import Chains
from apdlab.distill import gan, pca
from apdlab.distill.gan import PAPER, STEADY, Pair, Recipe
from apdlab.files import write_whole
from apdlab.networks import Network, mlp
from apdlab.store.packing import pack, unpack
from apdlab.streams import stream

PAIRS = {  # chains, draws of each, their length, recipe
    "raw, 79,510 weights": (1, 400, 79_510, PAPER),
    "raw, 478,410 weights": (1, 100, 478_410, PAPER),
    "3 chains in 64 directions": (3, 400, 64, STEADY),
}
TOY_PAIRS = {
    "raw, 90 weights": (1, 20, 90, PAPER._replace(hidden=(7, 6), batch=8)),
    "3 chains in 4 directions": (3, 20, 4, STEADY._replace(hidden=(7, 6), batch=8)),
}
FILE, TOY_FILE = ((784, 100, 10), 2000, 64, 1000, 1000), ((6, 5, 3), 60, 4, 8, 20)  # layers, draws, k, steps, inputs
NEAR = 1e-3  # of the largest: what scikit-learn finds is an approximation
FEW = 500  # draws where times are compared: all singular values of more take minutes
Modules = list[tuple[nn.Module, nn.Module]]


def module(network: Network, theta: Tensor) -> nn.Module:
    """Give one network as the module that it is."""
    made = copy.deepcopy(network.module)
    for leaf, values in zip(made.parameters(), network.unravel(theta.detach()).values(), strict=True):
        leaf.data.copy_(values)
    return made


def textbook(pair: Pair) -> tuple[Modules, tuple[torch.optim.Optimizer, ...]]:
    """Write a pair as modules, one generator and one critic a chain, with an optimiser for all of each."""
    modules = [(module(pair.maker, g), module(pair.critic, f)) for g, f in zip(pair.g, pair.f, strict=True)]
    rate = {"lr": pair.recipe.learning_rate, "betas": pair.recipe.betas, "foreach": True}
    each = ([leaf for part in side for leaf in part.parameters()] for side in zip(*modules, strict=True))
    return modules, tuple(torch.optim.Adam(leaves, **rate) for leaves in each)


def critic_step(real: Tensor, recipe: Recipe, rng: torch.Generator, modules: Modules, adam: torch.optim.Adam) -> None:
    """Take the step of textbooks: the same draws, and the penalty's gradient by a second backward."""
    stack, draws, _ = real.shape
    rows = torch.randint(draws, (stack, recipe.batch), generator=rng, device=rng.device)
    real = torch.stack([chain[chosen] for chain, chosen in zip(real, rows, strict=True)])
    if recipe.smoothing:
        real = real + recipe.smoothing * torch.empty_like(real).normal_(generator=rng)
    z = recipe.latent(stack, recipe.batch, rng)
    u = torch.rand(stack, recipe.batch, 1, generator=rng, device=rng.device)
    adam.zero_grad()
    known = zip(modules, real, z, u, strict=True)
    sum(penalised(*pair, *codes, recipe.penalty) for pair, *codes in known).backward()
    adam.step()


def penalised(maker: nn.Module, critic: nn.Module, real: Tensor, z: Tensor, u: Tensor, penalty: float) -> Tensor:
    """Give the loss of one critic."""
    with torch.no_grad():
        fake = maker(z)
    between = (fake + u * (real - fake)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return critic(fake).mean() - critic(real).mean() + penalty * (slope.norm(dim=-1) - 1).square().mean()


def generator_step(recipe: Recipe, rng: torch.Generator, modules: Modules, adam: torch.optim.Adam) -> None:
    """Take the generator's step of textbooks."""
    z = recipe.latent(len(modules), recipe.batch, rng)
    adam.zero_grad()
    sum(-critic(maker(latents)).mean() for (maker, critic), latents in zip(modules, z, strict=True)).backward()
    adam.step()


def compare_steps(name: str, sizes: tuple[int, int, int, Recipe], count: int, device: str, limit: float) -> None:
    """Print a line for the critic's step and one for the generator's, each from the start of a training."""
    stack, draws, wide, recipe = sizes
    real = torch.empty(stack, draws, wide, device=device).normal_(generator=stream(0, "real", device=device))
    for side, products in (("critic", 6), ("generator", 2)):
        pair = Pair(real, recipe, 1, stream(0, "init", device=device))
        theta, ours, rival, leaves = steps_of(side, pair)
        ours(), rival()
        grads = torch.stack([torch.cat([leaf.grad.flatten() for leaf in each]) for each in leaves])
        check_same(f"{side} step, {name}", theta.grad, grads)
        times = rounds({"ours": ours, "rival": rival}, count)
        flops = 2 * products * stack * recipe.batch * recipe.hidden[0] * wide
        share = reached(flops, times["ours"], limit) if wide > 1000 else None
        report(f"{side} step, {name}, over autograd", times["ours"], times["rival"], share)


def tell_rate(name: str, sizes: tuple[int, int, int, Recipe], seconds: float, device: str) -> None:
    """Print how many generator steps a second a training takes, each after its critic steps."""
    stack, draws, wide, recipe = sizes
    real = torch.empty(stack, draws, wide, device=device).normal_(generator=stream(0, "real", device=device))
    pair = Pair(real, recipe, 10**6, stream(0, "init", device=device))
    found = rate(pair.step, seconds)
    note(f"training, {name}: {found:.2f} generator steps a second, {recipe.critic_steps} critic steps each")


def steps_of(side: str, pair: Pair) -> tuple[Tensor, Callable, Callable, list[list[Tensor]]]:
    """Give the weights of one side, our step and the textbook's with the same draws, and its weights of each chain."""
    modules, (of_makers, of_critics) = textbook(pair)
    pair.rng, rng = (stream(0, "steps", device=pair.real.device) for _ in range(2))
    if side == "critic":
        leaves = [list(critic.parameters()) for _, critic in modules]
        return pair.f, pair._critic_step, partial(critic_step, pair.real, pair.recipe, rng, modules, of_critics), leaves
    leaves = [list(maker.parameters()) for maker, _ in modules]
    return pair.g, pair._generator_step, partial(generator_step, pair.recipe, rng, modules, of_makers), leaves


def walk(draws: int, network: Network) -> Tensor:
    """Make draws as a chain leaves them: a path ``[1, T, D]``."""
    theta = torch.empty(1, draws, network.size).normal_(0, 1e-3, generator=stream(0, "walk"))
    torch.cumsum(theta, 1, out=theta)
    return theta.add_(network.init(stream(0, "init")))


def by_svd(theta: Tensor, k: int) -> Tensor:
    """Find standard deviations along the leading directions with all singular values, ``[k]``."""
    centred = theta[0] - theta[0].mean(0)
    basis = torch.linalg.svd(centred, full_matrices=False).Vh
    return (centred @ basis[:k].mT).std(0)


def by_sklearn(theta: Tensor, k: int) -> Tensor:
    """Find them with scikit-learn's randomised solver."""
    found = PCA(k, svd_solver="randomized", random_state=0).fit(theta[0].numpy())
    return torch.from_numpy(found.explained_variance_).sqrt()


def by_us(theta: Tensor, k: int, network: Network) -> Tensor:
    """Find them with ``pca``, which divides by them if asked to whiten."""
    return pca(theta, network, k, whitening=1).scale[0]


def coordinates_of(file: tuple) -> dict[str, Callable[[Tensor], Tensor]]:
    """List the ways to coordinates."""
    layers, _, k, *_ = file
    each = {"torch's svd": by_svd, "scikit-learn's PCA": by_sklearn}
    return {"ours": partial(by_us, k=k, network=mlp(*layers))} | {n: partial(way, k=k) for n, way in each.items()}


def opened(path: Path, network: Network) -> Chains:
    """Open chains, memory-mapped."""
    return unpack(path, network, (Chains,))


def peak(name: str, file: tuple, path: Path) -> float:
    """Measure by how many MiB a way to coordinates raises the peak of a process that has seen all draws."""
    theta = opened(path, mlp(*file[0])).theta
    coordinates_of(TOY_FILE)[name](walk(TOY_FILE[1], mlp(*TOY_FILE[0])))  # what a library's first call takes
    theta.sum()  # pages of the file count, too
    return raised(partial(coordinates_of(file)[name], theta))


def apd(file: tuple, path: Path) -> dict[str, float]:
    """Go from a file of draws to a fitted generator; give the seconds of each part, and the process's peak in MiB."""
    layers, _, k, steps, inputs = file
    network, x = mlp(*layers), torch.rand(inputs, layers[0], generator=stream(0, "inputs"))
    marks = [time.perf_counter()]
    train, held_out = opened(path, network).hold_out(5)
    marks.append(time.perf_counter())
    coordinates = pca(train.theta, network, k)
    marks.append(time.perf_counter())
    gan.fit(train, held_out, coordinates, x, steps=steps, seed=0)
    marks.append(time.perf_counter())
    names = "opening and holding out", f"pca({k})", f"{steps:,} steps of the GAN"
    found = {name: end - start for name, start, end in zip(names, marks, marks[1:], strict=False)}
    return found | {"peak": highest()}


def tell_memory_and_seconds(file: tuple, path: Path, apart: Callable) -> None:
    """Print notes, each measured in a process of its own."""
    for name in coordinates_of(file):
        found = apart(peak, name, file, path)
        note(f"coordinates of {file[1]:,} draws, {name}: {found:.0f} MiB beside the draws")
    seconds = apart(apd, file, path)
    highest = seconds.pop("peak")
    parts = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    note(
        f"APD of {file[1]:,} stored draws, one chain: {parts}; in all {sum(seconds.values()):.2f} s, {highest:.0f} MiB"
    )


def main() -> None:
    """Measure memory and seconds first: a process starts with the peak of the one that started it."""
    chosen = options("Is distillation faster than as it is written in textbooks?", seconds=20)
    file, pairs = (TOY_FILE, TOY_PAIRS) if chosen.toy else (FILE, PAIRS)
    network, apart = mlp(*file[0]), here if chosen.toy else alone
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chains.safetensors"
        apart(store, path, file)
        tell_memory_and_seconds(file, path, apart)
        theta = opened(path, network).theta[:, :FEW]
        ways = {name: partial(way, theta) for name, way in coordinates_of(file).items()}
        for name in list(ways)[1:]:
            check_same(f"coordinates, {name}", ways["ours"](), ways[name](), NEAR)
        times = rounds(ways, chosen.rounds)
        for name in list(ways)[1:]:
            report(f"coordinates of {theta.shape[1]:,} draws over {name}", times["ours"], times[name])
    limit = roof(chosen.device, size=64 if chosen.toy else 2048)
    for name, sizes in pairs.items():
        compare_steps(name, sizes, chosen.rounds, chosen.device, limit)
        tell_rate(name, sizes, 0.1 if chosen.toy else chosen.seconds, chosen.device)
    save(chosen)


def store(path: Path, file: tuple) -> None:
    """Write a file of draws."""
    network, draws = mlp(*file[0]), file[1]
    chains = Chains(network, walk(draws, network), torch.arange(draws), torch.zeros(1, draws))
    write_whole(path, pack(chains))


if __name__ == "__main__":
    main()
