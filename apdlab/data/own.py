"""Your own tensors or arrays as a labelled set, and random cuts of a set."""

from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from apdlab.types import Data, Split


def data(x: Tensor | np.ndarray, y: Tensor | np.ndarray, *, device: torch.device | str = "cpu") -> Data:
    """Make a labelled set from tensors or arrays, checked and in the types that networks and likelihoods want.

    Floating ``x`` becomes float32 (float64 stays), uint8 pixels become ``(v/255 - 1/2) / (1/2)``. Integer or boolean
    ``y`` are class labels and become int64; floating ``y`` are targets and get the dtype of ``x``. A plain vector of
    N inputs or targets becomes ``[N, 1]``. Arrays are copied; a tensor that needs no change shares its memory.

    Args:
        x: Inputs ``[N, ...]``, floating numbers or uint8 pixels.
        y: Class labels ``[N]``, counted from 0, or targets ``[N]`` or ``[N, K]``.
        device: Where the set shall live.

    Returns:
        ``Data(x [N, ...], y [N])`` for classes, ``Data(x [N, ...], y [N, K])`` for targets.

    Raises:
        ValueError: If ``x`` or ``y`` is empty, has a dtype or shape not listed here, holds NaN or infinite values
            or negative class labels, or if their lengths differ.

    Example:
        >>> import numpy as np
        >>> data(np.array([[0, 255]], dtype=np.uint8), np.array([1]))
        Data(x=tensor([[-1., 1.]]), y=tensor([1]))
    """
    inputs, targets = _numbers("x", x), _numbers("y", y)
    if len(inputs) != len(targets):
        raise ValueError(f"x has {len(inputs):,} rows and y has {len(targets):,}; wanted one row of y for each of x")
    inputs = _inputs(inputs)
    targets = _targets(targets, inputs.dtype) if targets.is_floating_point() else _classes(targets)
    return Data(inputs, targets).to(device)


def split(data: Data, *, valid: int | float, test: int | float, generator: torch.Generator) -> Split:
    """Cut a set at random into three disjoint parts that together hold every example once.

    Args:
        data: The set, N examples.
        valid: How many examples choices are made on: a count, or a fraction of N in (0, 1), rounded.
        test: How many examples are reported, in the same way.
        generator: Draws the permutation.

    Returns:
        ``Split(train, valid, test)``; the training part is what the other two leave.

    Raises:
        ValueError: If a part would be empty.

    Example:
        >>> import torch
        >>> everything = data(torch.randn(10, 2), torch.arange(10))
        >>> parts = split(everything, valid=2, test=0.3, generator=torch.Generator().manual_seed(0))
        >>> [len(part.y) for part in parts]
        [5, 2, 3]
    """
    n = len(data.y)
    held_out = _count("valid", valid, n), _count("test", test, n)
    if sum(held_out) >= n:
        raise ValueError(
            f"valid={valid} and test={test} take {sum(held_out):,} of {n:,} examples; wanted at least one left to "
            "train on, so ask for less"
        )
    order = torch.randperm(n, generator=generator, device=generator.device).to(data.y.device)
    rows = order.split([n - sum(held_out), *held_out])
    return Split(*(Data(data.x[part], data.y[part]) for part in rows))


def scale_pixels(x: Tensor, top: float = 255.0) -> Tensor:
    """Scale pixels from ``0..top`` to ``[-1, 1]``: ``(v/top - 1/2) / (1/2)``.

    Args:
        x: Pixels of any dtype and shape.
        top: The largest value that a pixel can have.

    Returns:
        A new float32 tensor of the same shape.

    Example:
        >>> import torch
        >>> scale_pixels(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1., 1.])
    """
    return x.to(torch.float32, copy=True).div_(top).sub_(0.5).div_(0.5)


def _numbers(name: str, values: Tensor | np.ndarray) -> Tensor:
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
            raise ValueError(f"{name} has dtype {values.dtype}; wanted numbers, e.g. {name}.astype(np.float32)")
        values = torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("="), order="C"))
    elif not isinstance(values, Tensor):
        seen = type(values).__name__
        raise ValueError(f"{name} is a {seen}; wanted a torch tensor or a numpy array, e.g. np.asarray({name})")
    if values.is_complex():
        raise ValueError(f"{name} has dtype {values.dtype}; wanted real numbers, e.g. {name}.real")
    if values.ndim == 0:
        raise ValueError(f"{name} is a single number; wanted one row an example, e.g. {name}.reshape(1, 1)")
    if values.numel() == 0:
        raise ValueError(f"{name} is empty, shape {list(values.shape)}; wanted at least one example of one number")
    return values.detach()


def _inputs(x: Tensor) -> Tensor:
    x = x[:, None] if x.ndim == 1 else x
    if x.dtype == torch.uint8:
        return scale_pixels(x)
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; wanted floating numbers, or uint8 for pixels of 0 to 255")
    return _finite("x", x if x.dtype == torch.float64 else x.to(torch.float32))


def _targets(y: Tensor, dtype: torch.dtype) -> Tensor:
    if y.ndim > 2:
        raise ValueError(f"y has shape {list(y.shape)}; wanted targets [N] or [N, K], e.g. y.flatten(1)")
    return _finite("y", (y[:, None] if y.ndim == 1 else y).to(dtype))


def _classes(y: Tensor) -> Tensor:
    if y.ndim > 1:
        raise ValueError(
            f"y has shape {list(y.shape)} and dtype {y.dtype}; wanted class labels [N], e.g. y.argmax(1) of one-hot "
            "rows, or floating targets"
        )
    y = y.to(torch.int64)
    if (negative := y < 0).any():
        row = int(negative.nonzero()[0])
        raise ValueError(f"y has the label {int(y[row])} in row {row}; wanted classes counted from 0, e.g. y - y.min()")
    return y


def _finite(name: str, values: Tensor) -> Tensor:
    bad = ~values.isfinite()
    if bad.any():
        nans, row = int(values.isnan().sum()), int(bad.flatten(1).any(1).nonzero()[0])
        raise ValueError(
            f"{name} has {nans:,} NaN and {int(bad.sum()) - nans:,} infinite values as {values.dtype}, the first in "
            f"row {row:,}; wanted finite numbers, so drop those rows or fill them in"
        )
    return values


def _count(name: str, share: int | float, n: int) -> int:
    count = round(share * n) if 0 < share < 1 else share
    if not isinstance(count, Integral) or count < 1:
        raise ValueError(
            f"{name} is {share}, of {n:,} examples; wanted a count of 1 or more, or a fraction in (0, 1) that gives one"
        )
    return int(count)
