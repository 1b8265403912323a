"""How a stack of networks is evaluated."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from apdlab.types import Params

_POINTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Softplus, nn.LeakyReLU, nn.Identity)
_STACKABLE = (nn.Flatten, nn.Linear, nn.Dropout, *_POINTWISE)  # in evaluation mode dropout is the identity
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LONG = 10_000  # weights from which a chain at a time, in the cache, is faster than all at once
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
    layers = layers_of(module)
    return lambda params, x: _forward(layers, params, x)


def _forward(layers: list[Layer], params: Params, h: Tensor, ours: bool = False) -> Tensor:
    for layer, weight, bias in layers:
        if weight is not None:
            h, ours = linear(params[weight], params.get(bias), h), True
        elif ours and isinstance(layer, nn.ReLU) and not h.requires_grad:
            h.relu_()  # no second tensor of this size, which may not fit into the cache
        else:
            h = passed_on(layer, h)
    return h


def dots(a: Tensor, b: Tensor) -> Tensor:
    """Multiply chain by chain, ``sum_d a_cd b_cd``: ``[C]``; ``linalg.vecdot`` writes all products down before it sums.

    Example:
        >>> import torch
        >>> dots(torch.ones(2, 3), torch.full((2, 3), 2.0))
        tensor([6., 6.])
    """
    if a.shape[-1] < LONG:
        return torch.linalg.vecdot(a, b)
    return torch.stack([torch.dot(x, y) for x, y in zip(a, b, strict=True)])


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
    layers, h = layers_of(module), x[None]
    while layers[0][1] is None:
        h = passed_on(layers.pop(0)[0], h)
    _, weight, bias = layers.pop(0)
    start = _each(offset[weight][None], offset[bias][None] if bias else None, h)
    first = torch.cat([_each(basis[weight], basis.get(bias), h), start])
    later = {name for _, *names in layers for name in names if name}
    rest = {name: torch.cat([basis[name], offset[name][None]]) for name in later}

    def forward(codes: Tensor) -> Tensor:
        once = nn.functional.pad(codes, (0, 1), value=1.0)  # of the offset
        params = {name: _combined(once, leaf) for name, leaf in rest.items()}
        return _forward(layers, params, _combined(once, first), ours=True)

    return forward


def _combined(codes: Tensor, basis: Tensor) -> Tensor:
    return (codes @ basis.flatten(1)).unflatten(1, basis.shape[1:])


def layers_of(module: nn.Sequential) -> list[Layer]:
    """Name the weights of each layer of a plain module."""
    names = {leaf: name for name, leaf in module.named_parameters()}  # leaves that are tied have one name
    return [(m, *(names.get(getattr(m, key, None)) for key in ("weight", "bias"))) for m in module]


def passed_on(layer: nn.Module, h: Tensor) -> Tensor:
    """Apply a layer without weights to ``h [1 or S, N, ...]``."""
    return h.flatten(2) if isinstance(layer, nn.Flatten) else layer(h)


def linear(weight: Tensor, bias: Tensor | None, h: Tensor) -> Tensor:
    """Multiply ``h [1 or S, N, ..., I]`` by ``weight [S, O, I]``; many shared rows in one wide product."""
    stack, outputs, _ = weight.shape
    if h.shape[0] == 1 and stack > 1 and h[0, ..., 0].numel() >= WIDE:
        wide = nn.functional.linear(h[0], weight.flatten(0, 1), None if bias is None else bias.flatten())
        return wide.unflatten(-1, (stack, outputs)).movedim(-2, 0)
    return _each(weight, bias, h)


def _each(weight: Tensor, bias: Tensor | None, h: Tensor) -> Tensor:
    rows = h.flatten(1, -2).expand(len(weight), -1, -1)
    out = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
    return out if h.ndim == 3 else out.unflatten(1, h.shape[1:-1])


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
