"""How a stack of networks is evaluated, and how gradients of its outputs become gradients of its weights."""

from collections.abc import Callable
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
Add = Callable[[Tensor, float | Tensor], None]  # (into [S, D], times): adds times a gradient to it
Pull = Callable[[Tensor], tuple[Tensor, Add]]  # a slope of outputs [S, N, K] -> <theta, its gradient> [S], and add
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


class _Bend(NamedTuple):
    """A layer without weights, on the tape: its input, and its output with the graph between them."""

    before: Tensor
    after: Tensor

    def back(self, slope: Tensor) -> Tensor:
        return torch.autograd.grad(self.after, self.before, slope.to(self.after.dtype), retain_graph=True)[0]


class _Product(NamedTuple):
    """A linear layer, on the tape: the names of its weights, its input ``h``, its weight ``w`` and its output."""

    weight: str
    bias: str | None
    h: Tensor
    w: Tensor
    out: Tensor

    def back(self, slope: Tensor) -> Tensor:
        h, slope = self.h, slope.to(self.h.dtype).flatten(1, -2)
        if len(h) > 1 or slope.shape[1] < WIDE:
            back = torch.bmm(slope, self.w).unflatten(1, h.shape[1:-1])
            return back if len(h) > 1 else back.sum(0, keepdim=True)
        back = h.new_zeros(h.shape)
        for each, weights in zip(slope, self.w, strict=True):  # no stack of gradients as wide as the input
            back.flatten(0, -2).addmm_(each, weights)
        return back

    def along_weights(self, slope: Tensor, dtype: torch.dtype) -> Tensor:
        """Multiply weight and bias by their gradients: ``<W, s'h> + <b, s> = <s, W h + b>``, ``[S]``."""
        return dots(slope.to(dtype).flatten(1), self.out.to(dtype).flatten(1))

    def add_to(self, grads: Params, slope: Tensor, times: float) -> None:
        grad, slope = grads[self.weight], slope.to(self.h.dtype).flatten(1, -2)
        rows = self.h.flatten(1, -2).expand(len(slope), -1, -1)
        if grad.dtype == slope.dtype:
            grad.baddbmm_(slope.mT, rows, alpha=times)
        else:
            grad.add_(torch.bmm(slope.mT, rows), alpha=times)
        if self.bias:
            grads[self.bias].add_(slope.sum(1, dtype=grad.dtype), alpha=times)


class Tape(NamedTuple):
    """What a forward pass leaves for the way back: its layers, from the first, and the dtype of the weights."""

    layers: list[_Bend | _Product]
    dtype: torch.dtype

    def to_weights(self, unravel: Callable[[Tensor], Params], slope: Tensor) -> tuple[Tensor, Add]:
        """Pull a gradient of the outputs ``[S, N, K]`` back to the weights; ``add`` does not need them any more."""
        first = next(i for i, layer in enumerate(self.layers) if isinstance(layer, _Product))
        met: list[tuple[_Product, Tensor]] = []
        for layer in self.layers[:first:-1]:
            if isinstance(layer, _Product):
                met.append((layer, slope))
            slope = layer.back(slope)
        met.append((self.layers[first], slope))
        along = sum(layer.along_weights(its, self.dtype) for layer, its in met)

        def add(into: Tensor, times: float | Tensor) -> None:
            grads = unravel(into)
            for layer, its in met:
                if isinstance(times, Tensor):
                    layer.add_to(grads, (its.flatten(1) * times).view(its.shape), 1.0)
                else:
                    layer.add_to(grads, its, times)

        return along, add

    def to_input(self, slope: Tensor) -> Tensor:
        """Pull a gradient of the outputs ``[S, N, K]`` back to the input, ``[1 or S, N, ...]`` as it was."""
        for layer in reversed(self.layers):
            slope = layer.back(slope)
        return slope


def graphed(evaluate: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Evaluate so that autograd can pull a gradient of the outputs back to what they are of: ``slope -> gradient``."""
    leaf = at.detach().requires_grad_()
    with torch.enable_grad():
        outputs = evaluate(leaf)
    return outputs.detach(), lambda slope: torch.autograd.grad(outputs, leaf, slope)[0]


def to_weights(graph: Callable[[Tensor], Tensor], theta: Tensor, slope: Tensor) -> tuple[Tensor, Add]:
    """Pull a gradient of the outputs ``[S, N, K]`` back to ``theta [S, D]`` by autograd, as a tape does by hand."""
    grad = graph(slope)
    return dots(theta, grad), lambda into, times: into.add_(grad * times)


def dots(a: Tensor, b: Tensor) -> Tensor:
    """Multiply chain by chain, ``sum_d a_cd b_cd``: ``[C]``; ``linalg.vecdot`` writes all products down before it sums.

    Example:
        >>> import torch
        >>> dots(torch.ones(2, 3), torch.full((2, 3), 2.0))
        tensor([6., 6.])
    """
    if a.shape[-1] < 10_000:
        return torch.linalg.vecdot(a, b)
    return torch.stack([torch.dot(x, y) for x, y in zip(a, b, strict=True)])


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

    def forward(params: Params, x: Tensor) -> tuple[Tensor, Tape]:
        h, passed = x.detach().to(products), []
        for layer, weight, bias in layers:
            if weight is None:
                h = _bend(layer, h, passed)
            else:
                w, b = params[weight].to(products), params[bias].to(products) if bias else None
                before, h = h, _linear(w, b, h)
                passed.append(_Product(weight, bias, before, w, h))
        return h.to(x.dtype), Tape(passed, x.dtype)

    return torch.no_grad()(forward)


def _bend(layer: nn.Module, h: Tensor, passed: list[_Bend | _Product]) -> Tensor:
    before = h.detach().requires_grad_()
    with torch.enable_grad():  # what works in place may not do so on what is asked about
        after = _apply(layer, before.clone() if getattr(layer, "inplace", False) else before)
    passed.append(_Bend(before, after))
    return after.detach()


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
