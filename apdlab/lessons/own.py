"""What the notebook for networks and data of your own asks."""

from torch import Tensor

from apdlab.exercises import Exercise
from apdlab.metrics import risk_coverage


def _largest_share(doubt: Tensor, right: Tensor) -> float:
    coverage, risk = risk_coverage(doubt, right)
    return max((c for c, r in zip(coverage.tolist(), risk.tolist(), strict=True) if r <= risk[-1] / 2), default=0.0)


def _fault_of_share(share: float | None, doubt: Tensor, right: Tensor) -> str | None:
    if share is None:
        return "put a share between 0 and 1 in place of None"
    best = _largest_share(doubt, right)
    if abs(share - best) <= 0.005:
        return None
    return "more can be answered" if share < best else "with that many answered, more than half of the error is left"


ANSWERED_SHARE = Exercise(
    question=(
        "Answer the test inputs in the order of growing doubt, and stop. **What is the largest share that can be "
        "answered with at most half the error rate of answering all?** `doubt` holds the mutual information of each "
        "test input, `right` whether the draws together predicted its label. To within half a percent."
    ),
    hint="`from apdlab.metrics import risk_coverage`: it gives share and error rate at every threshold.",
    answer=(
        "```python\nfrom apdlab.metrics import risk_coverage\ncurve = risk_coverage(doubt, right)\n"
        "curve.coverage[curve.risk <= curve.risk[-1] / 2].max().item()\n```\n"
        "Found on the test labels, this share is a little too good to be true. To use a threshold, choose it on the "
        "validation part and report on the test part what it does there."
    ),
    fault=_fault_of_share,
)
