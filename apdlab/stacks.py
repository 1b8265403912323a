"""How a stack of networks is evaluated, and how gradients of its outputs become gradients of its weights."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from apdlab.types import Params

_POINTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Softplus, nn.LeakyReLU, nn.Identity)
_STACKABLE = (nn.Flatten, nn.Linear, nn.Dropout, *_POINTWISE)  # in evaluation mode dropout is the identity
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WIDE = 64  # rows from which one product of all units is worth a copy of their weights

Forward = Callable[[Params, Tensor], Tensor]
Layer = tuple[nn.Module, str | None, str | None]  # and the names of its weight and bias


def single(module: nn.Module) -> Forward:
    """View the module as a function of one network's weights, each put in every place that shares it."""
    # tie_weights takes a layer used twice for two, and leaves weights in it: github.com/pytorch/pytorch/issues/164759
    names = {leaf: name for name, leaf in module.named_parameters()}
    places = {
        f"{path}.{key}".lstrip("."): names[leaf]
        for path, part in module.named_modules()
        for key, leaf in part.named_parameters(recurse=False, remove_duplicate=False)
    }

    def forward(params: Params, x: Tensor) -> Tensor:
        leaves = {place: params[name] for place, name in places.items()}
        return _checked(functional_call(module, leaves, (x,), tie_weights=False), x)

    return forward


def stacked(module: nn.Module) -> Forward:
    """Choose how a stack is evaluated by what the module is made of, so that a chain is the same on every run."""
    if is_plain(module):
        return _batched(module)
    if any(isinstance(part, _CONVOLUTIONS) for part in module.modules()):
        return looped(module)
    return vmapped(module)


def is_plain(module: nn.Module) -> bool:
    """Say whether it is a ``Sequential`` of linear and pointwise layers: a stack of it is a few batched products."""
    # The exact types only: a subclass may compute something else.
    if type(module) is not nn.Sequential or not all(type(m) in _STACKABLE for m in module):
        return False
    return all(m.start_dim == 1 and m.end_dim == -1 for m in module if isinstance(m, nn.Flatten))


def _batched(module: nn.Sequential) -> Forward:
    layers = _named(module)
    return lambda params, x: _forward(layers, params, x)


def _forward(layers: list[Layer], params: Params, h: Tensor) -> Tensor:
    for layer, weight, bias in layers:
        h = _apply(layer, h) if weight is None else _linear(params[weight], params.get(bias), h)
    return h


class Tape(NamedTuple):
    """What a forward pass leaves for the way back: a step for each layer, ``(slope, grads) -> slope``.

    With ``grads``, named like the weights, a step adds to them; ``first`` is the number of the first linear layer.
    """

    steps: list[Callable[..., Tensor]]
    first: int

    def add_to(self, grads: Params, slope: Tensor) -> None:
        """Pull a gradient of the outputs ``[S, N, K]`` back to the weights, and add it to theirs."""
        for step in self.steps[: self.first : -1]:
            slope = step(slope, grads)
        self.steps[self.first](slope, grads, last=True)

    def to_input(self, slope: Tensor) -> Tensor:
        """Pull a gradient of the outputs ``[S, N, K]`` back to the input, ``[1 or S, N, ...]`` as it was."""
        for step in reversed(self.steps):
            slope = step(slope, None)
        return slope


def taped(module: nn.Sequential, products: torch.dtype) -> Callable[[Params, Tensor], tuple[Tensor, Tape]]:
    """Evaluate a plain stack so that its gradients can be had, layer by layer and without a graph of the weights.

    The gradient of a weight is one product, added where it belongs: autograd makes it elsewhere, joins it to the others
    and copies it twice.

    Args:
        module: A plain one, see :func:`is_plain`.
        products: In which dtype to multiply.

    Returns:
        ``(params, x) -> (outputs, tape)``.
    """
    layers = _named(module)
    first = next(i for i, (_, weight, _) in enumerate(layers) if weight is not None)

    def forward(params: Params, x: Tensor) -> tuple[Tensor, Tape]:
        h, steps = x.detach().to(products), []
        for layer, weight, bias in layers:
            if weight is None:
                h, step = _bend(layer, h)
            else:
                w, b = params[weight].to(products), params[bias].to(products) if bias else None
                h, step = _linear(w, b, h), partial(_pull_linear, weight, bias, h, w)
            steps.append(step)
        return h.to(x.dtype), Tape(steps, first)

    return torch.no_grad()(forward)


def _bend(layer: nn.Module, h: Tensor) -> tuple[Tensor, Callable]:
    before = h.requires_grad_()
    with torch.enable_grad():  # what works in place may not do so on what is asked about
        after = _apply(layer, before.clone() if getattr(layer, "inplace", False) else before)
    return after.detach(), partial(_pull_bend, before, after)


def _pull_bend(before: Tensor, after: Tensor, slope: Tensor, _: Params | None) -> Tensor:
    return torch.autograd.grad(after, before, slope.to(after.dtype), retain_graph=True)[0]


def _pull_linear(
    weight: str, bias: str | None, h: Tensor, w: Tensor, slope: Tensor, grads: Params | None, last: bool = False
) -> Tensor:
    slope = slope.to(h.dtype).flatten(1, -2)
    if grads is not None:
        rows, grad = h.flatten(1, -2).expand(len(slope), -1, -1), grads[weight]
        if grad.dtype == h.dtype:
            grad.baddbmm_(slope.mT, rows)
        else:
            grad.add_(torch.bmm(slope.mT, rows))
        if bias:
            grads[bias].add_(slope.sum(1, dtype=grad.dtype))
    if last:
        return slope
    if len(h) > 1 or slope.shape[1] < WIDE:
        back = torch.bmm(slope, w).unflatten(1, h.shape[1:-1])
        return back if len(h) > 1 else back.sum(0, keepdim=True)
    back = torch.zeros_like(h)
    for each, weights in zip(slope, w, strict=True):  # no stack of gradients as wide as the input
        back.flatten(0, -2).addmm_(each, weights)
    return back


def through_basis(module: nn.Sequential, basis: Params, offset: Params, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Evaluate networks ``offset + codes @ basis`` on one ``x`` without making the weights of their first layer.

    Their first products are combinations of those of the basis, which are made once for all: they cost as much as ``k``
    networks, and then each network ``k`` numbers an output instead of one an input.

    Args:
        module: A plain one, see :func:`is_plain`.
        basis: Leaves ``[k, ...]``.
        offset: Leaves ``[...]``.
        x: Inputs ``[N, ...]``.

    Returns:
        ``codes [s, k] -> outputs [s, N, K]``.
    """
    layers, h = _named(module), x[None]
    while layers[0][1] is None:
        h = _apply(layers.pop(0)[0], h)
    _, weight, bias = layers.pop(0)
    start = _linear(offset[weight][None], offset[bias][None] if bias else None, h)
    first = _linear(basis[weight], basis.get(bias), h).flatten(1)
    later = {name for _, *names in layers for name in names if name}

    def forward(codes: Tensor) -> Tensor:
        params = {name: _combined(codes, basis[name], offset[name]) for name in later}
        return _forward(layers, params, _combined(codes, first, start[0]))

    return forward


def _combined(codes: Tensor, basis: Tensor, offset: Tensor) -> Tensor:
    return torch.addmm(offset.flatten(), codes, basis.flatten(1)).unflatten(1, offset.shape)


def _named(module: nn.Sequential) -> list[Layer]:
    names = {leaf: name for name, leaf in module.named_parameters()}  # leaves that are tied have one name
    return [(m, *(names.get(getattr(m, key, None)) for key in ("weight", "bias"))) for m in module]


def _apply(layer: nn.Module, h: Tensor) -> Tensor:
    return h.flatten(2) if isinstance(layer, nn.Flatten) else layer(h)


def _linear(weight: Tensor, bias: Tensor | None, h: Tensor) -> Tensor:
    """Multiply ``h [1 or S, N, ..., I]`` by ``weight [S, O, I]``; many shared rows in one wide product."""
    stack, outputs, _ = weight.shape
    if h.shape[0] == 1 and stack > 1 and h[0, ..., 0].numel() >= WIDE:
        wide = nn.functional.linear(h[0], weight.flatten(0, 1), None if bias is None else bias.flatten())
        return wide.unflatten(-1, (stack, outputs)).movedim(-2, 0)
    rows = h.flatten(1, -2).expand(stack, -1, -1)
    out = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
    return out.unflatten(1, h.shape[1:-1])


def vmapped(module: nn.Module) -> Forward:
    """Evaluate a stack by ``torch.func.vmap``, which takes almost any module."""
    one = single(module)

    def forward(params: Params, x: Tensor) -> Tensor:
        return vmap(one, in_dims=(0, None))(params, x[0]) if x.shape[0] == 1 else vmap(one)(params, x)

    return forward


def looped(module: nn.Module) -> Forward:
    """Evaluate a stack network by network: the ``vmap`` of a convolution is a slow grouped one."""
    one = single(module)

    def forward(params: Params, x: Tensor) -> Tensor:
        stack = len(next(iter(params.values())))
        # Unbound once: the backward of indexing fills a whole stack of zeros for each network.
        each = zip(*(leaf.unbind() for leaf in params.values()), strict=True)
        shared = zip(each, x.expand(stack, *x.shape[1:]).unbind(), strict=True)
        return torch.stack([one(dict(zip(params, leaves, strict=True)), xs) for leaves, xs in shared])

    return forward


def _checked(outputs: Tensor, x: Tensor) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise ValueError(f"module gives a {type(outputs).__name__}; wanted a forward that gives one tensor [N, K]")
    if outputs.ndim < 2 or outputs.shape[0] != x.shape[0]:
        seen = f"outputs {list(outputs.shape)} for inputs {list(x.shape)}"
        raise ValueError(f"module gives {seen}; wanted [N, K], even if K is 1: look for squeeze or mean in its forward")
    return outputs
