"""Step sizes and temperatures as functions of the step number, ``schedule(t) -> float`` with ``t = 0, 1, 2, ...``."""

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


def cosine(step_size: float, period: int) -> Schedule:
    """Let the step size fall in cycles: ``h_t = h / 2 (1 + cos(pi (t mod P) / P))``, never 0.

    It acts on the step size ``h`` of samplers with momentum, so that a learning rate ``h^2`` falls by its square
    (Wenzel et al., 2020, https://arxiv.org/abs/2002.02405), or on ``eps`` of SGLD (Zhang et al., 2020,
    https://arxiv.org/abs/1902.03932).

    Args:
        step_size: The first of each cycle.
        period: Steps in a cycle.

    Raises:
        ValueError: If the step size is not above 0 or the period is below 1.

    Example:
        >>> [round(cosine(1.0, 4)(t), 3) for t in range(6)]
        [1.0, 0.854, 0.5, 0.146, 1.0, 0.854]
    """
    first = constant(step_size)
    if period < 1:
        raise ValueError(f"period is {period}; wanted 1 step or more")
    return lambda t: first(t) / 2 * (1 + math.cos(math.pi * (t % period) / period))


def ramp(temperature: float, start: int, end: int) -> Schedule:
    """Warm up: temperature 0 up to step ``start``, then in a straight line to ``T`` at ``end`` and after it.

    Args:
        temperature: ``T``.
        start: The last step at temperature 0.
        end: The first step at ``T``, above ``start``.

    Raises:
        ValueError: If the temperature is below 0 or the steps are not in order.

    Example:
        >>> [ramp(1.0, 1, 3)(t) for t in range(5)]
        [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    last = temperatures(temperature)
    if not start < end:
        raise ValueError(f"start, end are {start}, {end}; wanted start < end")
    return lambda t: last(t) * min(max((t - start) / (end - start), 0.0), 1.0)


def step_sizes(step_size: float | Schedule) -> Schedule:
    """Make a schedule of a number or a schedule whose values are checked when they are used.

    Raises:
        ValueError: If a step size is not a finite number above 0, at once or when its step comes.

    Example:
        >>> step_sizes(lambda t: 1 - t)(1)
        Traceback (most recent call last):
        ValueError: step_size is 0 at step 1; wanted finite numbers above 0: a schedule with a floor, or fewer steps
    """
    if not callable(step_size):
        return constant(step_size)

    def checked(t: int) -> float:
        if not 0 < (value := step_size(t)) < math.inf:
            raise ValueError(
                f"step_size is {value} at step {t}; wanted finite numbers above 0: a schedule with a floor, "
                "or fewer steps"
            )
        return value

    return checked


def temperatures(temperature: float | Schedule) -> Schedule:
    """Make a schedule of a number or a schedule whose values are checked when they are used.

    Raises:
        ValueError: If a temperature is not a finite number of 0 or more, at once or when its step comes.

    Example:
        >>> temperatures(0.5)(1000)
        0.5
    """
    wanted = "wanted a finite number of 0 or more (1 is Bayes)"
    if not callable(temperature):
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; {wanted}")
        return lambda t: temperature

    def checked(t: int) -> float:
        if not 0 <= (value := temperature(t)) < math.inf:
            raise ValueError(f"temperature is {value} at step {t}; {wanted}")
        return value

    return checked
