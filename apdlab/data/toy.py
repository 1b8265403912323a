"""Small sets that need no file: points to draw decision maps and error bars for, and 8x8 digits."""

import math

import torch

from apdlab.data.own import scale_pixels
from apdlab.types import Data, Split, is_count


def two_clusters(generator: torch.Generator, n: int = 10, *, centre: float = 2.0, variance: float = 0.3) -> Data:
    """Draw two round clusters, ``N((-c, -c), v I)`` of class 0 and ``N((c, c), v I)`` of class 1.

    The toy set of adversarial posterior distillation: K.-C. Wang et al. (2018), https://arxiv.org/abs/1806.10317.

    Args:
        generator: Draws the points, on its device.
        n: Points a class.
        centre: The number c.
        variance: The number v, of each coordinate.

    Returns:
        ``x [2n, 2]`` float32, ``y [2n]`` int64, class 0 first.

    Raises:
        ValueError: If ``n`` is below 1 or ``variance`` is not above 0.

    Example:
        >>> import torch
        >>> two_clusters(torch.Generator().manual_seed(0)).x.shape
        torch.Size([20, 2])
    """
    _check_n(n)
    if not 0 < variance < math.inf:
        raise ValueError(f"variance is {variance}; wanted a finite number above 0")
    y = torch.arange(2, device=generator.device).repeat_interleave(n)
    side = (2 * y[:, None] - 1).to(torch.float32)
    return Data(centre * side + variance**0.5 * _normal(generator, 2 * n, 2), y)


def two_moons(generator: torch.Generator, n: int = 100, *, noise: float = 0.1) -> Data:
    """Draw two interleaved half circles of radius 1, in random order, with scikit-learn's ``make_moons``.

    Args:
        generator: Seeds the draw; the points come on its device.
        n: Points a class.
        noise: Standard deviation of the Gaussian noise on each coordinate.

    Returns:
        ``x [2n, 2]`` float32, ``y [2n]`` int64; class 0 is the upper moon, around (0, 0), class 1 the lower, around
        (1, 1/2).

    Raises:
        ValueError: If ``n`` is below 1 or ``noise`` is negative.

    Example:
        >>> import torch
        >>> two_moons(torch.Generator().manual_seed(0), 50).y.bincount()
        tensor([50, 50])
    """
    from sklearn.datasets import make_moons  # a second of import time that only this set pays

    _check_n(n)
    _check_noise(noise)
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    x, y = make_moons((n, n), noise=noise, random_state=seed)
    return Data(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)).to(generator.device)


def cubic(generator: torch.Generator, n: int = 20, *, noise: float = 3.0) -> Data:
    """Draw the cubic regression set: ``x ~ U(-4, 4)``, ``y = x^3 + N(0, noise^2)``.

    J. M. Hernandez-Lobato and R. P. Adams (2015), https://arxiv.org/abs/1502.05336, with 20 points and noise 3.

    Args:
        generator: Draws the points, on its device.
        n: How many points.
        noise: Standard deviation of the noise on ``y``.

    Returns:
        ``x [n, 1]``, ``y [n, 1]``, float32.

    Raises:
        ValueError: If ``n`` is below 1 or ``noise`` is negative.

    Example:
        >>> import torch
        >>> cubic(torch.Generator().manual_seed(0)).y.shape
        torch.Size([20, 1])
    """
    _check_n(n)
    _check_noise(noise)
    x = 8 * torch.rand(n, 1, generator=generator, device=generator.device, dtype=torch.float32) - 4
    return Data(x, x**3 + noise * _normal(generator, n, 1))


def digits(*, device: torch.device | str = "cpu") -> Split:
    """Load scikit-learn's 1,797 handwritten digits of 8x8 pixels: 1,000 train, 297 validation, 500 test.

    The cut is random with a fixed seed and keeps the share of each class. It does not follow the order of the file,
    because the writers change along it: a cut by rows tests on other hands than those learned from, with lower scores
    (1-nearest-neighbour accuracy 0.960 on the last 500 rows, 0.985 on 500 random ones). Here the test digits are new
    drawings by writers who are also in the training part.
    E. Alpaydin and C. Kaynak (1998), https://doi.org/10.24432/C50P49.

    Args:
        device: Where the set shall live.

    Returns:
        ``x [N, 1, 8, 8]`` float32 in [-1, 1] (the file's 0..16 grey levels), ``y [N]`` int64 in 0..9.

    Example:
        >>> [tuple(part.x.shape) for part in digits()]
        [(1000, 1, 8, 8), (297, 1, 8, 8), (500, 1, 8, 8)]
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, rest = train_test_split(range(len(y)), train_size=1000, random_state=0, stratify=y)
    valid, test = train_test_split(rest, train_size=297, random_state=0, stratify=y[rest])
    everything = Data(scale_pixels(torch.as_tensor(x), top=16).unflatten(1, (1, 8, 8)), torch.as_tensor(y))
    return Split(*(Data(everything.x[part], everything.y[part]) for part in (train, valid, test))).to(device)


def _normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float32)


def _check_n(n: int) -> None:
    if not is_count(n):
        raise ValueError(f"n is {n}; wanted 1 point or more, a whole number")


def _check_noise(noise: float) -> None:
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is {noise}; wanted a finite standard deviation of 0 or more")
