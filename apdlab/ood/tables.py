"""Tables of detection: every posterior on every set by every score, with intervals, and differences explained."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from apdlab.ood.detection import Resamples, detection, resamples, scores
from apdlab.predict import predict_moments
from apdlab.scoreboard import Entry
from apdlab.streams import stream


class Case(NamedTuple):
    """Who looked at what: a method's id, the seed of the repeat, a set outside, what its images are multiplied by."""

    method: str
    seed: int
    set: str
    scale: float


class Seen(NamedTuple):
    """Scores of the images inside, ``[N]``, and of those outside, ``[M]``, under the name of each score."""

    inside: dict[str, Tensor]
    outside: dict[str, Tensor]


def look(entries: Iterable[Entry], x: Tensor, sets: Mapping[str, Tensor], scale: float, n: int) -> dict[Case, Seen]:
    """Let posteriors score images inside and outside, by every score of ``SCORES``.

    Args:
        entries: The posteriors.
        x: Images inside, ``[N, ...]``.
        sets: Images outside, ``[M, ...]`` under the name of each set.
        scale: What those outside are multiplied by.
        n: How many networks to draw from each posterior.

    Returns:
        What each saw, in the order of the entries.

    Example:
        >>> from apdlab.networks import mlp
        >>> from apdlab.posterior import point
        >>> from apdlab.types import Cost
        >>> one = Entry("sgd", "2-3", 0, point(mlp(2, 3), torch.zeros(9)), Cost(1, 1.0))
        >>> list(look([one], torch.ones(4, 2), {"uniform": torch.rand(5, 2)}, 1.0, 100))
        [Case(method='sgd', seed=0, set='uniform', scale=1.0)]
    """
    seen = {}
    for entry in entries:
        draws = entry.draws(n, x.device)
        inside = scores(predict_moments(draws, x))
        for name, others in sets.items():
            outside = scores(predict_moments(draws, scale * others))
            seen[Case(entry.method, entry.seed, name, scale)] = Seen(inside, outside)
    return seen


def brightness(x: Tensor, others: Tensor) -> Seen:
    """Score images by the mean of ``|x|`` over pixels: a detector that knows nothing of the data.

    Args:
        x: Images inside, ``[N, ...]``.
        others: Images outside, ``[M, ...]``.

    Example:
        >>> brightness(torch.zeros(2, 1, 8, 8), -torch.ones(1, 1, 8, 8)).outside
        {'mean |x|': tensor([1.])}
    """
    return Seen(*({"mean |x|": images.abs().flatten(1).mean(1)} for images in (x, others)))


def tabulate(seen: Mapping[Case, Seen], count: int, *, seed: int) -> pd.DataFrame:
    """Measure every score of every case, on the same resamples of the images, so that differences are paired.

    Args:
        seen: Scores by case.
        count: ``B``, how many resamples.
        seed: Of the resamples.

    Returns:
        A row for each ``method, seed, set, scale, score, metric``: its ``value``, then columns ``0 .. B - 1``.

    Raises:
        ValueError: If nothing was seen.

    Example:
        >>> one = Seen({"entropy": torch.arange(3.0)}, {"entropy": torch.arange(2.0)})
        >>> tabulate({Case("sgld", 0, "uniform", 1.0): one}, 100, seed=0).shape
        (4, 101)
    """
    if not seen:
        raise ValueError(
            "seen is empty; wanted scores of 1 or more cases: pass look an entry and a set, and its result"
        )
    rows = {}
    for case, both in seen.items():
        some = [next(iter(side.values())) for side in both]
        drawn = resamples(*map(len, some), count, generator=stream(seed, "bootstrap", device=some[0].device))
        rows[case] = detect(*both, drawn)
    return pd.concat(rows, names=Case._fields)


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


def gaps(table: pd.DataFrame, seen: Mapping[Case, Seen], method: str, reference: str, scale: float) -> pd.DataFrame:
    """Compare the AUROC of a method with that of what it stands for, repeat by repeat, and say where it comes from.

    Args:
        table: What :func:`tabulate` gives.
        seen: The scores that it was made from.
        method: Who is compared.
        reference: With whom; it has the same repeats.
        scale: Of the images outside.

    Returns:
        For each ``method, set, score``, means over repeats: the difference, ``value, low, high``; its parts ``inside``
        and ``outside`` (:func:`blame`); ``ratio_inside`` and ``ratio_outside``, mean mutual information over that of
        the reference; and ``repeats``, the standard deviation of the reference's own AUROC.

    Raises:
        ValueError: If one of the two has repeats that the other lacks.

    Example:
        >>> low, high = ({"mutual_information": torch.arange(9.0) + shift} for shift in (1.0, 4.0))
        >>> seen = {Case("sgld", 0, "uniform", 1.0): Seen(low, high), Case("apd", 0, "uniform", 1.0): Seen(low, low)}
        >>> gap = gaps(tabulate(seen, 50, seed=0), seen, "apd", "sgld", 1.0)
        >>> gap[["value", "inside", "outside", "ratio_outside"]].round(3).to_dict("records")
        [{'value': -0.278, 'inside': 0.0, 'outside': -0.278, 'ratio_outside': 0.625}]
    """
    cases = {m: [case for case in seen if (case.method, case.scale) == (m, scale)] for m in (method, reference)}
    if {case[1:] for case in cases[method]} != {case[1:] for case in cases[reference]} or not cases[method]:
        raise ValueError(f"method {method!r} and reference {reference!r} have other repeats or sets; wanted the same")
    auroc = table.xs((scale, "auroc"), level=("scale", "metric"))
    by = ["set", "score"]
    gap = intervals((auroc.loc[method] - auroc.loc[reference]).groupby(level=by, sort=False).mean())
    parts = {}
    for case in cases[method]:
        other, own = seen[case], seen[case._replace(method=reference)]
        ratios = {f"ratio_{side}": _doubt(a) / _doubt(b) for side, a, b in zip(Seen._fields, other, own, strict=True)}
        for score in own.inside:
            pair = ((of.inside[score], of.outside[score]) for of in (own, other))
            parts[case.set, score, case.seed] = blame(*pair) | ratios
    parts = pd.DataFrame.from_dict(parts, orient="index").groupby(level=[0, 1], sort=False).mean().rename_axis(by)
    spread = auroc.loc[reference].value.groupby(level=by, sort=False).std().rename("repeats")
    return pd.concat({method: gap.join(parts).join(spread)}, names=["method"])


def verdicts(gaps: pd.DataFrame, bar: float = 0.01) -> list[str]:
    """Say in how many sets and scores each method is near its reference, and of each that is not, why.

    Args:
        gaps: What :func:`gaps` gives, of one method or of several.
        bar: How far is near, in AUROC.

    Returns:
        A line for each method, then one for each difference above the bar.

    Example:
        >>> names = ["value", "low", "high", "inside", "outside", "repeats", "ratio_inside", "ratio_outside"]
        >>> gap = pd.DataFrame([[-0.03, -0.04, -0.02, 0.0, -0.03, 0.01, 1.0, 0.8]], columns=names)
        >>> where = pd.MultiIndex.from_tuples([("apd", "uniform", "entropy")], names=["method", "set", "score"])
        >>> for line in verdicts(gap.set_index(where)):
        ...     print(line)
        apd: within 0.01 of its reference in 0 of 1 pairs of set and score, with the whole interval in 0
          uniform, entropy: -0.030 [-0.040, -0.020], more than repeats differ (0.010); by scores inside +0.000, outside
          -0.030; mean mutual information times 1.00 inside, 0.80 outside
    """
    lines = []
    for method, rows in gaps.groupby(level="method", sort=False):
        far, sure = rows[rows.value.abs() > bar], rows[(rows.low >= -bar) & (rows.high <= bar)]
        near = (
            f"{method}: within {bar:g} of its reference in {len(rows) - len(far)} of {len(rows)} pairs of set and score"
        )
        lines += [f"{near}, with the whole interval in {len(sure)}"]
        for (_, place, score), gap in far.iterrows():
            luck = "no more" if abs(gap.value) <= gap.repeats else "more"
            lines += [
                f"  {place}, {score}: {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], {luck} than repeats differ "
                f"({gap.repeats:.3f}); by scores inside {gap.inside:+.3f}, outside {gap.outside:+.3f}; mean mutual "
                f"information times {gap.ratio_inside:.2f} inside, {gap.ratio_outside:.2f} outside"
            ]
    return lines


def _doubt(scores: Mapping[str, Tensor]) -> float:
    return scores["mutual_information"].mean().item()
