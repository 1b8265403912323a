"""What the quickstart asks."""

import torch

from apdlab.exercises import Exercise
from apdlab.metrics import expected_entropy, mutual_information
from apdlab.moments import Moments


def _most_ambiguous(m: Moments) -> int:
    agreed = mutual_information(m) <= mutual_information(m).median()
    return int(torch.where(agreed, expected_entropy(m), -torch.inf).argmax())


def _fault(number: int | None, m: Moments) -> str | None:
    if number is None:
        return "put the number of the digit in place of None"
    if not mutual_information(m)[number] <= mutual_information(m).median():
        return "on that digit the draws disagree more than on most: look among those with less mutual information"
    if number != _most_ambiguous(m):
        return "the draws agree on that digit, but there is one of which they are less sure"
    return None


AGREED_DOUBT = Exercise(
    question=(
        "Two kinds of doubt: of the half of the test digits with the **smallest mutual information** (the draws "
        "agree), find the one with the **largest expected entropy** (each draw is unsure for itself). "
        "`m_sgld` holds the moments; `mutual_information` and `expected_entropy` read them."
    ),
    hint="`mi <= mi.median()` selects the half, `torch.where(selected, entropy, -torch.inf).argmax()` its largest.",
    answer=(
        "```python\nmi, aleatoric = mutual_information(m_sgld), expected_entropy(m_sgld)\n"
        "int(torch.where(mi <= mi.median(), aleatoric, -torch.inf).argmax())\n```\n"
        "No further draw would settle this digit: every network of the posterior sees the same two readings in it. "
        "A label would teach little; active learning by mutual information passes it by."
    ),
    fault=_fault,
)
