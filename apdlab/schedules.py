"""Step sizes as functions of the step number, ``schedule(t) -> float`` with ``t = 0, 1, 2, ...``."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def constant(step_size: float) -> Schedule:
    """Keep the step size: ``eps_t = eps``.

    Raises:
        ValueError: If it is not a finite number above 0.

    Example:
        >>> constant(0.1)(1000)
        0.1
    """
    if not 0 < step_size < math.inf:
        raise ValueError(f"step_size is {step_size}; wanted a finite number above 0")
    return lambda t: step_size


def polynomial(a: float, b: float, gamma: float) -> Schedule:
    """Let the step size decay: ``eps_t = a (b + t)^(-gamma)``.

    With ``1/2 < gamma <= 1`` the steps sum to infinity and their squares do not, as SGLD asks for (Welling & Teh,
    2011, https://www.stats.ox.ac.uk/~teh/research/compstats/WelTeh2011a.pdf).

    Args:
        a: Scale, above 0.
        b: Delay, above 0.
        gamma: Power, in ``(1/2, 1]``.

    Raises:
        ValueError: If a number is outside its range.

    Example:
        >>> polynomial(1.0, 1.0, 0.55)(0)
        1.0
    """
    if not (0 < a < math.inf and 0 < b < math.inf):
        raise ValueError(f"a, b are {a}, {b}; wanted finite numbers above 0")
    if not 0.5 < gamma <= 1:
        raise ValueError(f"gamma is {gamma}; wanted a power in (1/2, 1], e.g. 0.55")
    return lambda t: a * (b + t) ** -gamma
