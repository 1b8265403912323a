r"""What a critic says of real and generated codes, and how steep it is between them, without double backward.

For a ReLU critic ``f`` the gradient is ``grad_y f = W_1^T v`` with ``v = m_1 W_2^T m_2 ... w_L``, as many numbers as
the first layer has units (``m_l``: which units of layer ``l`` are on). So ``|grad_y f|^2 = v^T K v`` with one Gram
matrix ``K = W_1 W_1^T`` a step, and where codes are mixed, so are their first products: what is as wide as the weights
is touched once. The ``m_l`` are constant almost everywhere, which makes this exact.

Source: Gulrajani et al., 2017, Improved training of Wasserstein GANs, https://arxiv.org/abs/1704.00028 (the penalty).
"""

import torch
from torch import Tensor

from apdlab.types import Params


def scores_and_slopes(params: Params, real: Tensor, fake: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate ``f(real)``, ``f(fake)`` and ``|grad f|`` at ``fake + u (real - fake)``, differentiable in the weights.

    Args:
        params: Weights and biases, in order, of ``G`` fully connected ReLU critics with one output.
        real: Codes ``[G, n, k]``.
        fake: Codes ``[G, n, k]``.
        u: Where between them, ``[G, n, 1]``, 0 to 1.

    Returns:
        Three times ``[G, n]``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> critic = mlp(2, 3, 1)
        >>> a, b, u = torch.zeros(1, 5, 2), torch.ones(1, 5, 2), torch.rand(1, 5, 1)
        >>> [v.shape for v in scores_and_slopes(critic.unravel(torch.ones(1, critic.size)), a, b, u)]
        [torch.Size([1, 5]), torch.Size([1, 5]), torch.Size([1, 5])]
    """
    leaves = list(params.values())
    layers = list(zip(leaves[::2], leaves[1::2], strict=True))
    n, (weight, bias) = real.shape[1], layers[0]
    first = torch.baddbmm(bias[:, None], torch.cat([real, fake], 1), weight.mT)
    h = first
    for w, b in layers[1:]:
        h = torch.baddbmm(b[:, None], h.relu(), w.mT)
    v = _leading(layers, torch.lerp(first[:, n:], first[:, :n], u))
    square = (v @ (weight @ weight.mT) * v).sum(-1)
    return h[:, :n, 0], h[:, n:, 0], square.clamp(min=1e-12).sqrt()


def _leading(layers: list[tuple[Tensor, Tensor]], first: Tensor) -> Tensor:
    """Give ``v [G, n, h]``, the gradient of the critic in the outputs ``first`` of its first layer."""
    masks = []
    with torch.no_grad():
        h = first
        for w, b in layers[1:]:
            masks.append(h > 0)
            h = torch.baddbmm(b[:, None], h.relu(), w.mT)
    v = layers[-1][0].expand(-1, first.shape[1], -1) * masks[-1]
    for (w, _), mask in zip(layers[-2:0:-1], masks[-2::-1], strict=True):
        v = torch.bmm(v, w) * mask
    return v
