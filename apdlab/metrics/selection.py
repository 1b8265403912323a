"""Selective prediction: what is left of the errors when the most uncertain examples are passed on."""

from typing import NamedTuple

import torch
from torch import Tensor


class RiskCoverage(NamedTuple):
    """The share kept, ``coverage [N]``, and the error rate among the kept, ``risk [N]``, at growing thresholds.

    Threshold ``n`` is the ``n``-th smallest score; examples of equal score are kept together and share their values.
    """

    coverage: Tensor
    risk: Tensor

    @property
    def area(self) -> float:
        """The area under the curve (AURC), ``(1/N) sum_n risk_n``; the error rate itself if the score is constant."""
        return self.risk.mean().item()


def risk_coverage(score: Tensor, correct: Tensor) -> RiskCoverage:
    """Trace error rate against coverage: keep the examples ``{m: score_m <= score_n}``, for each ``n``.

    ``coverage_n = (1/N) #{m kept}``, ``risk_n = #{m kept and wrong} / #{m kept}``. Only the order of the scores counts:
    the curve says whether errors can be told from hits, and is blind to calibration.

    Source: Geifman and El-Yaniv (2017), Selective classification for deep neural networks,
    https://arxiv.org/abs/1705.08500; the area: Geifman, Uziel and El-Yaniv (2019), https://arxiv.org/abs/1805.08206

    Args:
        score: Uncertainty of each prediction, higher is less sure, ``[N]``.
        correct: Whether it is right, ``[N]``.

    Returns:
        Coverage and risk by growing score, ``[N]`` each, float64.

    Raises:
        ValueError: If ``score`` is not ``[N]`` or holds NaN, or ``correct`` is not boolean or of another length.

    Example:
        >>> import torch
        >>> risk_coverage(torch.tensor([0.3, 0.1, 0.9, 0.3]), torch.tensor([True, True, False, False])).risk
        tensor([0.0000, 0.3333, 0.3333, 0.5000], dtype=torch.float64)
    """
    if score.ndim != 1 or len(score) == 0:
        raise ValueError(f"score has shape {tuple(score.shape)}; wanted [N], one for each of 1 or more examples")
    if correct.shape != score.shape or correct.dtype != torch.bool:
        raise ValueError(
            f"correct is {correct.dtype} of shape {tuple(correct.shape)}; wanted torch.bool of shape "
            f"{tuple(score.shape)}, as score has; pass prediction == label"
        )
    if score.isnan().any():
        raise ValueError("score holds NaN; wanted numbers that can be ordered; drop the examples that have none")
    ordered, order = score.sort()
    wrong = (~correct[order]).double().cumsum(0)
    kept = torch.searchsorted(ordered, ordered, right=True)  # to the end of each group of equal scores
    return RiskCoverage(kept.double() / len(score), wrong[kept - 1] / kept)
