r"""What outputs of a network say about targets: ``log p(y | f)`` of each example, and what is predicted from it."""

import math

import torch
from torch import Tensor, nn

from apdlab.types import Likelihood

_LOG_2PI = math.log(2 * math.pi)


def categorical() -> Likelihood:
    """Say that outputs are logits of classes: ``log p(y | f) = f_y - logsumexp(f)``.

    Returns:
        A likelihood whose ``predictive`` gives log probabilities ``[S, N, K]``.

    Raises:
        ValueError: From ``log_prob``, if ``y`` is not int64 class labels of 0 to ``K - 1``, one an example.

    Example:
        >>> import torch
        >>> categorical().log_prob(torch.zeros(1, 3, 10), torch.tensor([[0, 1, 2]])).exp()
        tensor([[0.1000, 0.1000, 0.1000]])
    """

    def log_prob(outputs: Tensor, y: Tensor) -> Tensor:
        log_p = log_probs(outputs)
        try:
            return log_p.gather(-1, y.expand(outputs.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        except (RuntimeError, IndexError) as error:  # asking first would cost every step
            if why := _why_no_labels(outputs, y):
                raise ValueError(why) from error
            raise

    return Likelihood(log_prob, log_probs)


def log_probs(outputs: Tensor) -> Tensor:
    """Normalise logits ``[..., N, K]`` over classes: ``f - logsumexp(f)``; over the last axis but one it is fast.

    Example:
        >>> import torch
        >>> log_probs(torch.zeros(1, 2)).exp()
        tensor([[0.5000, 0.5000]])
    """
    return torch.log_softmax(outputs.mT, -2).mT


def _why_no_labels(outputs: Tensor, y: Tensor) -> str | None:
    """Say why ``y`` cannot choose one of the outputs ``[C, N, K]`` of each example."""
    seen, k = f"y has dtype {y.dtype} and shape {tuple(y.shape)}", outputs.shape[-1]
    if y.dtype != torch.int64:
        fix = "gaussian() for targets, y.argmax(-1) for one-hot rows" if y.is_floating_point() else "y.long()"
        return f"{seen}; wanted class labels, int64 [C or 1, N], for categorical(): {fix}"
    if y.device != outputs.device:
        return f"y is on {y.device}, the outputs on {outputs.device}; wanted one device: data.to('{outputs.device}')"
    if y.ndim > 2 or y.shape[-1:] != outputs.shape[1:2] or (y.ndim == 2 and len(y) not in (1, len(outputs))):
        return f"{seen} for outputs {tuple(outputs.shape)}; wanted one label an example, [C or 1, N]"
    low, top = int(y.min()), int(y.max())
    if low < 0:
        return f"y has the label {low}; wanted classes counted from 0, e.g. y - y.min()"
    fix = f"give its last layer {top + 1} outputs, or number the classes from 0"
    return f"y has the label {top}, the network {k} outputs; wanted labels of 0 to {k - 1}: {fix}" if top >= k else None


def gaussian(noise: float | None = None) -> Likelihood:
    """Say that outputs are means of targets: ``log p(y | f) = sum_k log N(y_k; f_k, noise^2)``.

    Args:
        noise: The standard deviation of the noise. None when it is learned: then outputs ``[C, N, 2 K]`` are means
            and log standard deviations, e.g. of a module in ``WithNoise``.

    Returns:
        A likelihood whose ``predictive`` gives means and standard deviations, ``[S, N, 2 K]``.

    Raises:
        ValueError: If ``noise`` is not above 0; from ``log_prob``, if targets and means differ in shape, if ``y`` holds
            integers, or if the noise is learned and the outputs are not ``2 K``.

    Example:
        >>> import torch
        >>> gaussian(noise=1.0).log_prob(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
        tensor([[-0.9189]])
    """
    if noise is not None and not 0 < noise < math.inf:
        raise ValueError(f"noise is {noise}; wanted a finite standard deviation above 0, or None when it is learned")

    def moments(outputs: Tensor) -> tuple[Tensor, Tensor]:
        if noise is None:
            if outputs.shape[-1] % 2:
                raise ValueError(
                    f"outputs has {outputs.shape[-1]} columns; wanted 2 K, means and log standard deviations: "
                    "Network(WithNoise(module, outputs=K)), or say the noise, e.g. gaussian(noise=0.1)"
                )
            mean, log_sd = outputs.chunk(2, dim=-1)
            return mean, log_sd
        return outputs, torch.full_like(outputs, math.log(noise))

    def log_prob(outputs: Tensor, y: Tensor) -> Tensor:
        if not y.is_floating_point():
            raise ValueError(
                f"y has dtype {y.dtype}, as class labels have; wanted targets [N, K] of {outputs.dtype} for "
                "gaussian(): y.to(x.dtype), or the likelihood categorical()"
            )
        mean, log_sd = moments(outputs)
        # [N] against [N, 1] would broadcast to [N, N]
        if y.shape[1:] != mean.shape[1:] or len(y) not in (1, len(mean)):
            wanted = f"{('...', *mean.shape[1:])}, one column an output, for 1 or {len(mean)} chains"
            raise ValueError(f"y has shape {tuple(y.shape)}; wanted {wanted}")
        return -(0.5 * ((y - mean) * (-log_sd).exp()).square() + log_sd + 0.5 * _LOG_2PI).sum(-1)

    def predictive(outputs: Tensor) -> Tensor:
        mean, log_sd = moments(outputs)
        return torch.cat([mean, log_sd.exp()], -1)

    return Likelihood(log_prob, predictive)


class WithNoise(nn.Module):
    """Adds one more named leaf, ``log_noise [K]``, to a regression module: outputs ``[N, 2 K]`` are means, log sds.

    Args:
        module: A module with outputs ``[N, K]``.
        outputs: ``K``.
        noise: Where the noise standard deviation starts.

    Example:
        >>> import torch
        >>> WithNoise(nn.Linear(3, 1), outputs=1)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(self, module: nn.Module, outputs: int, noise: float = 1.0) -> None:
        super().__init__()
        if not 0 < noise < math.inf:
            raise ValueError(f"noise is {noise}; wanted a finite standard deviation above 0")
        self.module = module
        dtype = next(module.parameters()).dtype
        self.log_noise = nn.Parameter(torch.full((outputs,), math.log(noise), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Append the log noise to the means."""
        mean = self.module(x)
        return torch.cat([mean, self.log_noise.expand_as(mean)], dim=-1)


def noisy_dirichlet(noise: float) -> Likelihood:
    """Say how sure labels are: ``log p(y | f) = sum_k log N(f_k; mu_k, s_k^2)``, a Gaussian around each logit.

    The label's distribution over classes is Dirichlet of ``a_k = [k = y] + noise``, each part of it a log-normal of the
    same mean and variance: ``s_k^2 = log(1 + 1 / a_k)``, ``mu_k = log a_k - s_k^2 / 2``.

    Args:
        noise: How much of a label goes to every class, above 0; the smaller, the surer are labels.

    Returns:
        A likelihood whose ``predictive`` gives log probabilities ``[S, N, K]``.

    Raises:
        ValueError: If ``noise`` is not above 0; from ``log_prob``, as of ``categorical``.

    Source: Kapoor et al., 2022, On uncertainty, tempering, and data augmentation in Bayesian classification,
    https://arxiv.org/abs/2203.16481; Milios et al., 2018, https://arxiv.org/abs/1805.10915

    Example:
        >>> import torch
        >>> noisy_dirichlet(0.01).log_prob(torch.tensor([[[3.0, -4.0], [-4.0, 3.0]]]), torch.tensor([[0, 0]]))
        tensor([[-11.4115, -22.8251]])
    """
    if not 0 < noise < math.inf:
        raise ValueError(f"noise is {noise}; wanted a finite number above 0, e.g. 0.01")
    spread = [math.log(1 + 1 / a) for a in (noise, 1 + noise)]  # of other classes, of the label's
    centre = [math.log(a) - s / 2 for a, s in zip((noise, 1 + noise), spread, strict=True)]
    labels = categorical()

    def log_prob(outputs: Tensor, y: Tensor) -> Tensor:
        labels.log_prob(outputs.detach(), y)  # refuses what are no labels
        chosen = outputs.gather(-1, y.expand(outputs.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        other, own = (_log_normal(f, m, s) for f, m, s in zip((outputs, chosen), centre, spread, strict=True))
        return other.sum(-1) - _log_normal(chosen, centre[0], spread[0]) + own

    return Likelihood(log_prob, labels.predictive)


def _log_normal(value: Tensor, mean: float, variance: float) -> Tensor:
    return -0.5 * ((value - mean).square() / variance + math.log(variance) + _LOG_2PI)
