"""Out-of-distribution detection: do inputs unlike the data score higher than inputs like them, and how sure is that?

Scores are uncertainties, higher is more anomalous, and an input from outside is what is to be found ("positive"). Only
the order of scores counts. Equal scores are never told apart: they pass a threshold together.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from apdlab.metrics import max_probability, model_variance, mutual_information, predictive_entropy, variation_ratio
from apdlab.moments import Moments
from apdlab.types import is_count

SCORES = {
    "max_probability": max_probability,
    "predictive_entropy": predictive_entropy,
    "mutual_information": mutual_information,
    "model_variance": model_variance,
    "variation_ratio": variation_ratio,
}
FOUND = 0.95  # of the inputs from outside, where false alarms are counted
_TOGETHER = 32  # resamples that stay in a processor's cache


class Resamples(NamedTuple):
    """How often each input is drawn: counts ``inside [B, N]``, ``outside [B, M]``, whose rows sum to N and M."""

    inside: Tensor
    outside: Tensor


def scores(m: Moments) -> dict[str, Tensor]:
    """Score predictions by each uncertainty of ``SCORES``: higher is more anomalous.

    Args:
        m: Moments of the draws.

    Returns:
        Under the name of each score, ``[N]``.

    Example:
        >>> from apdlab.moments import moments
        >>> list(scores(moments(torch.full((3, 2, 10), 0.1).log())))[:2]
        ['max_probability', 'predictive_entropy']
    """
    return {name: score(m) for name, score in SCORES.items()}


def resamples(inside: int, outside: int, count: int, *, generator: torch.Generator) -> Resamples:
    """Draw bootstrap samples with replacement, those inside and those outside apart (stratified).

    Source: Efron (1979), Bootstrap methods: another look at the jackknife, https://doi.org/10.1214/aos/1176344552

    Args:
        inside: ``N``, how many inputs there are like the data.
        outside: ``M``, how many unlike them.
        count: ``B``, how many samples, e.g. 500.
        generator: Draws them; the same samples for all methods make their differences paired.

    Returns:
        Counts, float32.

    Raises:
        ValueError: If a number is no count.

    Example:
        >>> made = resamples(4, 3, 500, generator=torch.Generator().manual_seed(0))
        >>> made.outside.shape, made.outside.sum(1).unique()
        (torch.Size([500, 3]), tensor([3.]))
    """
    for name, value in {"inside": inside, "outside": outside, "count": count}.items():
        if not is_count(value):
            raise ValueError(f"{name} is {value!r}; wanted a whole number of 1 or more")
    device = generator.device
    drawn = [torch.randint(n, (count, n), generator=generator, device=device) for n in (inside, outside)]
    return Resamples(
        *(torch.zeros(of.shape, device=device).scatter_add_(1, of, torch.ones_like(of).float()) for of in drawn)
    )


def detection(inside: Tensor, outside: Tensor, drawn: Resamples | None = None) -> dict[str, Tensor]:
    """Measure how well a score tells inputs from outside, of the inputs themselves or of resamples of them.

    | metric | is |
    | --- | --- |
    | auroc | ``P(s_out > s_in) + P(s_out = s_in) / 2``; 1/2 for a blind score |
    | aupr_out | average precision when those outside are to be found by high scores; blind: their share |
    | aupr_in | average precision when those inside are to be found by low scores; blind: their share |
    | fpr_95 | share of those inside at or above the threshold that 95 % of those outside reach; less is better |

    Source: Hendrycks and Gimpel (2017), https://arxiv.org/abs/1610.02136; false alarms as in Hendrycks, Mazeika and
    Dietterich (2019), https://arxiv.org/abs/1812.04606

    Args:
        inside: Scores of inputs like the data, ``[N]``.
        outside: Scores of inputs unlike them, ``[M]``.
        drawn: ``B`` resamples; without them the inputs as they are, ``B = 1``, in float64.

    Returns:
        Under the name of each metric, ``[B]``, between 0 and 1.

    Raises:
        ValueError: If scores are not a vector, NaN, or of another number than the resamples.

    Example:
        >>> found = detection(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.3, 0.4]))
        >>> round(found["auroc"].item(), 4), round(found["fpr_95"].item(), 4)
        (0.9167, 0.3333)
    """
    _check("inside", inside)
    _check("outside", outside)
    if drawn is None:
        drawn = Resamples(*(torch.ones(1, len(s), dtype=torch.float64, device=s.device) for s in (inside, outside)))
    sizes = drawn.inside.shape[1], drawn.outside.shape[1]
    if sizes != (len(inside), len(outside)):
        raise ValueError(
            f"drawn has resamples of {sizes} inputs; wanted {(len(inside), len(outside))}, as inside and outside have"
        )
    ordered, order = torch.cat([inside, outside]).sort(descending=True)
    last = torch.ones_like(ordered, dtype=torch.bool)
    last[:-1] = ordered[1:] != ordered[:-1]
    at, foreign = last.nonzero().squeeze(1), order >= len(inside)
    parts = zip(*(counts.split(_TOGETHER) for counts in drawn), strict=True)
    measured = [_measure(torch.cat(part, 1).index_select(1, order), foreign, at, sizes) for part in parts]
    return {name: torch.cat([part[name] for part in measured]) for name in measured[0]}


def _measure(weight: Tensor, foreign: Tensor, at: Tensor, sizes: tuple[int, int]) -> dict[str, Tensor]:
    """Measure resamples ``[B, N + M]`` by falling score; ``at`` is where groups of equal scores end."""
    n, m = sizes
    hits = (weight * foreign).cumsum(1).index_select(1, at)
    alarms = weight.cumsum(1).index_select(1, at) - hits
    new_hits, new_alarms = _steps(hits), _steps(alarms)
    kept, missed = n - alarms + new_alarms, m - hits + new_hits  # at or below the score of each group
    first = (hits < math.ceil(FOUND * m - 1e-9)).sum(1, keepdim=True)
    return {
        "auroc": (new_alarms * (hits - new_hits / 2)).sum(1) / (n * m),
        "aupr_out": (new_hits * hits / (hits + alarms).clamp(min=1)).sum(1) / m,
        "aupr_in": (new_alarms * kept / (kept + missed).clamp(min=1)).sum(1) / n,
        "fpr_95": alarms.gather(1, first).squeeze(1) / n,
    }


def _steps(total: Tensor) -> Tensor:
    return torch.cat([total[:, :1], total.diff(dim=1)], 1)


def detect(inside: Mapping[str, Tensor], outside: Mapping[str, Tensor], drawn: Resamples) -> pd.DataFrame:
    """Measure each score of a posterior on one set, with the same resamples.

    Args:
        inside: Scores of inputs like the data, ``[N]`` under the name of each.
        outside: Those of inputs unlike them, ``[M]``, under the same names.
        drawn: ``B`` resamples.

    Returns:
        A row for each ``score`` and ``metric``: its ``value``, then columns ``0 .. B - 1`` of resamples.

    Example:
        >>> drawn = resamples(3, 2, 100, generator=torch.Generator().manual_seed(0))
        >>> found = detect({"entropy": torch.arange(3.0)}, {"entropy": torch.arange(2.0)}, drawn)
        >>> round(found.value["entropy", "auroc"].item(), 4), found.shape
        (0.3333, (4, 101))
    """
    rows = {}
    for score, of in inside.items():
        value, again = detection(of, outside[score]), detection(of, outside[score], drawn)
        for metric, values in again.items():
            rows[score, metric] = torch.cat([value[metric], values]).numpy(force=True)
    columns = ["value", *range(len(drawn.inside))]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).set_axis(
        pd.MultiIndex.from_tuples(rows, names=["score", "metric"])
    )


def intervals(found: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Turn rows of :func:`detect`, their means or differences, into values with percentile intervals.

    The intervals speak of other images, not of other chains or fits: for these there are repeats.

    Args:
        found: A column ``value``, and columns of resamples.
        level: The share of resamples within.

    Returns:
        ``value``, ``low``, ``high``, with the same index.

    Raises:
        ValueError: If the level is no share, or there are no resamples.

    Example:
        >>> intervals(pd.DataFrame({"value": [0.5], 0: [0.4], 1: [0.6]}), level=0.5).round(2).to_dict("records")
        [{'value': 0.5, 'low': 0.45, 'high': 0.55}]
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; wanted a share in (0, 1), e.g. 0.95")
    again = found.drop(columns="value")
    if again.shape[1] == 0:
        raise ValueError("found has no resamples; wanted columns beside 'value', as detect gives them")
    low, high = (again.quantile(q, axis=1) for q in ((1 - level) / 2, (1 + level) / 2))
    return pd.DataFrame({"value": found.value, "low": low, "high": high})


def blame(own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Split a difference of AUROC into what each side of the scores does: ``other - own = inside + outside``.

    With ``A(in, out)`` the AUROC, ``inside = (A(in', out) - A(in, out) + A(in', out') - A(in, out')) / 2`` is the mean
    effect of replacing the scores of those inside alone, and likewise ``outside``: the Shapley value of two players.

    Source: Shapley (1953), A value for n-person games, https://doi.org/10.1515/9781400881970-018

    Args:
        own: Scores inside ``[N]`` and outside ``[M]`` by one method.
        other: The same inputs by another, in the same unit.

    Returns:
        ``inside`` and ``outside``.

    Example:
        >>> low, high = torch.tensor([0.0, 0.1]), torch.tensor([0.2, 0.3])
        >>> blame((low, high), (low, low))
        {'inside': 0.0, 'outside': -0.5}
    """
    (before, outer), (inner, after) = (
        [detection(x, y)["auroc"].item() for y in (own[1], other[1])] for x in (own[0], other[0])
    )
    return {"inside": (inner - before + after - outer) / 2, "outside": (outer - before + after - inner) / 2}


def _check(name: str, values: Tensor) -> None:
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} has shape {tuple(values.shape)}; wanted [N], one score for each of 1 or more inputs")
    if values.isnan().any():
        raise ValueError(f"{name} holds NaN; wanted numbers that can be ordered; drop the inputs that have none")
