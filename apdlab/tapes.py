"""How gradients of a stack's outputs become gradients of its weights, or of its input: by hand, or by autograd."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apdlab.stacks import LONG, WIDE, dots, layers_of, linear, passed_on
from apdlab.types import Params

Add = Callable[[Tensor, float | Tensor], None]  # (into [S, D], times): adds times a gradient to it
Pull = Callable[[Tensor], tuple[Tensor, Add]]  # a slope of outputs [S, N, K] -> <theta, its gradient> [S], and add


class _Bend(NamedTuple):
    """A layer without weights, on the tape: its input, and its output with the graph between them."""

    before: Tensor
    after: Tensor

    def back(self, slope: Tensor) -> Tensor:
        return torch.autograd.grad(self.after, self.before, slope.to(self.after.dtype), retain_graph=True)[0]


class _Relu(NamedTuple):
    """A rectifier, on the tape: in a small network autograd of it would take longer than all else."""

    after: Tensor

    def back(self, slope: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward(slope, self.after, 0)  # as autograd does: one pass, no mask


class _Flat(NamedTuple):
    """A flattening, on the tape: the shape that it was."""

    shape: torch.Size

    def back(self, slope: Tensor) -> Tensor:
        return slope.reshape(self.shape)


class _Product(NamedTuple):
    """A linear layer, on the tape: the names of its weights, its input ``h``, its weight ``w`` and its output.

    A rectifier after it works in place: where it changes ``out`` the slope is 0, and their product the same.
    """

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
        if grad.dtype == slope.dtype and grad[0].numel() >= LONG:  # it is done network by network
            grad.baddbmm_(slope.mT, rows, alpha=times)
        else:
            grad.add_(torch.bmm(slope.mT, rows), alpha=times)
        if self.bias:
            grads[self.bias].add_(slope.sum(1, dtype=grad.dtype), alpha=times)


_OnTape = _Bend | _Relu | _Flat | _Product


class Tape(NamedTuple):
    """What a forward pass leaves for the way back: its layers, from the first, and the dtype of the weights."""

    layers: list[_OnTape]
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
    layers = layers_of(module)

    def forward(params: Params, x: Tensor) -> tuple[Tensor, Tape]:
        h, passed = x.detach().to(products), []
        for layer, weight, bias in layers:
            if weight is None:
                h = _bend(layer, h, passed)
            else:
                w, b = params[weight].to(products), params[bias].to(products) if bias else None
                before, h = h, linear(w, b, h)
                passed.append(_Product(weight, bias, before, w, h))
        return h.to(x.dtype), Tape(passed, x.dtype)

    return torch.no_grad()(forward)


def _bend(layer: nn.Module, h: Tensor, passed: list[_OnTape]) -> Tensor:
    if isinstance(layer, nn.ReLU):
        passed.append(_Relu(h.relu_() if passed and isinstance(passed[-1], _Product) else h.relu()))
        return passed[-1].after
    if isinstance(layer, nn.Flatten):
        passed.append(_Flat(h.shape))
        return h.flatten(2)
    before = h.detach().requires_grad_()
    with torch.enable_grad():  # what works in place may not do so on what is asked about
        after = passed_on(layer, before.clone() if getattr(layer, "inplace", False) else before)
    passed.append(_Bend(before, after))
    return after.detach()
