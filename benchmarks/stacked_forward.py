"""How is a stack of networks best evaluated? The measurement behind the rule in ``apdlab/stacks.py``.

Each of ``S`` networks sees its own minibatch of 100; timed are the outputs and the gradient of the summed cross entropy
with respect to ``theta [S, D]``. Ours is ``network.pullback``, as samplers use it; the rivals are autograd of the other
ways that exist.
One line each: ``name, ratio, ours_ms, rival_ms, spread, share`` (see ``timing.report``). Run it with
``OMP_NUM_THREADS=1``.
"""

from collections.abc import Callable
from functools import partial

import torch
from timing import check_same, options, report, rounds, save
from torch import Tensor, nn

from apdlab.networks import Network, mlp
from apdlab.stacks import looped, vmapped
from apdlab.streams import stream, streams
from apdlab.types import Params

BATCH = 100
Way = Callable[[Params, Tensor], Tensor]


class Skip(nn.Module):
    """A layer norm and a skip, in a module of one's own.

    Args:
        inputs: Number of inputs.
        hidden: Units of each hidden layer.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.read, self.norm = nn.Linear(inputs, hidden), nn.LayerNorm(hidden)
        self.inner, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Add a normalised hidden layer to the one before it."""
        h = self.read(x.flatten(1)).relu()
        return self.out(h + self.inner(self.norm(h)).relu())


def cnn(side: int, channels: int) -> Network:
    """Build two convolutions with group norms and a linear layer, for images ``[N, 1, side, side]``."""
    features = 2 * channels * (side // 4) ** 2
    return Network(
        nn.Sequential(
            *(nn.Conv2d(1, channels, 3, padding=1), nn.GroupNorm(4, channels), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.GroupNorm(4, 2 * channels), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, 10)),
        )
    )


def networks(side: int, hidden: int, channels: int) -> dict[str, tuple[Network, dict[str, Way]]]:
    """Build one network of each kind, with the rivals of its own way."""
    plain, conv, skip = mlp(side**2, hidden, 10), cnn(side, channels), Network(Skip(side**2, hidden))
    return {
        "mlp": (plain, {"vmap": vmapped(plain.module), "loop": looped(plain.module)}),
        "cnn": (conv, {"vmap": vmapped(conv.module)}),
        "norm+skip": (skip, {"loop": looped(skip.module)}),
    }


def by_autograd(network: Network, way: Way, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Differentiate the cross entropy of each network on its own batch: ``[S, D]``."""
    leaf = theta.detach().requires_grad_()
    return torch.autograd.grad(loss(way(network.unravel(leaf), x), y), leaf)[0]


def by_pullback(network: Network, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Do the same as samplers do."""
    outputs, pull = network.pullback(theta, x)
    (slope,) = torch.autograd.grad(loss(outputs.requires_grad_(), y), outputs)
    grad = torch.zeros_like(theta)
    pull(slope)[1](grad, 1.0)
    return grad


def loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Sum the cross entropy of all networks."""
    return nn.functional.cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="sum")


def compare(name: str, network: Network, rivals: dict[str, Way], x: Tensor, y: Tensor, count: int) -> None:
    """Print one line for each rival of the way that the network chose."""
    theta = torch.stack([network.init(g) for g in streams(0, "weights", len(x))]).to(x.device)
    ways = {"ours": partial(by_pullback, network, theta, x, y)}
    ways |= {way: partial(by_autograd, network, f, theta, x, y) for way, f in rivals.items()}
    ours = ways["ours"]()
    for rival in rivals:
        check_same(f"{name} {rival}", ours, ways[rival]())
    times = rounds(ways, count)
    for rival in rivals:
        report(f"{name} S={len(x)} over {rival}", times["ours"], times[rival])


def main() -> None:
    """Measure every kind of network in stacks of two sizes."""
    chosen = options("How is a stack of networks best evaluated?")
    side, hidden, channels = (8, 10, 4) if chosen.toy else (28, 100, 8)
    for name, (network, rivals) in networks(side, hidden, channels).items():
        for stack in (2, 3) if chosen.toy else (4, 16):
            generator = stream(0, "data")
            x = torch.randn(stack, BATCH, 1, side, side, generator=generator).to(chosen.device)
            y = torch.randint(10, (stack, BATCH), generator=generator).to(chosen.device)
            compare(name, network, rivals, x, y, chosen.rounds)
    save(chosen)


if __name__ == "__main__":
    main()
