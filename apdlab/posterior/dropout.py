r"""MC-dropout: a network trained with dropout, whose draws go on dropping units.

A draw is one function of all inputs, so it has one mask: to drop unit ``j`` before a linear layer is to clear column
``j`` of its weights, ``W' = W diag(m) / (1 - p)`` with ``m_j ~ Bernoulli(1 - p)``. Training takes a fresh mask for each
example. Dropout in the code of a ``forward`` is not seen; only ``nn.Dropout`` layers are.

Source: Gal & Ghahramani, 2016, Dropout as a Bayesian approximation: representing model uncertainty in deep learning,
https://arxiv.org/abs/1506.02142
"""

import copy
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from apdlab import networks
from apdlab.density import LogDensity
from apdlab.draws import Draws
from apdlab.networks import Network
from apdlab.posterior.sgd import alone, descend
from apdlab.streams import stream
from apdlab.types import Batch, Cost, is_count

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_WANTED = (
    "an nn.Sequential in which each nn.Dropout stands directly before an nn.Linear, e.g. dropout.mlp(784, 100, 10)"
)


@dataclass(frozen=True)
class Dropout:
    """Holds the weights of one network; its ``nn.Dropout`` layers say which units its draws drop, and how often.

    Attributes:
        network: An ``nn.Sequential`` in which each ``nn.Dropout`` stands directly before an ``nn.Linear``.
        theta: Its weights ``[D]``.

    Raises:
        ValueError: If the network has no dropout or dropout elsewhere, which no weights stand for, or the weights of
            another size.
    """

    network: Network
    theta: Tensor

    def __post_init__(self) -> None:
        _rates(self.network)
        if self.theta.shape != (self.network.size,):
            raise ValueError(f"theta has shape {tuple(self.theta.shape)}; wanted {(self.network.size,)}, one network")

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.theta.nbytes

    def sample(self, n: int, *, generator: torch.Generator) -> Draws:
        """Give ``n`` draws, each with a mask of its own in every linear layer after dropout.

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if not is_count(n):
            raise ValueError(f"n is {n}; wanted 1 draw or more, a whole number")
        theta = self.theta.detach().repeat(n, 1)
        leaves = self.network.unravel(theta)
        for name, rate in _rates(self.network).items():
            keep = theta.new_empty(n, 1, leaves[name].shape[-1]).bernoulli_(1 - rate, generator=generator)
            leaves[name].mul_(keep.div_(1 - rate))
        return Draws(self.network, theta)


def mlp(
    *sizes: int, rate: float = 0.5, activation: type[nn.Module] = nn.ReLU, dtype: torch.dtype = torch.float32
) -> Network:
    """Build a fully connected network with dropout of every hidden layer, e.g. ``mlp(784, 100, 10)``.

    Args:
        sizes: Number of inputs, of the units of each hidden layer (one or more), of outputs.
        rate: ``p``, the share of units that is dropped, in (0, 1).
        activation: The pointwise layer between two linear ones.
        dtype: Of the weights.

    Returns:
        The network of ``networks.mlp`` with ``nn.Dropout(rate)`` before each linear layer but the first.

    Raises:
        ValueError: If there is no hidden layer, a size is below 1, or the rate is outside (0, 1).

    Example:
        >>> mlp(784, 100, 10).size
        79510
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}; wanted the share of units to drop, in (0, 1), e.g. 0.5")
    flatten, first, *rest = networks.mlp(*sizes, activation=activation, dtype=dtype).module
    if not rest:
        raise ValueError(f"sizes is {sizes}; wanted a hidden layer to drop units of, e.g. dropout.mlp(784, 100, 10)")
    pairs = [(nn.Dropout(rate), layer) if isinstance(layer, nn.Linear) else (layer,) for layer in rest]
    return Network(nn.Sequential(flatten, first, *(layer for pair in pairs for layer in pair)))


def fit(
    log_posterior: LogDensity,
    start: Tensor,
    batches: Callable[[int], Batch],
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    momentum: float = 0.9,
) -> tuple[Dropout, Cost]:
    """Descend ``-log posterior / n`` as ``sgd.fit`` does, with a fresh mask for every example of every minibatch.

    Args:
        log_posterior: Of a network with dropout; its Gaussian prior is the weight decay.
        start: Where to start, ``[D]``.
        batches: ``step -> Batch``, of one chain.
        steps: How many, 1 or more.
        learning_rate: On the mean scale, falling to 0 as half a cosine.
        seed: Of the masks.
        momentum: Of Nesterov's momentum.

    Returns:
        The posterior and its cost, ``steps`` gradients.

    Raises:
        ValueError: If the network has no dropout or dropout elsewhere than before linear layers, or a setting is bad.
        Diverged: When the weights or the log posterior are not finite.

    Example:
        >>> import torch
        >>> from apdlab.data import batches, data
        >>> from apdlab.likelihoods import categorical
        >>> from apdlab.priors import gaussian_prior
        >>> network, draw = mlp(1, 16, 2), batches(data(torch.tensor([-1.0, 1.0]), torch.tensor([0, 1])), 2, seed=0)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=2)
        >>> start = network.init(torch.Generator().manual_seed(0))
        >>> posterior, cost = fit(log_posterior, start, draw, steps=20, learning_rate=0.1, seed=0)
        >>> len(posterior.sample(7, generator=torch.Generator().manual_seed(0)))
        7
    """
    begin = time.perf_counter()
    noisy = _with_masks(log_posterior.network, stream(seed, "dropout", device=start.device))

    def objective(theta: Tensor, batch: Batch) -> Tensor:
        if len(batch.x) != 1:
            raise ValueError(f"x has shape {tuple(batch.x.shape)}; wanted [1, B, ...], the minibatches of one chain")
        outputs = noisy(noisy.unravel(theta.squeeze(0)), batch.x.squeeze(0))
        return log_posterior.of_outputs(theta, outputs[None], batch.y)

    rates = {"learning_rate": learning_rate, "momentum": momentum, "decay": partial(CosineAnnealingLR, T_max=steps)}
    *_, theta = descend(objective, alone(start), batches, n=log_posterior.n, steps=steps, **rates)
    return Dropout(log_posterior.network, theta[0]), Cost(steps, time.perf_counter() - begin)


class _Masked(nn.Module):
    """Dropout whose masks come from a generator of its own, a fresh one for each example."""

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.mask = lambda h: torch.empty_like(h).bernoulli_(1 - rate, generator=generator).div_(1 - rate)

    def forward(self, h: Tensor) -> Tensor:
        return h * self.mask(h)


def _with_masks(network: Network, generator: torch.Generator) -> Network:
    _rates(network)
    module = copy.deepcopy(network.module)
    for place, layer in enumerate(module):
        if isinstance(layer, nn.Dropout):
            module[place] = _Masked(layer.p, generator)
    return Network(module)


def _rates(network: Network) -> dict[str, float]:
    """Name the weights whose columns are dropped, with their rates; refuse dropout that is not of columns."""
    module = network.module
    if type(module) is not nn.Sequential:
        raise ValueError(f"module is a {type(module).__name__}; wanted {_WANTED}")
    parts = dict(module.named_modules(remove_duplicate=False))
    layers = [name for name in parts if name and "." not in name]
    dropped = {a: parts[b].weight for a, b in pairwise(layers) if _folds(parts[a], parts[b])}
    for name, part in parts.items():
        if _drops(part) and name not in dropped:
            raise ValueError(f"module drops units in {type(part).__name__} {name!r}; wanted {_WANTED}")
    if not dropped:
        raise ValueError(f"module has no dropout; wanted {_WANTED}")
    names = {leaf: name for name, leaf in module.named_parameters()}
    uses = Counter(leaf for _, leaf in module.named_parameters(remove_duplicate=False))
    for name, weight in dropped.items():
        if uses[weight] > 1:
            raise ValueError(
                f"module uses {names[weight]!r} twice, once after dropout; wanted weights of its own there"
            )
        if not 0 < parts[name].p < 1:
            raise ValueError(f"Dropout {name!r} has rate {parts[name].p}; wanted one in (0, 1), or no such layer")
    return {names[weight]: parts[name].p for name, weight in dropped.items()}


def _folds(layer: nn.Module, after: nn.Module) -> bool:
    return type(layer) is nn.Dropout and type(after) is nn.Linear


def _drops(part: nn.Module) -> bool:
    rate = getattr(part, "dropout", None)  # of recurrent and attention layers
    return isinstance(part, _DROPOUTS) or (isinstance(rate, float) and rate > 0)
