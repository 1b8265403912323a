r"""The averaged predictive as a function of its input, with gradients, in bounded memory for any number of draws.

``log (1/S) sum_s p_s(k|x)`` has the gradient ``sum_s w_s grad log p_s(k|x)`` with ``w_s = p_s(k|x) / sum_r p_r(k|x)``,
a softmax over draws of log probabilities: nothing underflows where a confident ensemble makes ``p`` itself 0 or 1, and
draws are met chunk by chunk. What the memory does not hold of a chunk's graph is computed again in the backward.

Where sure draws contradict each other the average is a count of votes, and its gradient is small in truth, not by
rounding; the mean of their logarithms has a gradient even there.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from apdlab.draws import Draws, Posterior
from apdlab.likelihoods import log_probs
from apdlab.moments import entropy
from apdlab.networks import Network
from apdlab.predict import MEMORY, chunk_sizes, tape_bytes
from apdlab.stacks import WIDE
from apdlab.types import is_count

TAPES = 8  # that part of the memory keeps what the backward needs
LEAST = 32  # inputs at a time, even where the backward then sees some draws anew


class Averages(NamedTuple):
    """What the draws say on average, differentiable in the input, in float64.

    Like ``Moments`` it has ``log_mean [N, K]``, ``log (1/S) sum_s p_s``, and ``expected_entropy [N]``,
    ``(1/S) sum_s H[p_s]``, so that ``metrics.mutual_information`` and its like take either; and ``mean_log [N, K]``,
    ``(1/S) sum_s log p_s``.
    """

    log_mean: Tensor
    mean_log: Tensor
    expected_entropy: Tensor


def log_mean(averages: Averages) -> Tensor:
    """Give the averaged predictive, ``log (1/S) sum_s p_s``: what a Bayesian predicts with, and what to attack."""
    return averages.log_mean


def mean_log(averages: Averages) -> Tensor:
    """Give the mean of the draws' log probabilities: its cross entropy is the mean of their losses, another attack."""
    return averages.mean_log


def averages(averages: Averages) -> Averages:
    """Give all of them, for a loss that weighs one against another."""
    return averages


def predictor(
    draws: Draws, statistic: Callable[[Averages], Any] = log_mean, *, memory: int = MEMORY
) -> Callable[[Tensor], Any]:
    """Make draws a differentiable function of the input, ``x [N, ...] -> statistic``, e.g. ``log p [N, K]``.

    Args:
        draws: ``S`` networks of a classifier.
        statistic: What to make of the ``Averages``: ``log_mean``, ``mean_log``, or any differentiable function, e.g.
            ``metrics.mutual_information``.
        memory: Bytes for the weights and outputs of a chunk of draws and for their gradients; an eighth of it for what
            is kept from the forward to the backward. It does not grow with ``S``.

    Returns:
        The function, as a module, which other libraries of attacks take. Called with no input, or with memory for less
        than one network and one input, it raises a ValueError.

    Source: Vadera et al. (2020), Assessing the adversarial robustness of Monte Carlo and distillation methods for deep
    Bayesian neural network classification, https://arxiv.org/abs/2002.02842

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> x = torch.zeros(4, 2, requires_grad=True)
        >>> log_p = predictor(Draws(mlp(2, 3), torch.ones(5, 9)))(x)
        >>> log_p.shape, torch.autograd.grad(log_p[:, 0].sum(), x)[0].shape
        (torch.Size([4, 3]), torch.Size([4, 2]))
    """
    made = partial(_averages, draws, memory=memory, alone=statistic is log_mean)
    return _Function(lambda x: statistic(made(x)), partial(_at_once, draws, memory))


def fresh_predictor(
    posterior: Posterior,
    n: int,
    generator: torch.Generator,
    statistic: Callable[[Averages], Any] = log_mean,
    *,
    memory: int = MEMORY,
) -> Callable[[Tensor], Any]:
    """Make a posterior a differentiable function that draws anew at each call: expectation over transformation.

    Args:
        posterior: What to draw from.
        n: How many draws a call.
        generator: Of the draws.
        statistic: As for :func:`predictor`.
        memory: As for :func:`predictor`.

    Returns:
        The function, as a module.

    Raises:
        ValueError: If ``n`` is no count.

    Source: Athalye, Carlini and Wagner (2018), Obfuscated gradients give a false sense of security,
    https://arxiv.org/abs/1802.00420

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws, x = Draws(mlp(2, 3), torch.arange(45.0).view(5, 9).sin()), torch.ones(4, 2)
        >>> f = fresh_predictor(draws, 1, torch.Generator().manual_seed(0))
        >>> bool((f(x) == f(x)).all())
        False
    """
    if not is_count(n):
        raise ValueError(f"n is {n}; wanted 1 or more draws a call, a whole number")
    made = partial(_averages, memory=memory, alone=statistic is log_mean)
    return _Function(lambda x: statistic(made(posterior.sample(n, generator=generator), x)))


class _Function(nn.Module):
    """A function of the input, as a module: libraries of attacks take nothing else."""

    def __init__(self, function: Callable[[Tensor], Any], at_once: Callable[[Tensor], int] = len) -> None:
        super().__init__()
        self.function, self.at_once = function, at_once
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def _at_once(draws: Draws, memory: int, x: Tensor) -> int:
    """Count the inputs of which all that the backward needs can be kept; a few even where it cannot."""
    network = draws.network
    most = memory // TAPES // (len(draws) * tape_bytes(network, x))
    if network.is_plain and len(draws) * network.size * x.element_size() > memory // 6:
        most = min(most, WIDE - 1)  # copies of weights, in and out between what is kept, would tear the heap to pieces
    pieces = -(-len(x) // max(LEAST, most))
    return -(-len(x) // pieces)


def _averages(draws: Draws, x: Tensor, *, memory: int, alone: bool) -> Averages:
    """Average over draws; ``alone`` leaves all but ``log_mean`` at 0, as nobody asks for it."""
    if len(x) == 0:
        raise ValueError("x has no inputs; wanted [N, ...] with N of 1 or more")
    network, itemsize = draws.network, draws.codes.element_size()
    stack, examples = chunk_sizes(network, itemsize, x, memory)
    as_stored = draws.basis is None and draws.offset is None and network.products == network.dtype
    made = 0 if as_stored else network.size * itemsize  # a tape holds copies of weights in another dtype, too
    kept = memory // TAPES // (stack * (made + len(x) * tape_bytes(network, x)))
    parts = [_Average.apply(piece, draws, stack, kept, alone) for piece in x.split(examples)]
    return Averages(*map(torch.cat, zip(*parts, strict=True)))


class _Average(torch.autograd.Function):
    """Averages over draws, whose backward sees chunk after chunk again: the tapes of the first ``kept`` of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, draws: Draws, stack: int, kept: int, alone: bool) -> tuple[Tensor, ...]:
        ctx.draws, ctx.stack, ctx.tapes = draws, stack, {}
        ctx.set_materialize_grads(False)
        none = x.new_zeros(1, dtype=torch.float64)
        total = -torch.inf, none, none
        for i, chunk in enumerate(draws.chunks(stack)):
            log_p, pull = _evaluate(draws.network, chunk, x, tape=ctx.needs_input_grad[0] and i < kept)
            if pull:
                ctx.tapes[i] = log_p, pull
            log_p = log_p.double()
            log_sum = torch.logaddexp(log_p.logsumexp(0), torch.as_tensor(total[0]).to(log_p))
            total = (log_sum, *(total[1:] if alone else (total[1] + log_p.sum(0), total[2] + entropy(log_p).sum(0))))
        ctx.save_for_backward(x, total[0])
        return total[0] - math.log(len(draws)), total[1] / len(draws), total[2] / len(draws)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None, None, None, None]:
        x, log_sum = ctx.saved_tensors
        total = torch.zeros_like(x)
        for i, chunk in enumerate(ctx.draws.chunks(ctx.stack)):
            log_p, pull = ctx.tapes.pop(i, None) or _evaluate(ctx.draws.network, chunk, x, tape=True)
            total += pull(_back(log_p, log_sum, len(ctx.draws), *grads))
        return total, None, None, None, None


def _evaluate(network: Network, chunk: Draws, x: Tensor, *, tape: bool) -> tuple[Tensor, Callable | None]:
    """Give log probabilities ``[s, N, K]``, and how to pull gradients in their logits back to ``x``."""
    if tape:
        logits, pull = network.input_pullback(chunk.theta, x)
    else:
        logits, pull = network(network.unravel(chunk.theta), x[None]), None
    return log_probs(logits), pull


def _back(
    log_p: Tensor, log_sum: Tensor, draws: int, log_mean: Tensor | None, mean_log: Tensor | None, entropy: Tensor | None
) -> Tensor:
    """Pull gradients with respect to the averages back to logits ``[s, N, K]``; None is 0."""
    dtype, log_p = log_p.dtype, log_p.double()
    p, grad = log_p.exp(), torch.zeros((), dtype=torch.float64, device=log_p.device)
    if log_mean is not None:
        grad = grad + (log_p - log_sum).exp() * log_mean
    if mean_log is not None:
        grad = grad + mean_log / draws
    if entropy is not None:
        grad = grad - p * log_p * entropy[:, None] / draws
    others = 1 - torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)  # 1 - p would be 0 where p rounds to 1
    return (grad * (p @ others) - p * (grad @ others)).to(dtype)
