"""Posteriors over two weights whose shape is known, to watch samplers on."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Target(NamedTuple):
    """A log density over two weights, ``theta [..., 2] -> [...]`` up to a constant, and the window it lies in.

    ``precision [2, 2]`` where it is a Gaussian around 0, whose discretised law is known in closed form; else None.
    """

    log_posterior: Callable[[Tensor], Tensor]
    window: tuple[tuple[float, float], tuple[float, float]]
    precision: Tensor | None = None

    def on_grid(self, points: int) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate it on a grid over its window: both axes ``[points]``, and values ``[points, points]``, rows are y.

        Example:
            >>> x, y, values = ring().on_grid(50)
            >>> values.shape
            torch.Size([50, 50])
        """
        x, y = (torch.linspace(*side, points, dtype=torch.float64) for side in self.window)
        return x, y, self.log_posterior(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))


def gaussian(correlation: float = 0.8) -> Target:
    """Correlate two weights of variance 1: ``log p = -theta' K theta / 2``.

    Raises:
        ValueError: If the correlation is not between -1 and 1.

    Example:
        >>> import torch
        >>> float(gaussian(0.0).log_posterior(torch.ones(2)))
        -1.0
    """
    if not -1 < correlation < 1:
        raise ValueError(f"correlation is {correlation}; wanted a number between -1 and 1")
    precision = torch.tensor([[1.0, -correlation], [-correlation, 1.0]], dtype=torch.float64) / (1 - correlation**2)

    def log_posterior(theta: Tensor) -> Tensor:
        return -0.5 * torch.linalg.vecdot(theta @ precision.to(theta.dtype), theta)

    return Target(log_posterior, ((-4, 4), (-4, 4)), precision)


def banana(bend: float = 0.5, width: float = 0.5) -> Target:
    """Bend a Gaussian: ``theta_1 ~ N(0, 1)``, ``theta_2 ~ N(bend theta_1^2, width^2)``.

    Example:
        >>> import torch
        >>> float(banana().log_posterior(torch.tensor([2.0, 2.0])))
        -2.0
    """

    def log_posterior(theta: Tensor) -> Tensor:
        x, y = theta.unbind(-1)
        return -0.5 * (x.square() + ((y - bend * x.square()) / width).square())

    return Target(log_posterior, ((-4, 4), (-2, 6)))


def mixture(distance: float = 3.0, width: float = 0.6) -> Target:
    """Mix two round Gaussians of equal weight, this far apart along the first axis.

    Example:
        >>> import torch
        >>> both = mixture().log_posterior(torch.tensor([[1.5, 0.0], [-1.5, 0.0]]))
        >>> bool(both[0] == both[1])
        True
    """
    centres = torch.tensor([[-distance / 2, 0.0], [distance / 2, 0.0]], dtype=torch.float64)

    def log_posterior(theta: Tensor) -> Tensor:
        away = (theta.unsqueeze(-2) - centres.to(theta.dtype)).square().sum(-1)
        return torch.logsumexp(-away / (2 * width**2), -1)

    return Target(log_posterior, ((-4, 4), (-4, 4)))


def ring(radius: float = 2.0, width: float = 0.3) -> Target:
    """Put the mass on a ring: ``log p = -(|theta| - radius)^2 / (2 width^2)``.

    Example:
        >>> import torch
        >>> float(ring().log_posterior(torch.tensor([0.0, 2.0])))
        -0.0
    """

    def log_posterior(theta: Tensor) -> Tensor:
        return -0.5 * ((theta.square().sum(-1) + 1e-12).sqrt() - radius).square() / width**2

    return Target(log_posterior, ((-4, 4), (-4, 4)))


def two_weights(examples: int = 20, sd: float = 2.0) -> Target:
    """Learn ``p(y = 1 | x) = sigmoid(w_2 tanh(w_1 x))`` from labels ``y = [x > 0]``, with a prior ``N(0, sd^2)``.

    The smallest network whose posterior has two modes: both weights may change their signs together. A few labels in
    the middle are wrong, so the modes are not at infinity.

    Example:
        >>> import torch
        >>> both = two_weights().log_posterior(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
        >>> bool((both[0] - both[1]).abs() < 1e-6)
        True
    """
    x = torch.linspace(-2, 2, examples, dtype=torch.float64)
    sign = torch.where((x > 0) ^ (x.abs() < 0.35), 1.0, -1.0).double()

    def log_posterior(theta: Tensor) -> Tensor:
        first, second = theta.unsqueeze(-1).unbind(-2)
        outputs = second * torch.tanh(first * x.to(theta.dtype))
        fit = torch.nn.functional.logsigmoid(sign.to(theta.dtype) * outputs).sum(-1)
        return fit - 0.5 * theta.square().sum(-1) / sd**2

    return Target(log_posterior, ((-6, 6), (-6, 6)))
