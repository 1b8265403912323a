"""What the benchmarks evaluate: random networks, networks that have learned something, and modules in their place."""

import copy

import torch
from torch import Tensor, nn

from apdlab.data import digits
from apdlab.draws import Draws
from apdlab.networks import mlp
from apdlab.samplers.run import keep
from apdlab.shared import paper_run
from apdlab.streams import streams
from apdlab.types import Data

LAYERS = "64-100-10"
SETTINGS = {"precision": 20.0, "step_size": 1e-3, "chains": 2, "seed": 0}


def at_random(draws: int, *layers: int, scale: float = 1.0, device: str = "cpu") -> Draws:
    """Draw networks as their layers initialise themselves."""
    network = mlp(*layers)
    theta = torch.empty(draws, network.size)  # filled row by row: a list beside it would hide a peak as large
    for row, generator in zip(theta, streams(0, "weights", draws), strict=True):
        row.copy_(network.init(generator).mul_(scale))
    return Draws(network, theta.to(device))


def trained(draws: int, device: str = "cpu", *, steps: int = 4000) -> tuple[Draws, Data]:
    """Sample networks by a short run of SGLD on the bundled digits, and give the test set, too.

    Args:
        draws: How many, even: half of each chain, from the second half of its steps.
        device: Where.
        steps: Of each chain.
    """
    data = digits(device=device)
    density, run = paper_run(data, LAYERS, steps=steps, **SETTINGS)
    return keep(run, density.network, burn_in=steps // 2, thin=steps // draws).thin(draws), data.test


def modules(draws: Draws) -> list[nn.Module]:
    """Give each draw as the module that it is, with weights that are views of the draws."""
    each = [copy.deepcopy(draws.network.module) for _ in draws.codes]
    for module, theta in zip(each, draws.theta, strict=True):
        for name, leaf in draws.network.unravel(theta).items():
            module.get_parameter(name).data = leaf
    return each


def outputs(each: list[nn.Module], x: Tensor) -> Tensor:
    """Evaluate modules one after the other: log probabilities ``[S, N, K]``."""
    return torch.stack([module(x).log_softmax(-1) for module in each])
