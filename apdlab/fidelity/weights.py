"""How near generated weights are to the draws they stand for: moments, distances, a classifier, a neighbour.

No one number is enough. Means and standard deviations see nothing of how weights depend on each other, which is most of
what a distiller has to learn; a distance of projections sees a little; a classifier and the nearest neighbour see most.

Distances are Euclidean in the coordinates that are passed, so pass principal coordinates, divided by the standard
deviations of the held-out draws if each direction is to count alike. Hold out a later block or a whole chain: draws
from between the ones that were learned from only test interpolation.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from apdlab.types import is_count

ENTRIES = 2**22  # of a chunk in float64: 32 MB, and a few times that to work in


def mean_error(a: Tensor, b: Tensor) -> float:
    """Compute how far the mean is off, in standard deviations: ``rms_d(mean(a)_d - mean(b)_d) / rms_d(sd(b)_d)``.

    It sees a shift of the whole cloud, and nothing else: a posterior that collapsed to its mean passes. Between equal
    laws it is about ``sqrt(1/S + 1/T)`` for independent draws, more if they are correlated.

    Args:
        a: Weights of one posterior, ``[S, D]``, one draw or more.
        b: Weights of the one to come near to, ``[T, D]``, two draws or more.

    Returns:
        A ratio without a unit.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or ``b`` has no spread.

    Example:
        >>> import torch
        >>> b = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> round(mean_error(b + 2**0.5, b), 4)
        1.0
    """
    shift = spread = 0.0
    for x, y in _columns(a, b, least=(1, 2)):
        shift += (x.mean(0) - y.mean(0)).square().sum().item()
        spread += y.var(0).sum().item()
    if spread == 0:
        raise ValueError("b has standard deviation 0 in every weight; wanted draws that differ; pass more of them")
    return (shift / spread) ** 0.5


def sd_error(a: Tensor, b: Tensor) -> float:
    """Compute how far standard deviations are off, ``rms_d(sd(a)_d / sd(b)_d - 1)`` over weights with ``sd(b)_d > 0``.

    Weights that do not move in ``b`` are left out, even if they do in ``a``. It sees the width of each weight alone: a
    Gaussian with the right widths passes, however wrong its draws are as networks. Between equal laws it is about
    ``sqrt(1/(2S) + 1/(2T))`` for independent Gaussian draws, more if they are correlated.

    Args:
        a: Weights of one posterior, ``[S, D]``, two draws or more.
        b: Weights of the one to come near to, ``[T, D]``, two draws or more.

    Returns:
        A ratio without a unit; 1 for an ``a`` that does not move.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or ``b`` has no spread.

    Example:
        >>> import torch
        >>> b = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> sd_error(1.25 * b, b)
        0.25
    """
    total, moving = 0.0, 0
    for x, y in _columns(a, b, least=(2, 2)):
        sd = y.std(0)
        ratio = (x.std(0) / sd)[sd > 0]
        total += (ratio - 1).square().sum().item()
        moving += len(ratio)
    if moving == 0:
        raise ValueError("b has standard deviation 0 in every weight; wanted draws that differ; pass more of them")
    return (total / moving) ** 0.5


def sliced_wasserstein(a: Tensor, b: Tensor, *, directions: int = 200, generator: torch.Generator) -> float:
    """Compute the sliced distance ``(1/L) sum_l W1(a u_l, b u_l)`` over ``L`` random unit directions ``u_l``.

    ``W1 = int_0^1 |Q_a(q) - Q_b(q)| dq`` is exact: quantile functions of the draws are steps. It sees wrong means,
    widths and separate modes, but a projection of many coordinates looks Gaussian whatever their law, so that it is
    nearly blind to dependence. Between equal laws it is not 0: quote that of other held-out draws beside it.

    Source: Rabin et al. (2011), Wasserstein barycenter and its application to texture mixing,
    https://doi.org/10.1007/978-3-642-24785-9_37

    Args:
        a: Coordinates of one set of draws, ``[S, k]``.
        b: Coordinates of another, ``[T, k]``.
        directions: ``L``.
        generator: For the directions.

    Returns:
        A distance in the units of the coordinates.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or ``directions`` is below 1.

    Example:
        >>> import torch
        >>> a = torch.arange(4.0)[:, None]
        >>> round(sliced_wasserstein(a, a[:2], generator=torch.Generator().manual_seed(0)), 4)
        1.0
    """
    a, b = _coordinates(a=a, b=b)
    if not is_count(directions):
        raise ValueError(f"directions is {directions}; wanted 1 or more, a whole number, e.g. 200")
    u = torch.randn(a.shape[1], directions, generator=generator, device=generator.device, dtype=a.dtype).to(a.device)
    u = u / u.norm(dim=0)
    return _wasserstein(a @ u, b @ u).mean().item()


def two_sample_accuracy(
    a: Tensor, b: Tensor, *, neighbours: int = 5, folds: int = 5, generator: torch.Generator
) -> float:
    """Compute how often a nearest-neighbour classifier tells, cross-validated, which of two sets a draw is from.

    .5 is the best: the sets cannot be told apart. With ``n = 2 min(S, T)`` draws the standard error under equal laws
    is about ``sqrt(.25 / n)``, that of a coin tossed ``n`` times: .018 for 400 draws against 400. An accuracy clearly
    below .5 is a warning of its own: draws of one set sit on those of the other. It sees dependence that moments miss,
    and wrong support at once; it says nothing of how much a difference matters to predictions.

    Source: Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, https://arxiv.org/abs/1610.06545

    Args:
        a: Coordinates of one set of draws, ``[S, k]``.
        b: Coordinates of another, ``[T, k]``; the larger set is cut to the size of the smaller at random.
        neighbours: How many vote; odd, so that no vote is a tie.
        folds: How many parts each are predicted from all others.
        generator: For the choice and the order of draws.

    Returns:
        A share in ``[0, 1]``.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, ``neighbours`` is even or more than a fold
            leaves, or ``folds`` is below 2 or above ``min(S, T)``.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> a = torch.randn(20, 3, generator=generator)
        >>> two_sample_accuracy(a, a + 10, generator=generator)
        1.0
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict  # seconds that no other function pays
    from sklearn.neighbors import KNeighborsClassifier

    a, b = _coordinates(a=a, b=b)
    n = min(len(a), len(b))
    if not is_count(folds, n) or folds == 1:
        raise ValueError(f"folds is {folds}; wanted 2 to {n}, the draws of the smaller set; pass more draws")
    most = 2 * (n - -(-n // folds))
    if not is_count(neighbours, most) or neighbours % 2 == 0:
        raise ValueError(f"neighbours is {neighbours}; wanted an odd number from 1 to {most}, what a fold learns from")
    x = torch.cat([_shuffled(part, generator)[:n] for part in (a, b)])
    y = torch.arange(2).repeat_interleave(n).numpy()
    classifier = KNeighborsClassifier(neighbours, algorithm="brute")
    guess = cross_val_predict(classifier, x.numpy(force=True), y, cv=StratifiedKFold(folds))
    return (guess == y).mean().item()


def nearest_ratio(generated: Tensor, train: Tensor, held_out: Tensor) -> float:
    """Compare median distances to the nearest training draw: ``med_s min_t |g_s - x_t| / med_h min_t |y_h - x_t|``.

    Near 1 is the best. Far below 1 the draws are copies of what was learned from; far above 1 they lie where no draw
    does. It sees memorising and leaving the support, and is blind to what is missing: half the modes give 1, too.

    Args:
        generated: Coordinates ``g`` of generated draws, ``[S, k]``.
        train: Coordinates ``x`` of the draws that were learned from, ``[T, k]``.
        held_out: Coordinates ``y`` of draws that were not, ``[H, k]``.

    Returns:
        A ratio without a unit; exactly 0 for copies.

    Raises:
        ValueError: If the shapes do not fit, an entry is not finite, or half the held-out draws are training draws.

    Example:
        >>> import torch
        >>> train = torch.tensor([[0.0], [4.0]])
        >>> nearest_ratio(train + 0.5, train, train + 1)
        0.5
    """
    generated, train, held_out = _coordinates(generated=generated, train=train, held_out=held_out)
    unit = _nearest(held_out, train)
    if unit == 0:
        raise ValueError("held_out has median distance 0 to train; wanted draws that train does not have; split first")
    return _nearest(generated, train) / unit


def marginal_distance(a: Tensor, b: Tensor) -> Tensor:
    """Compute how far the marginal of each weight is off, in standard deviations: ``W1(a_d, b_d) / sd(b_d)``.

    It sees the shape of each weight's law, and nothing of how weights depend on each other. Between equal laws it is
    not 0: about ``1.3 sqrt(1/S + 1/T)`` for independent Gaussian draws.

    Args:
        a: Weights of one posterior, ``[S, D]``, one draw or more.
        b: Weights of the one to come near to, ``[T, D]``, two draws or more.

    Returns:
        ``[D]``; not finite where a weight does not move in ``b``.

    Raises:
        ValueError: If the shapes do not fit, or an entry is not finite.

    Example:
        >>> import torch
        >>> b = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> marginal_distance(b + 2**0.5, b)
        tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    return torch.cat([_wasserstein(x, y) / y.std(0) for x, y in _columns(a, b, least=(1, 2))])


def _columns(a: Tensor, b: Tensor, least: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk through all columns of both, some at a time, in float64."""
    for name, x, rows in (("a", a, least[0]), ("b", b, least[1])):
        if x.ndim != 2 or len(x) < rows or x.shape[1] == 0:
            wanted = f"[draws, D] with at least {rows} draw{'s' if rows > 1 else ''}"
            raise ValueError(f"{name} has shape {tuple(x.shape)}; wanted {wanted}")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"b has {b.shape[1]:,} columns and a {a.shape[1]:,}; wanted weights of the same network")
    size = max(1, ENTRIES // (len(a) + len(b)))
    for x, y in zip(a.split(size, 1), b.split(size, 1), strict=True):
        yield _finite("a", x), _finite("b", y)


def _coordinates(**sets: Tensor) -> list[Tensor]:
    """Check sets of points of one space, and give them in float64."""
    for name, x in sets.items():
        if x.ndim != 2 or x.numel() == 0:
            raise ValueError(f"{name} has shape {tuple(x.shape)}; wanted [draws, k], none of them 0")
    (first, reference), *others = sets.items()
    for name, x in others:
        if x.shape[1] != reference.shape[1]:
            raise ValueError(
                f"{name} has {x.shape[1]} coordinates and {first} {reference.shape[1]}; "
                "wanted the same ones; encode all draws alike"
            )
    return [_finite(name, x) for name, x in sets.items()]


def _finite(name: str, x: Tensor) -> Tensor:
    if not x.isfinite().all():
        raise ValueError(f"{name} has entries that are not finite; wanted numbers; drop the draws that diverged")
    return x.double()


def _wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """W1 between the empirical laws of the columns of ``[S, L]`` and ``[T, L]``, ``[L]``."""
    s, t = len(a), len(b)
    # Where one of the quantile functions steps, in units of 1 / (S T): integers, so that equal levels are equal.
    ends = torch.cat([t * torch.arange(1, s + 1), s * torch.arange(1, t + 1)]).unique().to(a.device)
    width = ends.diff(prepend=ends.new_zeros(1)).double() / (s * t)
    return width @ (a.sort(0).values[(ends - 1) // t] - b.sort(0).values[(ends - 1) // s]).abs()


def _shuffled(x: Tensor, generator: torch.Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=generator, device=generator.device).to(x.device)]


def _nearest(x: Tensor, to: Tensor) -> float:
    """Median distance of a point to the nearest of others; exactly 0 for copies, so without the matrix product."""
    parts = x.split(max(1, ENTRIES // len(to)))
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(part, to, compute_mode=exact).amin(1) for part in parts]).quantile(0.5).item()
