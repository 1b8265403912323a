"""What the notebook on predictive performance asks."""

import math
import statistics
from collections.abc import Sequence

from apdlab.exercises import Exercise

_MEASURES = ("accuracy", "nll", "brier", "ece", "mutual_information")


def _sight(measure: str, rows: Sequence[dict]) -> float:
    """How many standard deviations, over repeats of SGLD, the mean of the weights is off."""
    sgld, mean = ([row[measure] for row in rows if row["method"] == method] for method in ("sgld", "mean"))
    gap = abs(statistics.fmean(mean) - statistics.fmean(sgld))
    return gap / spread if (spread := statistics.stdev(sgld)) else math.inf if gap else 0.0


def _fault_of_measure(measure: str | None, rows: Sequence[dict]) -> str | None:
    if measure is None:
        return "put the name of a column in place of None"
    if measure not in _MEASURES:
        return f"that is none of {', '.join(_MEASURES)}"
    best = min(_MEASURES, key=lambda other: _sight(other, rows))
    return None if measure == best else "there is a measure that sees even less: gap over standard deviation"


BLIND_MEASURE = Exercise(
    question=(
        "A posterior that has collapsed to the mean of its weights knows nothing of its own doubt. **Which measure is "
        "blindest to that**: of `accuracy`, `nll`, `brier`, `ece` and `mutual_information`, on which is `mean` nearest "
        "to `sgld`, in standard deviations over the repeats of `sgld` (all networks together)? `table` holds the rows."
    ),
    hint="`frame = pd.DataFrame(table)`; then `frame[frame.method == 'sgld'][measure]` has a mean and a `std()`.",
    answer=(
        "```python\nby = pd.DataFrame(table).groupby('method')[list_of_measures]\n"
        "((by.mean().loc['mean'] - by.mean().loc['sgld']).abs() / by.std().loc['sgld']).idxmin()\n```\n"
        "What can only be seen with the labels of a thousand test images hides a collapse in the noise between "
        "repeats. Mutual information needs no labels, and is exactly 0 for a single network."
    ),
    fault=_fault_of_measure,
)
