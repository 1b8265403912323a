r"""The stationary law of each sampler on a Gaussian of precision ``k``, step size and gradient noise and all.

Each step is linear there, ``s <- F s + G xi`` with ``s = (theta, m)``, so the covariance solves ``S = F S F' + G G'``:
these are its solutions. ``gradient_noise`` is the variance ``s^2`` of a coordinate of the gradient of the log posterior
(the sum, not the mean) around its expectation, drawn afresh in every step. Without it and at ``h -> 0`` the variance
is ``T / k`` and the kinetic temperature ``T``.
"""

import math
from typing import NamedTuple

from scipy.optimize import brentq

from apdlab.samplers.kernel import checked_friction
from apdlab.samplers.sghmc import euler_momentum
from apdlab.schedules import constant, temperatures


class Law(NamedTuple):
    """The variance of a coordinate of ``theta``, and the mean of ``m^2 / M`` (None without momenta)."""

    variance: float
    kinetic: float | None = None


def sgld(step_size: float, precision: float, temperature: float = 1.0, gradient_noise: float = 0.0) -> Law:
    """Solve SGLD: ``Var theta = (T + eps s^2 / 4) / (k (1 - eps k / 4))``.

    Args:
        step_size: ``eps``.
        precision: ``k``, above 0.
        temperature: ``T``.
        gradient_noise: ``s^2``.

    Raises:
        ValueError: If a number is outside its range, or the step diverges: ``eps k >= 4``.

    Example:
        >>> sgld(step_size=0.4, precision=1.0).variance
        1.1111...
    """
    _check(step_size, precision, temperature, gradient_noise)
    curvature = _stable("step_size * precision", step_size * precision, 4.0)
    return Law((temperature + step_size * gradient_noise / 4) / (precision * (1 - curvature / 4)))


def sghmc(
    step_size: float,
    friction: float,
    precision: float,
    temperature: float = 1.0,
    gradient_noise: float = 0.0,
    mass: float = 1.0,
) -> Law:
    """Solve SGHMC: ``Var theta = (T + h^2 s^2 / M (1 + c) / ((1 - c) (4 - x))) / k``, ``x = h^2 k / M``.

    The kinetic temperature is ``T + h^2 s^2 / M 4 c^2 / ((1 - c^2) (4 - x))``, and ``c = exp(-friction h)``.

    Args:
        step_size: ``h``.
        friction: As of the sampler.
        precision: ``k``, above 0.
        temperature: ``T``.
        gradient_noise: ``s^2``.
        mass: ``M``.

    Raises:
        ValueError: If a number is outside its range, or the step diverges: ``x >= 4``.

    Example:
        >>> sghmc(step_size=1.5, friction=0.2, precision=1.0)
        Law(variance=1.0, kinetic=1.0)
        >>> round(sghmc(step_size=0.1, friction=1.0, precision=1.0, gradient_noise=1.0).variance, 4)
        1.0502
    """
    _check(step_size, precision, temperature, gradient_noise)
    x = _stable("step_size^2 * precision / mass", step_size**2 * precision / mass, 4.0)
    c, kick = math.exp(-checked_friction(friction) * step_size), step_size**2 * gradient_noise / mass
    variance = (temperature + kick * (1 + c) / ((1 - c) * (4 - x))) / precision
    return Law(variance, temperature + kick * 4 * c**2 / ((1 - c**2) * (4 - x)))


def symplectic_euler(
    step_size: float,
    friction: float,
    precision: float,
    temperature: float = 1.0,
    gradient_noise: float = 0.0,
    mass: float = 1.0,
) -> Law:
    """Solve the symplectic Euler step: ``Var theta = (T + h^2 s^2 / (2 (1 - beta) M)) / (k (1 - x / (2 (1 + beta))))``.

    The kinetic temperature is ``2 k / (1 + beta)`` times that; ``x = h^2 k / M``, ``beta = 1 - friction h``.

    Args:
        step_size: ``h``.
        friction: As of the sampler.
        precision: ``k``, above 0.
        temperature: ``T``.
        gradient_noise: ``s^2``.
        mass: ``M``.

    Raises:
        ValueError: If a number is outside its range, or the step diverges: ``x >= 2 (1 + beta)``.

    Example:
        >>> round(symplectic_euler(step_size=0.1, friction=1.0, precision=1.0).kinetic, 4)
        1.0554
    """
    _check(step_size, precision, temperature, gradient_noise)
    beta = euler_momentum(checked_friction(friction), step_size)
    x = _stable("step_size^2 * precision / mass", step_size**2 * precision / mass, 2 * (1 + beta))
    warmth = temperature + step_size**2 * gradient_noise / (2 * (1 - beta) * mass)
    variance = warmth / (precision * (1 - x / (2 * (1 + beta))))
    return Law(variance, precision * variance * 2 / (1 + beta))


def sgnht(
    step_size: float, friction: float, precision: float, temperature: float = 1.0, gradient_noise: float = 0.0
) -> Law:
    """Solve SGNHT for many coordinates: ``Var theta = (T - h^2 s^2 tanh(xi h / 2) / (4 - x)) / k``, ``x = h^2 k``.

    With many equal coordinates the thermostat stands still where the mean of ``m^2`` before and after the friction is
    ``T``: ``T (1 - A / xi) = 2 h^2 s^2 / ((4 - x) tanh(xi h))``, with ``A`` the friction. So noise in the gradient is
    absorbed, but for a term of the third order. The kinetic temperature is that of the state after a step,
    ``T A / xi + 4 c^2 h^2 s^2 / ((1 - c^2) (4 - x))``, ``c = exp(-xi h)``.

    Args:
        step_size: ``h``.
        friction: As of the sampler.
        precision: ``k``, above 0.
        temperature: ``T``, above 0.
        gradient_noise: ``s^2``.

    Raises:
        ValueError: If a number is outside its range, the step diverges (``x >= 4``), or the noise is more than the
            thermostat can take away.

    Example:
        >>> round(sgnht(step_size=0.1, friction=1.0, precision=1.0, gradient_noise=1.0).variance, 6)
        0.999869
    """
    _check(step_size, precision, temperature, gradient_noise)
    x = _stable("step_size^2 * precision", step_size**2 * precision, 4.0)
    kick = step_size**2 * gradient_noise / (4 - x)

    room = temperature - 2 * kick
    if not room > 0:
        raise ValueError(
            f"gradient_noise {gradient_noise:.3g} with step_size {step_size:.3g} keeps momenta above temperature "
            f"{temperature}; wanted 2 step_size^2 gradient_noise / (4 - step_size^2 precision) below it"
        )
    bounds = checked_friction(friction), (temperature * friction + 2 * kick / step_size) / room
    missing = lambda xi: temperature * (1 - friction / xi) - 2 * kick / math.tanh(xi * step_size)  # noqa: E731
    xi = friction if kick == 0 else brentq(missing, *bounds, xtol=1e-14, rtol=1e-14)
    c = math.exp(-xi * step_size)
    variance = (temperature - kick * math.tanh(xi * step_size / 2)) / precision
    return Law(variance, temperature * friction / xi + 4 * c**2 * kick / (1 - c**2))


def _check(step_size: float, precision: float, temperature: float, gradient_noise: float) -> None:
    constant(step_size)
    temperatures(temperature)
    if not 0 < precision < math.inf:
        raise ValueError(f"precision is {precision}; wanted a finite number above 0")
    if not 0 <= gradient_noise < math.inf:
        raise ValueError(f"gradient_noise is {gradient_noise}; wanted a finite variance of 0 or more")


def _stable(name: str, value: float, bound: float) -> float:
    if not value < bound:
        raise ValueError(f"{name} is {value:.3g}, so the step diverges; wanted below {bound:.3g}: a smaller step_size")
    return value
