"""The functional view of an ``nn.Module``: weights in, outputs out, for one network or a stack of them."""

import copy
import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from apdlab.types import Params, is_count

_POINTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.Softplus, nn.LeakyReLU, nn.Identity)
_STACKABLE = (nn.Flatten, nn.Linear, nn.Dropout, *_POINTWISE)  # in evaluation mode dropout is the identity
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_UNFIT = re.compile(r"shape|size|dim|dtype|channel|index out of range", re.IGNORECASE)  # how torch says it


class Network:
    """Views a module as a function of its weights.

    ``network(params, x)`` evaluates one network per leading axis of ``params``. The weights of a stack are one matrix
    ``theta [S, D]``, whose named views ``network.unravel(theta)`` share its memory. Three ways to evaluate a stack are
    used, equal up to rounding: batched products for a ``Sequential`` of ``Linear`` and pointwise layers, a loop for
    modules with convolutions (their ``vmap`` is a slow grouped convolution), ``torch.func.vmap`` for all else.

    Args:
        module: Any module with parameters of one floating dtype and without buffers. It is copied and put in
            evaluation mode, in which dropout does nothing (``posterior.dropout`` makes draws of it); its weights are
            ``network.ravel(dict(module.named_parameters()))``. Weights that layers share (tied) count once.

    Raises:
        ValueError: If it is no module, or has buffers (BatchNorm), no parameters, parameters of several dtypes, that
            wait for a first input (lazy) or that are frozen.

    Example:
        >>> import torch
        >>> network = mlp(2, 10, 3)
        >>> theta = torch.stack([network.init(torch.Generator().manual_seed(s)) for s in range(5)])
        >>> network(network.unravel(theta), torch.zeros(1, 7, 2)).shape
        torch.Size([5, 7, 3])
    """

    def __init__(self, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise ValueError(f"module is {str(module)[:80]!r}; wanted an nn.Module, e.g. nn.Linear(2, 3)")
        self.module = copy.deepcopy(module).eval()
        _refuse_unfit(self.module)
        leaves = dict(self.module.named_parameters())
        dtypes = {p.dtype for p in leaves.values()}
        if len(dtypes) != 1 or not next(iter(dtypes)).is_floating_point:
            seen = ", ".join(sorted(map(str, dtypes))) or "none"
            raise ValueError(f"module has parameters of dtype {seen}; wanted parameters of one floating dtype")
        self.dtype: torch.dtype = dtypes.pop()
        self.shapes: dict[str, torch.Size] = {name: p.shape for name, p in leaves.items()}
        self.size: int = sum(shape.numel() for shape in self.shapes.values())
        self._single, self._stacked = _functional(self.module), _choose_stacked(self.module)

    def __repr__(self) -> str:
        return f"Network({self.size:,} weights in {len(self.shapes)} tensors)\n{self.module}"

    def init(self, generator: torch.Generator) -> Tensor:
        """Draw the weights ``theta [D]`` as the module's layers initialise themselves (``reset_parameters``).

        A parameter whose owner has no ``reset_parameters`` keeps its value. A module resets before those inside it.
        """
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        module = copy.deepcopy(self.module).cpu()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed accelerators too
            for layer in module.modules():
                if callable(reset := getattr(layer, "reset_parameters", None)):
                    reset()
        return self.ravel(dict(module.named_parameters())).to(generator.device)

    def unravel(self, theta: Tensor) -> Params:
        """Name the parts of ``theta [..., D]``: views, no copy, with the same leading axes.

        Raises:
            ValueError: If the last axis is not ``D`` long.
        """
        if theta.shape[-1] != self.size:
            seen = f"theta has {theta.shape[-1]:,} weights; this network has {self.size:,}"
            raise ValueError(f"{seen}; wanted as many: draws belong to the network that they were sampled with")
        parts = theta.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        leaves = zip(self.shapes.items(), parts, strict=True)
        return {name: part.unflatten(-1, shape) if shape else part[..., 0] for (name, shape), part in leaves}

    def ravel(self, params: Mapping[str, Tensor]) -> Tensor:
        """Join named weights with equal leading axes to ``theta [..., D]``, detached.

        Raises:
            ValueError: If a name is missing or a shape does not fit.
        """
        flat = []
        for name, shape in self.shapes.items():
            if name not in params:
                raise ValueError(f"params lacks {name!r}; wanted the names {list(self.shapes)}")
            leaf = params[name].detach()
            lead = leaf.shape[: leaf.ndim - len(shape)]
            if leaf.shape[len(lead) :] != shape:
                raise ValueError(f"params[{name!r}] has shape {tuple(leaf.shape)}; wanted {('...', *shape)}")
            flat.append(leaf.reshape(*lead, shape.numel()))
        return torch.cat(flat, dim=-1)

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """Evaluate one network, or a stack of them.

        Args:
            params: Leaves ``[*shape]`` of one network, or ``[S, *shape]`` of a stack.
            x: ``[N, ...]`` for one network; for a stack ``[1, N, ...]`` (shared) or ``[S, N, ...]`` (one batch each).

        Returns:
            Outputs ``[N, K]``, or ``[S, N, K]``.

        Raises:
            ValueError: If ``x`` does not fit the module, the weights' dtype and device, or the stack (a leading axis
                of 1 or ``S``), or if the module gives anything but one tensor ``[N, K]``.
        """
        if not isinstance(params, dict):
            raise ValueError(f"params is a {type(params).__name__}; wanted named weights: network.unravel(theta)")
        name, shape = next(iter(self.shapes.items()))
        leaf = params[name]
        if x.device != leaf.device or x.dtype != leaf.dtype:
            _refuse_mismatch(x, leaf)
        alone = leaf.ndim == len(shape)
        if not alone and x.shape[:1] not in ((1,), leaf.shape[:1]):
            wanted = f"[1, N, ...] (shared, e.g. x[None]) or [{len(leaf)}, N, ...], one batch a network"
            raise ValueError(f"x has shape {tuple(x.shape)}; wanted {wanted}")
        try:
            return self._single(params, x) if alone else self._stacked(params, x)
        except (RuntimeError, IndexError) as error:  # asking first would need to know what each layer takes
            if isinstance(error, torch.OutOfMemoryError) or (x.is_floating_point() and not _UNFIT.search(str(error))):
                raise
            reason, first = " ".join(str(error).split())[:160], f"{name} {list(shape)} of {leaf.dtype}"
            seen = f"x is {x.dtype} {list(x.shape)}, which the module cannot take ({reason})"
            raise ValueError(f"{seen}; wanted inputs that fit its first weights, {first}") from error


def mlp(*sizes: int, activation: type[nn.Module] = nn.ReLU, dtype: torch.dtype = torch.float32) -> Network:
    """Build a fully connected network, e.g. ``mlp(784, 100, 10)``; images are flattened.

    Args:
        sizes: Number of inputs, of the units of each hidden layer, of outputs.
        activation: The pointwise layer between two linear ones.
        dtype: Of the weights.

    Returns:
        A ``Network`` with ``sum_l (n_l + 1) n_{l+1}`` weights.

    Raises:
        ValueError: If fewer than two sizes are given or one is below 1.

    Example:
        >>> mlp(784, 100, 10).size
        79510
    """
    if len(sizes) < 2 or not all(map(is_count, sizes)):
        raise ValueError(f"sizes is {sizes}; wanted inputs and outputs at least, 1 or more, e.g. mlp(784, 100, 10)")
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, dtype=dtype), activation()]
    return Network(nn.Sequential(*layers[:-1]))


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


def _refuse_unfit(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if buffers := [key for key, _ in part.named_buffers(recurse=False)]:
            where = f"{type(part).__name__} {name!r}" if name else type(part).__name__
            fix = "replace BatchNorm by GroupNorm or LayerNorm, and make constants plain attributes"
            wanted = f"a module whose only state is its parameters: {fix}"
            raise ValueError(f"module has buffers {buffers} in {where}; wanted {wanted}")
    if lazy := [name for name, leaf in module.named_parameters() if nn.parameter.is_lazy(leaf)]:
        raise ValueError(f"module has lazy parameters, {lazy[0]!r} first; wanted shapes: call module(x[:1]) once")
    if frozen := [name for name, leaf in module.named_parameters() if not leaf.requires_grad]:
        fix = "module.requires_grad_(True), or let x be what the frozen part gives and module the rest"
        raise ValueError(f"module has {len(frozen)} frozen parameters, {frozen[0]!r} first; wanted none: {fix}")


def _refuse_mismatch(x: Tensor, leaf: Tensor) -> None:
    if x.device != leaf.device:
        there = f"data.to('{leaf.device}') or theta.to('{x.device}')"
        raise ValueError(f"x is on {x.device}, the weights on {leaf.device}; wanted one device: {there}")
    if x.is_floating_point():  # integers are for an embedding
        seen, own = (str(part.dtype).removeprefix("torch.") for part in (x, leaf))
        back, cast = (part.type().rpartition(".")[2].removesuffix("Tensor").lower() for part in (x, leaf))
        raise ValueError(f"x is {seen}, the network {own}; wanted one dtype: data(x.{cast}(), y) or module.{back}()")


def _functional(module: nn.Module) -> Callable[[Params, Tensor], Tensor]:
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


def _checked(outputs: Tensor, x: Tensor) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise ValueError(f"module gives a {type(outputs).__name__}; wanted a forward that gives one tensor [N, K]")
    if outputs.ndim < 2 or outputs.shape[0] != x.shape[0]:
        seen = f"outputs {list(outputs.shape)} for inputs {list(x.shape)}"
        raise ValueError(f"module gives {seen}; wanted [N, K], even if K is 1: look for squeeze or mean in its forward")
    return outputs


def _choose_stacked(module: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    """Choose how a stack is evaluated by what the module is made of, so that a chain is the same on every run."""
    # The exact types only: a subclass may compute something else.
    if type(module) is nn.Sequential and all(type(m) in _STACKABLE for m in module):
        if all(m.start_dim == 1 and m.end_dim == -1 for m in module if isinstance(m, nn.Flatten)):
            return _stacked_sequential(module)
    if any(isinstance(part, _CONVOLUTIONS) for part in module.modules()):
        return _looped(module)
    return _vmapped(module)


def _stacked_sequential(module: nn.Sequential) -> Callable[[Params, Tensor], Tensor]:
    names = {leaf: name for name, leaf in module.named_parameters()}  # leaves that are tied have one name
    leaves = [[names.get(getattr(layer, key, None)) for key in ("weight", "bias")] for layer in module]

    def forward(params: Params, x: Tensor) -> Tensor:
        h = x
        for layer, (weight, bias) in zip(module, leaves, strict=True):
            if weight is not None:
                h = _stacked_linear(params[weight], None if bias is None else params[bias], h)
            else:
                h = h.flatten(2) if isinstance(layer, nn.Flatten) else layer(h)
        return h

    return forward


def _stacked_linear(weight: Tensor, bias: Tensor | None, h: Tensor) -> Tensor:
    """Multiply ``h [1 or S, N, ..., I]`` by ``weight [S, O, I]``; a shared ``h`` is one wide product."""
    stack, outputs, _ = weight.shape
    if h.shape[0] == 1 and stack > 1:
        wide = nn.functional.linear(h[0], weight.flatten(0, 1), None if bias is None else bias.flatten())
        return wide.unflatten(-1, (stack, outputs)).movedim(-2, 0)
    rows = h.flatten(1, -2)
    out = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
    return out.unflatten(1, h.shape[1:-1])


def _vmapped(module: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    one = _functional(module)

    def forward(params: Params, x: Tensor) -> Tensor:
        return vmap(one, in_dims=(0, None))(params, x[0]) if x.shape[0] == 1 else vmap(one)(params, x)

    return forward


def _looped(module: nn.Module) -> Callable[[Params, Tensor], Tensor]:
    one = _functional(module)

    def forward(params: Params, x: Tensor) -> Tensor:
        stack = len(next(iter(params.values())))
        # Unbound once: the backward of indexing fills a whole stack of zeros for each network.
        each = zip(*(leaf.unbind() for leaf in params.values()), strict=True)
        stacked = zip(each, x.expand(stack, *x.shape[1:]).unbind(), strict=True)
        return torch.stack([one(dict(zip(params, leaves, strict=True)), xs) for leaves, xs in stacked])

    return forward
