"""Out-of-distribution detection: do inputs unlike the data score higher than inputs like them, and how sure is that?

Scores are uncertainties, higher is more anomalous, and an input from outside is what is to be found ("positive"). Only
the order of scores counts. Equal scores are never told apart: they pass a threshold together.
"""

import math
from typing import NamedTuple

import torch
from sklearn.metrics import roc_curve
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


def roc(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Trace the shares of false alarms inside and of inputs found outside, by falling threshold.

    Args:
        inside: Scores of inputs like the data, ``[N]``.
        outside: Scores of inputs unlike them, ``[M]``.

    Returns:
        Both from 0 to 1, at each of the different scores.

    Raises:
        ValueError: If scores are not a vector, or NaN.

    Example:
        >>> roc(torch.tensor([0.1, 0.2]), torch.tensor([0.2, 0.4]))
        (tensor([0.0000, 0.0000, 0.5000, 1.0000]), tensor([0.0000, 0.5000, 1.0000, 1.0000]))
    """
    _check("inside", inside)
    _check("outside", outside)
    foreign = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))])
    joined = torch.cat([inside, outside]).numpy(force=True)
    alarms, found, _ = roc_curve(foreign.numpy(), joined, drop_intermediate=False)
    return torch.from_numpy(alarms).float(), torch.from_numpy(found).float()


def _check(name: str, values: Tensor) -> None:
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} has shape {tuple(values.shape)}; wanted [N], one score for each of 1 or more inputs")
    if values.isnan().any():
        raise ValueError(f"{name} holds NaN; wanted numbers that can be ordered; drop the inputs that have none")
