"""What the notebook on weight posteriors asks."""

from apdlab.exercises import Exercise
from apdlab.paths import walk_spectrum


def _fault_of_share(share: float | None, kept: int) -> str | None:
    if share is None:
        return "put a number in place of None"
    if not 0 <= float(share) <= 1:
        return "a share is a number from 0 to 1"
    gap = float(share) - walk_spectrum(10 * kept)[0].item()
    if abs(gap) <= 0.01:
        return None
    return (
        f"that is {'larger' if gap > 0 else 'smaller'} than it is: look at the formula of walk_spectrum for a large T"
    )


SHARE_OF_A_WALK = Exercise(
    question=(
        "A chain is a random walk of `kept` states. You run it **ten times as long**, and keep ten times as many "
        "states. If it still walks, what share of the variance does its leading principal direction hold then?"
    ),
    hint="Section 2 has the law: $1 / \\sin^2(\\pi m / 2T)$, nearly $1 / m^2$; and $\\sum_m 1/m^2 = \\pi^2 / 6$.",
    answer=(
        "```python\nwalk_spectrum(10 * kept)[0]\n```\n"
        "$6 / \\pi^2 = .61$, as before, and as for any walk in many dimensions: that share knows nothing of the "
        "posterior. That draws lie in a few directions is no finding about a network before its chain has mixed."
    ),
    fault=_fault_of_share,
)
