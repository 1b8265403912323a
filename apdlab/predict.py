"""Predictions of many draws, all ``[S, N, K]`` or their moments in ``O(N K)``, in chunks of a memory budget."""

from collections.abc import Callable, Iterator
from functools import lru_cache, reduce
from itertools import dropwhile

import torch
from torch import Tensor, nn

from apdlab.draws import Draws
from apdlab.likelihoods import categorical
from apdlab.moments import Moments, merge, moments
from apdlab.networks import Network
from apdlab.stacks import WIDE
from apdlab.types import Data

_CLASSES = categorical()
_LOG_PROBS = _CLASSES.predictive
MEMORY = 256 * 2**20
CACHE = 8 * 2**20  # of a processor, about
_STATISTICS = 48  # bytes that moments() works in, for each log probability


def predict(
    draws: Draws,
    x: Tensor,
    *,
    memory: int = MEMORY,
    predictive: Callable[[Tensor], Tensor] = _LOG_PROBS,
) -> Tensor:
    """Predict with every draw: ``log p(y | x_n, theta_s)`` for all classes.

    Args:
        draws: ``S`` networks.
        x: Inputs ``[N, ...]``.
        memory: Bytes to work in, besides the result.
        predictive: What turns outputs into a prediction, of a likelihood; log probabilities of classes by default.

    Returns:
        ``[S, N, K]``.

    Raises:
        ValueError: If there is no input, or the memory does not hold one network and one input.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> predict(Draws(mlp(2, 3), torch.zeros(5, 9)), torch.zeros(4, 2)).shape
        torch.Size([5, 4, 3])
    """
    columns = (torch.cat([predictive(part) for part in parts]) for parts in _outputs(draws, x, memory))
    return torch.cat(list(columns), dim=1)


def predict_moments(draws: Draws, x: Tensor, *, memory: int = MEMORY) -> Moments:
    """Predict with every draw, and keep only what uncertainties need: ``moments(predict(draws, x))``, streamed.

    Args:
        draws: ``S`` networks of a classifier.
        x: Inputs ``[N, ...]``.
        memory: Bytes to work in, besides the result; it does not grow with ``S`` or ``N``.

    Returns:
        The moments of the ``S`` predictions of each input.

    Raises:
        ValueError: If there is no input, or the memory does not hold one network and one input.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> predict_moments(Draws(mlp(2, 3), torch.zeros(5, 9)), torch.zeros(4, 2)).mean.shape
        torch.Size([4, 3])
    """
    each = [reduce(merge, (moments(_LOG_PROBS(part)) for part in parts)) for parts in _outputs(draws, x, memory)]
    return Moments(len(draws), *map(torch.cat, zip(*(m[1:] for m in each), strict=True)))


def label_log_probs(draws: Draws, data: Data, *, memory: int = MEMORY) -> Tensor:
    """Give the log probability of each label, ``log p(y_n | x_n, theta_s)``: the functions whose mixing matters.

    Args:
        draws: ``S`` networks of a classifier.
        data: ``N`` labelled examples.
        memory: Bytes to work in, besides the result.

    Returns:
        ``[S, N]``; ``unflatten(0, (C, T))`` gives the draws of chains back their axes.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> data = Data(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
        >>> label_log_probs(Draws(mlp(2, 3), torch.zeros(5, 9)), data).shape
        torch.Size([5, 4])
    """
    outputs = predict(draws, data.x, memory=memory, predictive=lambda outputs: outputs)
    return _CLASSES.log_prob(outputs, data.y[None])


def _outputs(draws: Draws, x: Tensor, memory: int) -> Iterator[Iterator[Tensor]]:
    """Walk through chunks of inputs, and for each through chunks of draws: outputs ``[s, n, K]``."""
    if len(x) == 0:
        raise ValueError("x has no inputs; wanted [N, ...] with N of 1 or more")
    network, itemsize = draws.network, draws.codes.element_size()
    stack, examples = chunk_sizes(network, itemsize, x, memory)
    at_once = _through_basis(draws, x, memory // 3)
    if at_once:  # a product of few codes would wait for the basis
        examples = min(examples, at_once)
        each = network.size * itemsize + examples * work_bytes(network, x)
        stack = max(1, min(64, memory * 2 // 3 // each))
    for piece in x.split(examples):
        yield _forward(draws, piece, stack, draws.basis if at_once else None)


def _through_basis(draws: Draws, x: Tensor, memory: int) -> int:
    """Count the inputs whose products with a basis are held at once; 0 where weights are made instead."""
    network = draws.network
    if draws.basis is None or not network.is_plain:
        return 0
    (units, inputs), made = next(iter(network.shapes.values())), 1 + len(draws.basis)
    each = made * units * x[0].numel() // inputs * draws.codes.element_size()
    cheaper = made * (inputs + len(draws)) < inputs * len(draws)
    return min(memory, CACHE) // each if cheaper else 0


@torch.no_grad()
def _forward(draws: Draws, x: Tensor, stack: int, basis: Tensor | None) -> Iterator[Tensor]:
    network = draws.network
    if basis is None:
        for chunk in draws.chunks(stack):
            yield network(network.unravel(chunk.theta), x[None])
    else:
        offset = basis.new_zeros(network.size) if draws.offset is None else draws.offset
        evaluate = network.through_basis(basis, offset, x)
        for chunk in draws.chunks(stack):
            yield evaluate(chunk.codes)


def chunk_sizes(network: Network, itemsize: int, x: Tensor, memory: int) -> tuple[int, int]:
    """Choose how many networks and inputs are evaluated at once: a third of the memory for weights, the rest for work.

    Around 16 networks and 1,000 inputs at a time stay in a processor's cache, and more networks where inputs are few;
    more memory only helps large networks.
    """
    weights, work = network.size * itemsize, work_bytes(network, x)
    if not weights + work <= memory:
        need = (weights + work) / 2**20
        raise ValueError(f"memory is {memory} bytes; wanted at least {need:.1f} MiB, one network and one input")
    many = 16 if len(x) >= WIDE else 16 * WIDE // len(x)
    stack = max(1, min(many, memory // 3 // weights, memory // (weights + work)))
    return stack, min(1000, (memory - stack * weights) // (stack * work))


def work_bytes(network: Network, x: Tensor) -> int:
    """Count the bytes of all layers' outputs for one network and one input, plus those of its statistics."""
    layers, outputs = _measured(network, x.shape[1:], x.dtype, x.device)
    return layers + outputs.nbytes + _STATISTICS * outputs.numel()


def tape_bytes(network: Network, x: Tensor) -> int:
    """Count the bytes that a gradient needs of one network on one input: its layers' outputs."""
    return _measured(network, x.shape[1:], x.dtype, x.device)[0]


@lru_cache(maxsize=16)  # an attack asks at each step
@torch.no_grad()
def _measured(network: Network, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[int, Tensor]:
    seen: list[int] = []
    layers = [part for part in network.module.modules() if not list(part.children())]
    if network.is_plain:  # what is below the first weights is the same for all networks, and rectifiers work in place
        above = dropwhile(lambda layer: not list(layer.parameters()), layers)
        layers = [layer for layer in above if not isinstance(layer, nn.ReLU)]
    hooks = [part.register_forward_hook(lambda _, __, out: seen.append(_nbytes(out))) for part in layers]
    try:
        params = {name: leaf.to(device) for name, leaf in network.module.named_parameters()}
        outputs = network(params, torch.zeros(1, *shape, dtype=dtype, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(seen), outputs


def _nbytes(out: Tensor | tuple) -> int:
    return out.nbytes if isinstance(out, Tensor) else sum(_nbytes(part) for part in out)
