"""The functional view of an ``nn.Module``: weights in, outputs out, for one network or a stack of them."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from apdlab import stacks, tapes
from apdlab.types import Params, is_count

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
        products: The dtype to multiply in, ``torch.bfloat16`` for speed; weights, inputs, outputs and gradients keep
            theirs. None multiplies in theirs.

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

    def __init__(self, module: nn.Module, products: torch.dtype | None = None) -> None:
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
        self._single, self._stacked = stacks.single(self.module), stacks.stacked(self.module)
        self.products = products or self.dtype
        lower = (torch.bfloat16, torch.float16) if self.dtype == torch.float32 else ()  # autocast knows no others
        if self.products not in (self.dtype, *lower):
            wanted = f"None for {self.dtype}, or torch.bfloat16 or torch.float16 for float32"
            raise ValueError(f"products is {products}; wanted {wanted}")
        self.is_plain: bool = stacks.is_plain(self.module)
        self._taped = tapes.taped(self.module, self.products) if self.is_plain else None

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
        return {name: part.view(theta.shape[:-1] + shape) for (name, shape), part in leaves}

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
        with self._in_words(params, x) as alone:
            with self._multiplying(x):
                outputs = self._single(params, x) if alone else self._stacked(params, x)
            return outputs.to(self.dtype)

    def pullback(self, theta: Tensor, x: Tensor) -> tuple[Tensor, tapes.Pull]:
        """Evaluate a stack so that gradients of its outputs can become gradients of its weights.

        A ``Sequential`` of ``Linear`` and pointwise layers is differentiated by hand, all else by autograd.

        Args:
            theta: Weights ``[S, D]``.
            x: ``[1 or S, N, ...]``.

        Returns:
            Outputs ``[S, N, K]``, and ``pull(slope)``, which gives ``<theta, J^T slope>``, ``[S]``, and ``add``:
            ``add(into, times)`` adds ``times J^T slope`` to ``into [S, D]``, which may be ``theta``, in place.

        Example:
            >>> import torch
            >>> network, theta = mlp(2, 1), torch.zeros(1, 3)
            >>> outputs, pull = network.pullback(theta, torch.ones(1, 5, 2))
            >>> along, add = pull(torch.ones(1, 5, 1))
            >>> add(theta, 0.1)
            >>> theta
            tensor([[0.5000, 0.5000, 0.5000]])
        """
        if self._taped is None:
            outputs, graph = tapes.graphed(lambda leaf: self(self.unravel(leaf), x), theta)
            return outputs, partial(tapes.to_weights, graph, theta.detach())
        outputs, tape = self._tape(theta, x)
        return outputs, partial(tape.to_weights, self.unravel)

    def input_pullback(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Evaluate a stack on one ``x`` so that gradients of its outputs can become a gradient of ``x``.

        Args:
            theta: Weights ``[S, D]``.
            x: ``[N, ...]``.

        Returns:
            Outputs ``[S, N, K]``, and ``pull(slope)``, which gives ``sum_s J_s^T slope_s [N, ...]``.

        Example:
            >>> import torch
            >>> network, theta = mlp(2, 1), torch.ones(4, 3)
            >>> outputs, pull = network.input_pullback(theta, torch.ones(5, 2))
            >>> pull(torch.ones(4, 5, 1))[0]
            tensor([4., 4.])
        """
        if self._taped is not None:
            outputs, tape = self._tape(theta, x[None])
            return outputs, lambda slope: tape.to_input(slope)[0].to(x.dtype)
        return tapes.graphed(lambda leaf: self(self.unravel(theta.detach()), leaf[None]), x)

    def _tape(self, theta: Tensor, x: Tensor) -> tuple[Tensor, tapes.Tape]:
        params = self.unravel(theta.detach())
        with self._in_words(params, x):
            return self._taped(params, x)

    def through_basis(self, basis: Tensor, offset: Tensor, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Evaluate networks ``offset + codes @ basis`` on one ``x`` without making their first layers, if ``is_plain``.

        Args:
            basis: ``[k, D]``.
            offset: ``[D]``.
            x: Inputs ``[N, ...]``.

        Returns:
            ``codes [s, k] -> outputs [s, N, K]``.

        Example:
            >>> import torch
            >>> network, codes = mlp(3, 2, 1), torch.tensor([[0.5], [2.0]])
            >>> network.through_basis(torch.ones(1, 11), torch.zeros(11), torch.ones(4, 3))(codes).shape
            torch.Size([2, 4, 1])
        """
        with self._multiplying(x):
            evaluate = stacks.through_basis(self.module, self.unravel(basis), self.unravel(offset), x)

        def outputs(codes: Tensor) -> Tensor:
            with self._multiplying(x):
                return evaluate(codes).to(self.dtype)

        return outputs

    def mixed(self, products: torch.dtype = torch.bfloat16) -> "Network":
        """Give the same network with products in another dtype; weights, inputs and outputs keep theirs.

        Example:
            >>> import torch
            >>> network = mlp(2, 1).mixed(torch.bfloat16)
            >>> network(network.unravel(torch.ones(1, 3)), torch.full((1, 1, 2), 1.001))
            tensor([[[3.]]])
        """
        return Network(self.module, products)

    def _multiplying(self, x: Tensor) -> AbstractContextManager:
        return nullcontext() if self.products == self.dtype else torch.autocast(x.device.type, self.products)

    @contextmanager
    def _in_words(self, params: Params, x: Tensor) -> Iterator[bool]:
        """Say what does not fit, before or after torch does; give whether it is one network, not a stack."""
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
            yield alone
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
