r"""Cyclical SG-MCMC (Zhang et al., 2020): explore, warm up, sample, again and again, for several modes in one run.

Each cycle starts with a large step, which falls as a cosine. First the chain descends at temperature 0, then it warms
up in a straight line, and only what comes at the full temperature is kept.
"""

from typing import NamedTuple

from apdlab.schedules import Schedule, cosine, ramp


class Cycles(NamedTuple):
    """Two schedules for any sampler, and the numbers of the steps after which states are kept."""

    step_size: Schedule
    temperature: Schedule
    kept: list[int]


def cyclical(
    step_size: float,
    steps: int,
    cycles: int,
    *,
    explore: float = 0.8,
    warm_up: float = 0.1,
    temperature: float = 1.0,
    thin: int = 1,
) -> Cycles:
    """Plan a run in cycles: ``h_t = h / 2 (1 + cos(pi r))`` at the share ``r`` of a cycle, ``T = 0``, a ramp, ``T``.

    Args:
        step_size: ``h`` at the start of a cycle (``eps`` of SGLD).
        steps: In all; a multiple of ``cycles``.
        cycles: How many.
        explore: The share of a cycle at temperature 0.
        warm_up: The share in which the temperature rises after that.
        temperature: ``T`` of what is kept.
        thin: Keep every so-many-th state of what is left of a cycle, counted from its end.

    Returns:
        ``Cycles``, for ``sghmc(log_posterior, plan.step_size, friction, plan.temperature)`` and
        ``keep_at(run, network, plan.kept)``.

    Raises:
        ValueError: If cycles are not of one length, or nothing is left to keep.

    Source: Zhang et al., 2020, Cyclical stochastic gradient MCMC for Bayesian deep learning,
    https://arxiv.org/abs/1902.03932; the ramp as in Wenzel et al., 2020, https://arxiv.org/abs/2002.02405

    Example:
        >>> plan = cyclical(0.1, steps=20, cycles=2, explore=0.4, warm_up=0.2)
        >>> plan.kept
        [7, 8, 9, 10, 17, 18, 19, 20]
        >>> [plan.temperature(t) for t in range(3, 8)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    if not (cycles >= 1 and steps >= cycles and steps % cycles == 0):
        raise ValueError(f"steps is {steps}, cycles {cycles}; wanted cycles of one length, 1 step or more each")
    period = steps // cycles
    start, end = round(explore * period), round((explore + warm_up) * period)
    if not (0 <= start <= end < period and thin >= 1):
        raise ValueError(
            f"explore is {explore}, warm_up {warm_up}, thin {thin} in cycles of {period} steps; "
            "wanted shares of 0 or more that leave a step to keep, and thin of 1 or more"
        )
    rise = ramp(temperature, min(start, end - 1), end)
    ends = range(period, steps + 1, period)
    kept = [number for last in ends for number in sorted(range(last, last - period + end, -thin))]
    return Cycles(cosine(step_size, period), lambda t: rise(t % period), kept)
