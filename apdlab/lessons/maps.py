"""What the notebook on toy posteriors asks."""

from torch import Tensor

from apdlab.exercises import Exercise
from apdlab.metrics import mutual_information
from apdlab.moments import moments


def _seen(log_probs: Tensor, k: int) -> float:
    """The mean mutual information of the first ``k`` draws, as a share of that of all."""
    return float(mutual_information(moments(log_probs[:k])).mean() / mutual_information(moments(log_probs)).mean())


def _fault_of_draws(k: int | None, log_probs: Tensor) -> str | None:
    if k is None:
        return "put a number of draws in place of None"
    if k != int(k) or not 1 <= k <= len(log_probs):
        return f"there are 1 to {len(log_probs)} draws"
    first = next(n for n in range(1, len(log_probs) + 1) if _seen(log_probs, n) >= 0.95)
    if k == first:
        return None
    more = "more" if k < first else "fewer"
    return f"{int(k)} draws show {_seen(log_probs, int(k)):.3f} of the disagreement of all; try {more}"


ENOUGH_DRAWS = Exercise(
    question=(
        "One draw disagrees with nobody. **How many of SGLD's draws** does it take until their mean mutual information "
        "over the map of `atlas` reaches, for the first time, 95 % of that of all draws? `opinions` are their log "
        "probabilities, `[S, N, 2]`, in random order."
    ),
    hint="`mutual_information(moments(opinions[:k])).mean()` is that of the first `k`.",
    answer=(
        "```python\nwanted = 0.95 * mutual_information(moments(opinions)).mean()\n"
        "next(k for k in range(1, len(opinions) + 1) if mutual_information(moments(opinions[:k])).mean() >= wanted)"
        "\n```\n"
        "Mutual information is, to second order, a variance of `k` draws around their own mean, and such a variance "
        "misses the share `1 / k` of the true one. So about 20 draws show 95 % of it, whatever the network; how near "
        "the order of these draws comes to that is luck. A comparison of uncertainties needs equally many draws of "
        "both posteriors."
    ),
    fault=_fault_of_draws,
)
