"""What the notebook on attacks asks."""

import statistics
from collections.abc import Sequence

from apdlab.exercises import Exercise

_NO_ATTACKS = ("clean", "noise", "strongest")


def _fault_of_attack(attack: str | None, rows: Sequence[dict]) -> str | None:
    if attack is None:
        return "put the name of an attack in place of None"
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == "sgld" and row["attack"] not in _NO_ATTACKS:
            found.setdefault(row["attack"], []).append(row["accuracy"])
    means = {name: statistics.fmean(values) for name, values in found.items()}
    if attack not in means:
        return f"that is none of {', '.join(means)}"
    return None if means[attack] == max(means.values()) else "under another attack more would have withstood"


FLATTERING_ATTACK = Exercise(
    question=(
        "A defence is as good as the strongest attack that was tried. **Which of the attacks, reported alone, would "
        "flatter SGLD the most** (accuracy, mean over seeds)? Random noise is no attack. `rows` holds the table."
    ),
    hint="`frame = pd.DataFrame(rows)`; keep `frame.method == 'sgld'`, group by `attack`, look at the accuracy.",
    answer=(
        "```python\nframe = pd.DataFrame(rows)\n"
        "frame = frame[frame.method == 'sgld'].groupby('attack').accuracy.mean()\n"
        "frame.drop(['clean', 'noise', 'strongest']).idxmax()\n```\n"
        "Had only that attack been tried, the same networks would have been called more robust. What an attack did not "
        "find may still be there: accuracy under attack is an upper bound, and only stronger attacks bring it down."
    ),
    fault=_fault_of_attack,
)
