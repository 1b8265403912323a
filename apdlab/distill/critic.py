r"""Gradients of a pair in training, without double backward; what is as wide as a code is met in a few products alone.

For a ReLU critic ``f`` the gradient is ``grad_y f = W_1^T v`` with ``v = m_1 W_2^T m_2 ... w_L``, as many numbers as
the first layer has units (``m_l``: which units of layer ``l`` are on). So ``|grad_y f|^2 = v^T K v`` with one Gram
matrix ``K = W_1 W_1^T`` a step, and where codes are mixed, so are their first products. The ``m_l`` are constant
almost everywhere, which makes this exact. Generated codes ``A h + a`` come from a linear layer and go into another:
``W_1 (A h + a) + b_1 = M h + s``, with one small matrix ``M = W_1 A`` a step, so they are never formed.

Source: Gulrajani et al., 2017, Improved training of Wasserstein GANs, https://arxiv.org/abs/1704.00028 (the penalty).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.types import Params

Layer = tuple[Tensor, Tensor]


class Products(NamedTuple):
    """What a step needs of anything as wide as a code.

    Attributes:
        first: The outputs of the critic's first layer for real codes, ``W_1 y + b_1``, ``[G, n, h]``.
        matrix: ``M = W_1 A``, from a generator's last hidden units to these, ``[G, h, m]``.
        shift: ``s = W_1 a + b_1``, ``[G, h]``.
        gram: ``K = W_1 W_1^T``, ``[G, h, h]``.
    """

    first: Tensor
    matrix: Tensor
    shift: Tensor
    gram: Tensor


def layers(params: Params) -> list[Layer]:
    """Pair the weights and biases of fully connected networks."""
    leaves = list(params.values())
    return list(zip(leaves[::2], leaves[1::2], strict=True))


def hidden(maker: list[Layer], z: Tensor) -> Tensor:
    """Evaluate all but the last layer of generators, rectified, at latents ``z [G, n, l]``: ``[G, n, m]``."""
    weight, bias = maker[0]
    return _onward(maker[1:-1], torch.baddbmm(bias[:, None], z, weight.mT)).relu()


def products(entry: Layer, last: Layer, real: Tensor) -> Products:
    """Multiply the critic's first layer by real codes ``[G, n, k]``, the generator's last layer, and itself."""
    (weight, bias), (spread, centre) = entry, last
    first = torch.baddbmm(bias[:, None], real, weight.mT)
    return Products(first, weight @ spread, _shifted(entry, centre), weight @ weight.mT)


def scores_and_slopes(found: Products, rest: list[Layer], h: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate ``f(real)``, ``f(fake)`` and ``|grad f|`` at ``fake + u (real - fake)``, differentiable in the weights.

    Args:
        found: Products of the widest layers.
        rest: The layers of ``G`` critics after the first.
        h: Last hidden units of the generators, ``[G, n, m]``.
        u: Where between real and fake, ``[G, n, 1]``, 0 to 1.

    Returns:
        Three times ``[G, n]``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> critic, maker = mlp(2, 3, 1), mlp(4, 5, 2)
        >>> f, g = (layers(net.unravel(torch.ones(1, net.size))) for net in (critic, maker))
        >>> found, h = products(f[0], g[-1], torch.zeros(1, 6, 2)), hidden(g, torch.rand(1, 6, 4))
        >>> [v.shape for v in scores_and_slopes(found, f[1:], h, torch.rand(1, 6, 1))]
        [torch.Size([1, 6]), torch.Size([1, 6]), torch.Size([1, 6])]
    """
    n, fake = h.shape[1], torch.baddbmm(found.shift[:, None], h, found.matrix.mT)
    scores = _onward(rest, torch.cat([found.first, fake], 1))[..., 0]
    v = _leading(rest, torch.lerp(fake, found.first, u))
    square = (v @ found.gram * v).sum(-1)
    return scores[:, :n], scores[:, n:], square.clamp(min=1e-12).sqrt()


def critic_gradient(
    critic: Params, last: Layer, h: Tensor, real: Tensor, u: Tensor, penalty: float, into: Params
) -> Tensor:
    """Write the gradient of ``E f(fake) - E f(real) + penalty E (|grad f| - 1)^2`` in the critics' weights.

    Args:
        critic: Weights and biases, in order, of ``G`` fully connected ReLU critics with one output.
        last: The last layer of the generators, ``A [G, k, m]`` and ``a [G, k]``.
        h: What goes into it, ``[G, n, m]``.
        real: Codes ``[G, n, k]``.
        u: Where between real and fake, ``[G, n, 1]``, 0 to 1.
        penalty: ``lambda``.
        into: Where the gradient is written, in the shapes of ``critic``.

    Returns:
        ``E f(fake) - E f(real)``, ``[G]``.
    """
    entry, *rest = layers(critic)
    found = Products(*map(_leaf, products(entry, last, real)))
    rest = [(_leaf(weight), _leaf(bias)) for weight, bias in rest]
    of_real, of_fake, slope = scores_and_slopes(found, rest, h, u)
    cost = of_fake.mean(1) - of_real.mean(1)
    loss = cost + penalty * (slope - 1).square().mean(1)
    first, matrix, shift, gram, *others = _gradients(loss, found, rest)
    weight, bias, *rooms = into.values()
    torch.bmm(first.mT, real, out=weight)
    weight.baddbmm_(matrix, last[0].mT).baddbmm_(shift[..., None], last[1][:, None])
    weight.baddbmm_(gram + gram.mT, entry[0])
    torch.add(first.sum(1), shift, out=bias)
    _copy(others, rooms)
    return cost.detach()


def generator_gradient(maker: Params, critic: Params, z: Tensor, into: Params) -> None:
    """Write the gradient of ``-E f(fake)`` in the generators' weights.

    Args:
        maker: Weights and biases, in order, of ``G`` generators.
        critic: Those of their critics.
        z: Latents ``[G, n, l]``.
        into: Where the gradient is written, in the shapes of ``maker``.
    """
    (entry, *rest), (*inner, (spread, centre)) = layers(critic), layers(maker)
    inner = [(_leaf(weight), _leaf(bias)) for weight, bias in inner]
    matrix, shift = _leaf(entry[0] @ spread), _leaf(_shifted(entry, centre))
    first = torch.baddbmm(shift[:, None], hidden([*inner, (spread, centre)], z), matrix.mT)
    of_matrix, of_shift, *others = _gradients(-_onward(rest, first).mean((1, 2)), (matrix, shift), inner)
    *rooms, weight, bias = into.values()
    torch.bmm(entry[0].mT, of_matrix, out=weight)
    bias.copy_((of_shift[:, None] @ entry[0])[:, 0])
    _copy(others, rooms)


def _shifted(entry: Layer, centre: Tensor) -> Tensor:
    """Give ``s = W_1 a + b_1``."""
    return torch.baddbmm(entry[1][..., None], entry[0], centre[..., None])[..., 0]


def _onward(layers: list[Layer], h: Tensor) -> Tensor:
    """Give the outputs of the last of some layers, each of which rectifies what goes into it."""
    for weight, bias in layers:
        h = torch.baddbmm(bias[:, None], h.relu(), weight.mT)
    return h


def _leading(rest: list[Layer], first: Tensor) -> Tensor:
    """Give ``v [G, n, h]``, the gradient of the critic in the outputs ``first`` of its first layer."""
    masks, h = [], first.detach()
    with torch.no_grad():
        for layer in rest:
            masks.append(h > 0)
            h = _onward([layer], h)
    v = rest[-1][0].expand(-1, first.shape[1], -1) * masks[-1]
    for (weight, _), mask in zip(rest[-2::-1], masks[-2::-1], strict=True):
        v = torch.bmm(v, weight) * mask
    return v


def _leaf(part: Tensor) -> Tensor:
    return part.detach().requires_grad_()


def _gradients(loss: Tensor, found: tuple[Tensor, ...], rest: list[Layer]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss.sum(), [*found, *(part for layer in rest for part in layer)])


def _copy(grads: list[Tensor], rooms: list[Tensor]) -> None:
    for grad, room in zip(grads, rooms, strict=True):
        room.copy_(grad)
