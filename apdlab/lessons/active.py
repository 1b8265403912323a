"""What the notebook on active learning asks."""

from collections.abc import Sequence

import pandas as pd

from apdlab.exercises import Exercise


def _flattery(rows: Sequence[dict]) -> float:
    frame = pd.DataFrame(rows).sort_values("labels")
    best = frame.groupby(["method", "acquisition", "seed"]).accuracy.cummax()
    return float((best - frame.accuracy).mean())


def _fault_of_flattery(flattery: float | None, rows: Sequence[dict]) -> str | None:
    if flattery is None:
        return "put a difference of accuracies in place of None"
    true = _flattery(rows)
    if abs(flattery - true) <= 1e-4 + 0.02 * true:
        return None
    return "it flatters more than that" if flattery < true else "it flatters less than that"


RUNNING_MAXIMUM = Exercise(
    question=(
        "The published curves plot the *running maximum* of the test accuracy: the best of all rounds so far. **By how "
        "much does that flatter**, on average over all methods, acquisitions, repeats and rounds of `table`? To within "
        "two percent of it."
    ),
    hint=(
        "`frame.groupby(['method', 'acquisition', 'seed']).accuracy.cummax()`, of rows in the order of their `labels`."
    ),
    answer=(
        "```python\nframe = pd.DataFrame(table).sort_values('labels')\n"
        "best = frame.groupby(['method', 'acquisition', 'seed']).accuracy.cummax()\n"
        "float((best - frame.accuracy).mean())\n```\n"
        "It flatters who wavers most: a method whose rounds differ by chance gains the most from being allowed to "
        "choose among them on the test set."
    ),
    fault=_fault_of_flattery,
)
