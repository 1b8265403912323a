"""Two methods compared seed by seed: a mean difference, and how large it must be to be more than chance."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.stats import t as student


class Gap(NamedTuple):
    """A mean difference over seeds, its standard error, and the least size that is ``resolved`` at the level asked."""

    gap: float
    error: float
    least: float

    @property
    def resolved(self) -> bool:
        """Say whether the difference is larger than chance between seeds explains."""
        return abs(self.gap) > self.least


def compare(these: Sequence[float], those: Sequence[float], level: float = 0.95) -> Gap:
    """Compare two methods seed by seed: the mean of ``these - those``, and Student's t for so few of them.

    ``least = t error``, with ``error = sd / sqrt(R)`` and ``t`` the quantile of ``R - 1`` degrees of freedom: 4.3 for 3
    seeds.

    Args:
        these: A score of one method, one value a seed.
        those: Of the other, with the same seeds.
        level: Of the interval ``gap +- least``.

    Raises:
        ValueError: If there are not as many of both, or fewer than 2.

    Example:
        >>> found = compare([0.1, 0.2, 0.3], [0.2, 0.3, 0.4])
        >>> round(found.gap, 3), found.resolved
        (-0.1, True)
    """
    if len(these) != len(those) or len(these) < 2:
        raise ValueError(f"these has {len(these)} seeds, those {len(those)}; wanted as many of both, 2 or more")
    apart = torch.as_tensor(these, dtype=torch.float64) - torch.as_tensor(those, dtype=torch.float64)
    error = float(apart.std()) / len(apart) ** 0.5
    return Gap(float(apart.mean()), error, float(student.ppf((1 + level) / 2, len(apart) - 1)) * error)
