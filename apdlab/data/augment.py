"""Augmentation: minibatches whose images are changed at random in every step.

It is no likelihood. A step counts every image once, but over a run each is seen in many versions: neither one
observation nor as many. What is sampled then is no posterior of the data, whatever it is good for.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from apdlab.data.batches import Batches
from apdlab.streams import stream
from apdlab.types import Batch, is_count

Change = Callable[[Tensor, torch.Generator], Tensor]


def augmented(draw: Batches, change: Change, *, seed: int) -> Batches:
    """Change the images of each minibatch: a function of ``(seed, chain, step)``, as the minibatches are.

    Args:
        draw: ``step -> Batch`` with ``x [C, B, channels, H, W]``.
        change: ``(x [B, channels, H, W], generator) -> x``, e.g. ``shifts(1)`` or ``flips``.
        seed: Of the changes.

    Returns:
        ``step -> Batch`` with the same labels.

    Source: on what it does to a posterior, Izmailov et al., 2021, https://arxiv.org/abs/2104.14421;
    Kapoor et al., 2022, https://arxiv.org/abs/2203.16481

    Example:
        >>> from apdlab.data.batches import batches
        >>> from apdlab.data.toy import digits
        >>> draw = augmented(batches(digits().train, 100, seed=0, chains=2), shifts(1), seed=0)
        >>> draw(0).x.shape
        torch.Size([2, 100, 1, 8, 8])
    """
    stream(seed, "augment")  # refuses a seed that is none

    def changed(step: int) -> Batch:
        x, y, index = draw(step)
        rows = [change(row, stream(seed, f"augment/{step}", chain)) for chain, row in enumerate(x)]
        return Batch(torch.stack(rows), y, index)

    return changed


def shifts(most: int) -> Change:
    """Shift each image by up to so many pixels, in both directions; what comes in repeats the pixels at the edge.

    Raises:
        ValueError: If ``most`` is no whole number of 1 or more; when it is used, if images are not ``[N, C, H, W]``.

    Example:
        >>> shifts(1)(torch.ones(2, 1, 8, 8), torch.Generator()).shape
        torch.Size([2, 1, 8, 8])
    """
    if not is_count(most):
        raise ValueError(f"most is {most}; wanted a whole number of pixels, 1 or more")

    def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
        n, channels, height, width = _images(x)
        down, right = torch.randint(-most, most + 1, (2, n, 1), generator=generator).to(x.device)
        rows = (torch.arange(height, device=x.device) + down).clamp(0, height - 1)
        columns = (torch.arange(width, device=x.device) + right).clamp(0, width - 1)
        each, channel = torch.arange(n, device=x.device), torch.arange(channels, device=x.device)
        return x[each[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]

    return shifted


def flips(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every other image, chosen at random, left to right.

    Example:
        >>> flips(torch.arange(2.0).expand(3, 1, 1, 2), torch.Generator().manual_seed(0))[:, 0, 0, 0]
        tensor([1., 0., 1.])
    """
    mirrored = torch.rand(_images(x)[0], generator=generator).lt(0.5).to(x.device)
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def _images(x: Tensor) -> torch.Size:
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}; wanted images [N, channels, H, W]")
    return x.shape
