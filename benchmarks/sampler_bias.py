"""How wide are the draws of each sampler on a Gaussian, and is that what its law says?

The target has precision 1 in every coordinate, so the right variance is 1. Prints, with tabs between, ``sampler,
settings, predicted, measured, standard error``: the variance by ``apdlab.samplers.laws``, and that of draws. ``noise``
is the variance of noise added to each coordinate of the gradient. With the package ``posteriors`` installed, its
samplers at the same settings follow, its SGHMC beside the law of an explicit Euler step, which is what it takes.
``--toy`` is quick and coarse. Run it with ``OMP_NUM_THREADS=1``.
"""

import argparse
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from apdlab.samplers import hmc, laws, psgld, sghmc, sgld, sgnht, symplectic_euler
from apdlab.streams import stream, streams
from apdlab.types import Sampler

FRICTION = 0.2
WIDE, STEPS = 10_000, 3000
TOY_WIDE, TOY_STEPS = 500, 20
DAMPING = 0.3
Way = Callable[[Tensor, int], Iterator[Tensor]]
Row = tuple[str, str, float, Way]


def ours(kernel: Sampler, noise: float = 0.0, square: bool = False) -> Way:
    """Walk with one of our kernels; the batch of a step is the noise of its gradient."""

    def walk(theta: Tensor, steps: int) -> Iterator[Tensor]:
        state, jolts, generators = kernel.init(theta), stream(0, "jolts"), streams(0, "noise", 1)
        if square:  # V of pSGLD where it belongs, 1 in all coordinates
            state = state._replace(step=1, square=torch.ones_like(theta))
        for _ in range(steps):
            batch = torch.randn(theta.shape, generator=jolts, dtype=theta.dtype) * math.sqrt(noise)
            state, _ = kernel.step(state, batch, generators)
            yield state.theta

    return walk


def bowl(theta: Tensor, batch: Tensor) -> Tensor:
    """Log density of ``N(0, 1)`` in every coordinate, with a noisy gradient."""
    return (-theta.square() / 2 + batch * theta).sum(-1)


def rows() -> Iterator[Row]:
    """Name, settings, predicted variance and walk of each of our samplers."""
    for eps in (0.1, 0.5, 1.5):
        for s2 in (0.0, 1.0):
            name = f"eps={eps} noise={s2:g}"
            yield "sgld", name, laws.sgld(eps, 1.0, gradient_noise=s2).variance, ours(sgld(bowl, eps), s2)
    for make, law in ((symplectic_euler, laws.symplectic_euler), (sghmc, laws.sghmc), (sgnht, laws.sgnht)):
        for h in (0.1, 0.5, 1.0):
            for s2 in (0.0, 1.0):
                predicted = law(h, FRICTION, 1.0, gradient_noise=s2).variance
                kernel = make(bowl, h, FRICTION)
                yield make.__name__, f"h={h} friction={FRICTION} noise={s2:g}", predicted, ours(kernel, s2)
    eps, size = 0.1, math.sqrt(2 / math.pi)
    gain, limit = DAMPING / (DAMPING + 1), (DAMPING + 2 * size) / (DAMPING + size)
    frozen = ours(psgld(bowl, eps, damping=DAMPING, adapt=1), square=True)
    yield "psgld", f"eps={eps} frozen", laws.sgld(eps * gain, 1.0).variance, frozen
    for decay in (0.5, 0.99):
        followed = psgld(bowl, eps, damping=DAMPING, adapt=math.inf, decay=decay)
        yield "psgld", f"eps={eps} never frozen, decay={decay} (predicted: eps -> 0)", limit, ours(followed)
    yield "hmc", "20 leapfrogs", 1.0, ours(hmc(bowl, 0.1, 20, warm_up=0))


def theirs() -> Iterator[Row]:
    """The same of the library ``posteriors``, whose SGLD has half our step size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import posteriors

    def log_posterior(theta: Tensor, batch: None) -> tuple[Tensor, Tensor]:
        return -theta.square().sum() / 2, torch.empty(0)

    def walk_of(transform: posteriors.types.Transform) -> Way:
        def walk(theta: Tensor, steps: int) -> Iterator[Tensor]:
            torch.manual_seed(0)  # it has no other source of random numbers
            state = transform.init(theta[0].clone())
            for _ in range(steps):
                state, _ = transform.update(state, None)
                yield state.params[None]

        return walk

    for eps in (0.1, 0.5, 1.5):
        kernel = posteriors.sgmcmc.sgld.build(log_posterior, lr=eps / 2)
        yield "posteriors.sgld", f"eps={eps} noise=0", laws.sgld(eps, 1.0).variance, walk_of(kernel)
    for h in (0.1, 0.15):
        settings = f"h={h} friction={FRICTION} noise=0"
        kernel = posteriors.sgmcmc.sghmc.build(log_posterior, lr=h, alpha=FRICTION)
        yield "posteriors.sghmc", settings, explicit_euler(h), walk_of(kernel)
    for h in (0.1, 0.5, 1.0):
        settings = f"h={h} friction={FRICTION} noise=0"
        kernel = posteriors.sgmcmc.baoa.build(log_posterior, lr=h, alpha=FRICTION)
        yield "posteriors.baoa", settings, laws.sghmc(h, FRICTION, 1.0).variance, walk_of(kernel)


def explicit_euler(h: float) -> float:
    """The variance of ``theta += h m;  m += -h theta - friction h m + sqrt(2 friction h) xi``, both from old values."""
    step = np.array([[1, h], [-h, 1 - FRICTION * h]])
    return float(solve_discrete_lyapunov(step, np.diag([0, 2 * FRICTION * h]))[0, 0])


def measured(walk: Way, wide: int, steps: int) -> tuple[float, float]:
    """The mean square over the last two thirds of the steps, and its standard error over coordinates."""
    theta = torch.randn(1, wide, generator=stream(0, "start"), dtype=torch.float64)
    total, burn_in = torch.zeros_like(theta), steps // 3
    for t, now in enumerate(walk(theta, steps)):
        if t >= burn_in:
            total += now.square() / (steps - burn_in)
    return float(total.mean()), float(total.std() / math.sqrt(wide))


def main() -> None:
    """Print a line a sampler and setting."""
    parser = argparse.ArgumentParser(description="How wide are the draws of each sampler on a Gaussian?")
    parser.add_argument("--toy", action="store_true", help="quick and coarse, to see that the script works")
    size = (TOY_WIDE, TOY_STEPS) if parser.parse_args().toy else (WIDE, STEPS)
    table = [rows]
    if importlib.util.find_spec("posteriors"):
        table.append(theirs)
    else:
        print("# posteriors is not installed")
    for name, settings, predicted, walk in (row for part in table for row in part()):
        variance, error = measured(walk, *size)
        print(name, settings, f"{predicted:.4f}", f"{variance:.4f}", f"{error:.4f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
