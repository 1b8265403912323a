"""Inputs unlike the data: other image sets brought to its form, and images that are made."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from apdlab.data.cifar import cifar10_parts
from apdlab.data.images import images_test
from apdlab.data.omniglot import omniglot
from apdlab.streams import stream


def grey(x: Tensor) -> Tensor:
    """Turn colours to grey, ``0.299 R + 0.587 G + 0.114 B``.

    Source: ITU-R BT.601, https://www.itu.int/rec/R-REC-BT.601

    Args:
        x: Images ``[N, 3, H, W]``.

    Returns:
        ``[N, 1, H, W]``.

    Example:
        >>> grey(torch.tensor([1.0, 1.0, -1.0]).view(1, 3, 1, 1))
        tensor([[[[0.7720]]]])
    """
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"x has shape {tuple(x.shape)}; wanted images [N, 3, H, W] of three colours")
    return torch.einsum("nchw,c->nhw", x, x.new_tensor([0.299, 0.587, 0.114]))[:, None]


def shrunk(x: Tensor, side: int = 28) -> Tensor:
    """Make square images smaller: each new pixel is the mean over the area that it covers of the old ones.

    ``y = A x A'``, where ``A_ij`` is the share of new row ``i`` that old row ``j`` fills; a uniform image stays as it
    is and every image keeps its mean.

    Args:
        x: Images ``[N, K, H, H]``.
        side: The new height and width, at most ``H``.

    Returns:
        ``[N, K, side, side]``.

    Example:
        >>> shrunk(torch.arange(9.0).view(1, 1, 3, 3), 2)
        tensor([[[[1.3333, 2.6667], [5.3333, 6.6667]]]])
    """
    if x.ndim != 4 or x.shape[2] != x.shape[3] or not 1 <= side <= x.shape[3]:
        raise ValueError(f"x has shape {tuple(x.shape)} and side is {side}; wanted [N, K, H, H] with 1 <= side <= H")
    old, new = x.shape[3], side
    edges = torch.arange(old + 1, device=x.device, dtype=x.dtype) * new / old
    rows = torch.arange(new, device=x.device, dtype=x.dtype)[:, None]
    share = (edges[1:].minimum(rows + 1) - edges[:-1].maximum(rows)).clamp(min=0)
    return share @ x @ share.T


def out_sets(names: Sequence[str], x: Tensor, *, seed: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Gather sets of inputs unlike the data, as many as there are images in ``x`` and of their form.

    | name | images |
    | --- | --- |
    | notmnist, fashion_mnist | the first test images |
    | omniglot | drawings at random from its first small archive, white on black, made smaller by area |
    | cifar10 | the first images of whatever parts there are, grey, made smaller by area |
    | gaussian | pixels of ``N(0, 1)``; not clamped, a third of them lie outside [-1, 1] |
    | uniform | pixels uniform on [0, 1), as in the paper's code, though those of the data lie in [-1, 1] |
    | permuted | ``x`` with its pixels in another order, the same for all |
    | inverted | ``-x`` |
    | blurred | ``x``, each pixel the mean of 3 x 3 |

    The first four are 28 x 28. A set that is neither in ``APDLAB_DATA`` nor to be had from the web is left out.

    Args:
        names: Which.
        x: Images ``[N, 1, H, W]`` in [-1, 1] like those of the data; not those that the sets will be compared with.
        seed: Of what is random.

    Returns:
        The sets ``[N, 1, H, W]``, fewer images where there are fewer; and for each name a line on what it is, or on why
        it was left out.

    Raises:
        ValueError: If a name is unknown, ``x`` has another form, or a file is damaged.

    Example:
        >>> sets, notes = out_sets(["inverted", "uniform"], torch.ones(5, 1, 8, 8), seed=0)
        >>> {name: tuple(x.shape) for name, x in sets.items()}, notes["inverted"]
        ({'inverted': (5, 1, 8, 8), 'uniform': (5, 1, 8, 8)}, 'the data times -1')
    """
    if x.ndim != 4 or x.shape[1] != 1 or len(x) == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}; wanted grey images [N, 1, H, W], N of 1 or more")
    if unknown := [name for name in names if name not in _SETS]:
        raise ValueError(f"names has {unknown[0]!r}; wanted some of {', '.join(_SETS)}")
    sets, notes = {}, {}
    for name in names:
        try:
            found, notes[name] = _SETS[name](x, stream(seed, f"out/{name}"))
        except FileNotFoundError as error:
            notes[name] = f"left out: {error}"
            continue
        if found.shape[1:] != x.shape[1:]:
            raise ValueError(f"names has {name!r}, 28 x 28; x is {tuple(x.shape)}, so leave the set out")
        sets[name] = found.to(x)
    return sets, notes


def _first(name: str, x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    found = images_test(name).x[: len(x)]
    return found, f"the first {len(found):,} test images"


def _omniglot(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    drawings = omniglot().x
    some = torch.randperm(len(drawings), generator=generator)[: len(x)]
    note = f"{len(some):,} of {len(drawings):,} drawings of images_background_small1, white on black, 105 to 28 by area"
    return shrunk(drawings[some]), note


def _cifar10(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    parts = cifar10_parts(len(x))
    note = " and ".join(f"the first {len(part.y):,} of {name}" for name, part in parts.items())
    return shrunk(grey(torch.cat([part.x for part in parts.values()]))), f"{note}, grey, 32 to 28 by area"


def _gaussian(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    return torch.randn(x.shape, generator=generator), "pixels of N(0, 1), not clamped"


def _uniform(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    return torch.rand(x.shape, generator=generator), "pixels uniform on [0, 1), half of the range of the data"


def _permuted(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    order = torch.randperm(x[0].numel(), generator=generator).to(x.device)
    return x.flatten(1)[:, order].view_as(x), "the data with its pixels in another order, the same for all"


def _inverted(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    return -x, "the data times -1"


def _blurred(x: Tensor, generator: torch.Generator) -> tuple[Tensor, str]:
    return avg_pool2d(pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1), "the data, each pixel the mean of 3 x 3"


_SETS: dict[str, Callable[[Tensor, torch.Generator], tuple[Tensor, str]]] = {
    "notmnist": partial(_first, "notmnist"),
    "fashion_mnist": partial(_first, "fashion_mnist"),
    "omniglot": _omniglot,
    "cifar10": _cifar10,
    "gaussian": _gaussian,
    "uniform": _uniform,
    "permuted": _permuted,
    "inverted": _inverted,
    "blurred": _blurred,
}
