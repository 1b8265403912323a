"""Predictions of many draws, all ``[S, N, K]`` or their moments in ``O(N K)``, in chunks of a memory budget."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from apdlab.density import categorical
from apdlab.draws import Draws
from apdlab.moments import Moments, merge, moments
from apdlab.networks import Network
from apdlab.types import Data

_CLASSES = categorical()
_LOG_PROBS = _CLASSES.predictive
MEMORY = 256 * 2**20
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
    rows = ([predictive(part) for part in parts] for parts in _outputs(draws, x, memory))
    return torch.cat([torch.cat(row, dim=1) for row in rows])


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
    total: list[Moments] = []
    for parts in _outputs(draws, x, memory):
        each = [moments(_LOG_PROBS(part)) for part in parts]
        total = [merge(a, b) for a, b in zip(total, each, strict=True)] if total else each
    joined = [torch.cat(part) for part in zip(*(m[1:] for m in total), strict=True)]
    return Moments(len(draws), *joined)


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
    """Walk through chunks of draws, and for each through chunks of inputs: outputs ``[s, n, K]``."""
    if len(x) == 0:
        raise ValueError("x has no inputs; wanted [N, ...] with N of 1 or more")
    stack, examples = chunk_sizes(draws.network, draws.codes.element_size(), x, memory)
    for chunk in draws.chunks(stack):
        yield _forward(draws.network, chunk.theta, x.split(examples))


@torch.no_grad()
def _forward(network: Network, theta: Tensor, pieces: tuple[Tensor, ...]) -> Iterator[Tensor]:
    params = network.unravel(theta)
    for piece in pieces:
        yield network(params, piece[None])


def chunk_sizes(network: Network, itemsize: int, x: Tensor, memory: int) -> tuple[int, int]:
    """Choose how many networks and inputs are evaluated at once: a third of the memory for weights, the rest for work.

    Around 16 networks and 1,000 inputs at a time stay in a processor's cache; more memory only helps large networks.
    """
    weights, work = network.size * itemsize, work_bytes(network, x[:1])
    if not weights + work <= memory:
        need = (weights + work) / 2**20
        raise ValueError(f"memory is {memory} bytes; wanted at least {need:.1f} MiB, one network and one input")
    stack = max(1, min(16, memory // 3 // weights, memory // (weights + work)))
    return stack, min(1000, (memory - stack * weights) // (stack * work))


@torch.no_grad()
def work_bytes(network: Network, x: Tensor) -> int:
    """Count the bytes of all layers' outputs for one network and one input, plus those of its statistics."""
    seen: list[int] = []
    layers = [part for part in network.module.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(lambda _, __, out: seen.append(_nbytes(out))) for part in layers]
    try:
        params = {name: leaf.to(x.device) for name, leaf in network.module.named_parameters()}
        outputs = network(params, x)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(seen) + _nbytes(outputs) + _STATISTICS * outputs.numel()


def _nbytes(out: Tensor | tuple) -> int:
    return out.nbytes if isinstance(out, Tensor) else sum(_nbytes(part) for part in out)
