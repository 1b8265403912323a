"""What posteriors say all over a square, how far that is from a reference, and where they doubt."""

import math
from collections.abc import Callable, Mapping

import torch
from scipy.stats import spearmanr
from torch import Tensor

from apdlab.draws import Draws
from apdlab.fidelity import total_variation
from apdlab.metrics import expected_entropy, mutual_information, predictive_entropy
from apdlab.moments import Moments
from apdlab.predict import predict
from apdlab.types import Data, is_count

MEASURES: dict[str, Callable[[Moments], Tensor]] = {
    "mean": lambda m: m.mean[:, 1],
    "total": predictive_entropy,
    "aleatoric": expected_entropy,
    "epistemic": mutual_information,
}


def square(points: int, half: float = 5.0) -> Tensor:
    """Lay ``points x points`` inputs evenly over ``[-half, half]^2``, row by row from below, ``[points^2, 2]``.

    Raises:
        ValueError: If there are fewer than 2 points a side, or ``half`` is not above 0.

    Example:
        >>> square(3)[:4]
        tensor([[-5., -5.],
                [ 0., -5.],
                [ 5., -5.],
                [-5.,  0.]])
    """
    if not is_count(points) or points < 2 or not half > 0:
        raise ValueError(f"points, half are {points}, {half}; wanted 2 points a side or more, and a half above 0")
    axis = torch.linspace(-half, half, points)
    return torch.cartesian_prod(axis, axis).flip(-1)


def boundaries(draws: Mapping[str, Draws], x: Tensor, n: int = 12) -> dict[str, Tensor]:
    """Give the log odds of class 1 by the first ``n`` draws of each method over a square ``[P P, 2]``, ``[S, P, P]``.

    A draw's boundary is where they are 0.

    Example:
        >>> from apdlab.networks import mlp
        >>> boundaries({"sgld": Draws(mlp(2, 2), torch.zeros(20, 6))}, square(5))["sgld"].shape
        torch.Size([12, 5, 5])
    """
    side = math.isqrt(len(x))
    found = {method: predict(some[:n], x) for method, some in draws.items()}
    return {method: (log_p[..., 1] - log_p[..., 0]).unflatten(1, (side, side)) for method, log_p in found.items()}


def means(said: Mapping[str, Moments]) -> dict[str, dict[str, float]]:
    """Average every measure of each method over its inputs: the numbers of a figure of maps.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> m = moments(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log())
        >>> {name: round(value, 3) for name, value in means({"sgld": m})["sgld"].items()}
        {'mean': 0.5, 'total': 0.693, 'aleatoric': 0.0, 'epistemic': 0.693}
    """
    return {
        method: {name: float(measure(m).mean()) for name, measure in MEASURES.items()} for method, m in said.items()
    }


def distance_to(data: Data, x: Tensor) -> Tensor:
    """Measure how far inputs ``x [N, d]`` are from the nearest example, ``[N]``.

    Example:
        >>> distance_to(Data(torch.zeros(4, 2), torch.zeros(4)), torch.tensor([[3.0, 4.0]]))
        tensor([5.])
    """
    return torch.cdist(x, data.x.to(x)).amin(1)


def far_and_near(m: Moments, reference: Moments, distance: Tensor, near: float = 1.0, far: float = 3.0) -> dict:
    """Compare a map with a reference, and its epistemic uncertainty near the data with that far from them.

    Args:
        m: Moments of the draws on ``N`` inputs.
        reference: Those of the draws that are held to be right.
        distance: Of the inputs from the data, ``[N]``.
        near: Nearer than this is near.
        far: Farther than this is far.

    Returns:
        ``total_variation`` to the reference; mean mutual information ``near`` and ``far``, in nats, and as shares of
        the reference's, ``near_share`` and ``far_share``, NaN where neither has any; ``grows``, the rank correlation
        of mutual information with distance, NaN where it is the same everywhere.

    Raises:
        ValueError: If no input is near, or none far.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> m = moments(torch.tensor([[[0.9, 0.1], [0.9, 0.1]], [[0.9, 0.1], [0.1, 0.9]]]).log())
        >>> round(far_and_near(m, m, torch.tensor([0.0, 4.0]))["far"], 3)
        0.368
    """
    places = {"near": distance < near, "far": distance > far}
    for name, place in places.items():
        if not place.any():
            raise ValueError(f"distance has no input that is {name} ({near}, {far}); wanted some near and some far")
    doubt, wanted = mutual_information(m), mutual_information(reference)
    row = {"total_variation": total_variation(m, reference)}
    row |= {name: float(doubt[place].mean()) for name, place in places.items()}
    row |= {f"{name}_share": float(doubt[place].mean() / wanted[place].mean()) for name, place in places.items()}
    grows = spearmanr(doubt, distance).statistic if m.draws > 1 else math.nan
    return row | {"grows": float(grows)}


def verdict(rows: Mapping[str, Mapping[str, float]], floor: str = "hmc") -> list[str]:
    """Say by rules what rows of :func:`far_and_near` bear out, one line each.

    A posterior is as HMC's if its total variation is below twice the floor, and its epistemic uncertainty is between
    half and twice HMC's both near and far. It grows with distance if it is larger far from the data than near them, and
    their rank correlation is above 0.

    Args:
        rows: Under the ids of methods.
        floor: The method whose distance is the floor.

    Example:
        >>> row = {"total_variation": 0.05, "near": 0.1, "far": 0.3, "near_share": 1.1, "far_share": 1.0, "grows": 0.5}
        >>> for line in verdict({"sgld": row, "hmc": row | {"total_variation": 0.04}}):
        ...     print(line)
        sgld: as HMC (0.050, floor 0.040); doubt grows from 0.100 near to 0.300 far (1.10 and 1.00 of HMC's)
    """
    lines, least = [], rows[floor]["total_variation"]
    for method, row in rows.items():
        if method == floor:
            continue
        alike = row["total_variation"] < 2 * least and all(0.5 < row[f"{name}_share"] < 2 for name in ("near", "far"))
        how = "as HMC" if alike else "unlike HMC"
        doubt = "grows" if row["far"] > row["near"] and row["grows"] > 0 else "does not grow"
        sides = f"from {row['near']:.3f} near to {row['far']:.3f} far"
        shares = f"({row['near_share']:.2f} and {row['far_share']:.2f} of HMC's)"
        said = "no doubt anywhere" if row["near"] == row["far"] == 0 else f"doubt {doubt} {sides} {shares}"
        lines.append(f"{method}: {how} ({row['total_variation']:.3f}, floor {least:.3f}); {said}")
    return lines
