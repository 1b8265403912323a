r"""The log posterior of a network's weights, on one scale: the sum over the whole set.

``log p(theta | D) = log p(theta) + sum_i log p(y_i | x_i, theta) + const``; a minibatch of ``B`` of ``n`` examples
estimates the sum as ``n / B`` times its own. Temperature 1 is Bayes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apdlab.networks import Network
from apdlab.stacks import dots
from apdlab.types import Batch, Likelihood, is_count, refuse_module

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
    """Normalise logits ``[..., N, K]`` over classes: ``f - logsumexp(f)``; along the examples it is ten times as fast.

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


def gaussian_prior(network: Network, precision: float | Mapping[str, float]) -> Callable[[Tensor], Tensor]:
    """Make ``log p(theta) = sum_d log N(theta_d; 0, 1 / precision_d)``.

    Args:
        network: Whose weights.
        precision: One number, or one per named parameter (every name of ``network.shapes``).

    Returns:
        A function ``theta [C, D] -> [C]``.

    Raises:
        ValueError: If a precision is not above 0, or the names are not those of the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> gaussian_prior(mlp(1, 1), precision=2.0)(torch.zeros(1, 2))
        tensor([-1.1447])
    """
    each = checked_precisions(network, precision)
    sizes = {name: shape.numel() for name, shape in network.shapes.items()}
    constant = 0.5 * sum(n * (math.log(each[name]) - _LOG_2PI) for name, n in sizes.items())
    return _GaussianPrior(constant, of_each_weight(network, each))


def checked_precisions(network: Network, precision: float | Mapping[str, float]) -> Mapping[str, float]:
    """Give the precision of each named parameter.

    Raises:
        ValueError: If one is not above 0, or the names are not those of the network.
    """
    refuse_module(network)
    each = precision if isinstance(precision, Mapping) else dict.fromkeys(network.shapes, precision)
    if each.keys() != network.shapes.keys():
        raise ValueError(f"precision names {sorted(each)}; wanted each of {sorted(network.shapes)} once")
    if bad := {name: value for name, value in each.items() if not 0 < value < math.inf}:
        raise ValueError(f"precision is {bad}; wanted finite numbers above 0 (1 / variance of the prior)")
    return each


def of_each_weight(network: Network, each: Mapping[str, float]) -> Tensor:
    """Spread a number of each named parameter over its weights, ``[D]``, or ``[]`` if they are all the same."""
    if len(set(each.values())) == 1:
        return torch.tensor(next(iter(each.values())), dtype=network.dtype)
    parts = [torch.full((shape.numel(),), each[name], dtype=network.dtype) for name, shape in network.shapes.items()]
    return torch.cat(parts)


@dataclass(frozen=True)
class _GaussianPrior:
    """``constant - 1/2 sum_d scale_d theta_d^2``."""

    constant: float
    scale: Tensor

    def __call__(self, theta: Tensor) -> Tensor:
        return self.constant + 0.5 * self._along(theta)

    def add_grad(self, theta: Tensor, into: Tensor, times: float | Tensor) -> tuple[Tensor, Tensor]:
        along, scale = self._along(theta), self.scale.to(theta.device)
        if isinstance(times, Tensor):
            into.addcmul_(theta, times * scale, value=-1)
        else:
            into.addcmul_(theta, scale, value=-times)
        return self.constant + 0.5 * along, along

    def _along(self, theta: Tensor) -> Tensor:
        """Multiply weights by their gradients, ``-sum_d scale_d theta_d^2``."""
        scale = self.scale.to(theta.device)
        return -scale * dots(theta, theta) if scale.ndim == 0 else -dots(theta * scale, theta)


@dataclass(frozen=True)
class LogDensity:
    """Evaluates ``log p(theta | D)`` of stacked weights on a minibatch, up to the evidence.

    Attributes:
        network: The network.
        likelihood: What its outputs say about targets.
        prior: ``theta [C, D] -> [C]``, e.g. ``gaussian_prior(network, 1.0)``.
        n: How many examples the whole set has.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> network = mlp(2, 3)
        >>> log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=100)
        >>> x, y = torch.zeros(1, 4, 2), torch.zeros(1, 4, dtype=torch.long)
        >>> log_posterior(torch.zeros(5, network.size), Batch(x, y, y)).shape
        torch.Size([5])
    """

    network: Network
    likelihood: Likelihood
    prior: Callable[[Tensor], Tensor]
    n: int

    def __post_init__(self) -> None:
        refuse_module(self.network)
        if not is_count(self.n):
            raise ValueError(f"n is {self.n}; wanted the number of examples in the whole set, e.g. len(data.y)")

    def __call__(self, theta: Tensor, batch: Batch) -> Tensor:
        """Return ``log p(theta) + n / B sum_b log p(y_b | x_b, theta)``, ``[C]``, for ``theta [C, D]``."""
        return self.of_outputs(theta, self.network(self.network.unravel(theta), batch.x), batch.y)

    def of_outputs(self, theta: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the same from outputs ``[C, B, K]``, where they are made in another way (dropout).

        Raises:
            ValueError: If the outputs have more axes than these three.
        """
        return self.prior(theta) + self._log_likelihood(outputs, y)

    def add_grad(self, theta: Tensor, batch: Batch, into: Tensor, times: float | Tensor) -> tuple[Tensor, Tensor]:
        """Add its gradient as :func:`add_grad` does, by hand where prior and network can."""
        outputs, pull = self.network.pullback(theta, batch.x)
        log_likelihood, slope = value_and_grad(self._log_likelihood, outputs, batch.y)
        along, add = pull(slope)
        prior, more = add_grad(self.prior, theta, into=into, times=times)
        add(into, times)
        return prior + log_likelihood, along + more

    def _log_likelihood(self, outputs: Tensor, y: Tensor) -> Tensor:
        if outputs.ndim != 3:
            raise ValueError(
                f"outputs has shape {tuple(outputs.shape)}; wanted [C, N, K], one row an example: "
                "end the module with nn.Flatten() and a layer of K outputs"
            )
        return self.n / y.shape[1] * self.likelihood.log_prob(outputs, y).sum(-1)


def value_and_grad(log_density: Callable[..., Tensor], theta: Tensor, *batch: Any) -> tuple[Tensor, Tensor]:
    """Evaluate a log density and its gradient.

    Args:
        log_density: ``(theta [C, ...], *batch) -> [C]``, chain by chain.
        theta: Stacked weights ``[C, D]``.
        batch: What else it takes: the minibatch.

    Returns:
        Values ``[C]`` and gradients like ``theta``.

    Example:
        >>> import torch
        >>> value_and_grad(lambda theta, batch: -theta.square().sum(-1), torch.ones(1, 2), None)
        (tensor([-2.]), tensor([[-2., -2.]]))
    """
    if hasattr(log_density, "add_grad"):
        grad = torch.zeros_like(theta)
        return add_grad(log_density, theta, *batch, into=grad, times=1.0)[0], grad
    leaf = theta.detach().requires_grad_()
    with torch.enable_grad():
        value = log_density(leaf, *batch)
        if not value.requires_grad:  # it is flat
            return value, torch.zeros_like(theta)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), grad


def add_grad(
    log_density: Callable[..., Tensor], theta: Tensor, *batch: Any, into: Tensor, times: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Add ``times grad log p(theta)`` to a momentum, or to ``theta`` itself, in place.

    Args:
        log_density: ``(theta [C, D], *batch) -> [C]``, chain by chain. One that knows its gradient, like
            ``LogDensity``, has a method ``add_grad(theta, *batch, into, times)``; of all else autograd makes it.
        theta: Stacked weights ``[C, D]``.
        batch: What else it takes: the minibatch.
        into: What to add to, like ``theta``.
        times: A number, or one a chain, ``[C, 1]``.

    Returns:
        Of ``theta`` as it was: values ``[C]``, and ``<theta, grad log p(theta)>``, ``[C]``.

    Example:
        >>> import torch
        >>> theta = torch.ones(1, 2)
        >>> add_grad(lambda theta: -theta.square().sum(-1), theta, into=theta, times=0.25)
        (tensor([-2.]), tensor([-4.]))
        >>> theta
        tensor([[0.5000, 0.5000]])
    """
    theta = theta.detach()
    if itself := getattr(log_density, "add_grad", None):
        return itself(theta, *batch, into, times)
    value, grad = value_and_grad(log_density, theta, *batch)
    along = dots(theta, grad)
    into.add_(grad * times)
    return value, along
