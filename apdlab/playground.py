"""A sampler at work on a posterior over two weights: settings that fit in one string, a walk, and what it shows."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

import torch
from torch import Tensor

from apdlab import targets
from apdlab.diagnostics import ess_bulk, mcse_mean, r_hat
from apdlab.samplers import laws, sghmc, sgld, sgnht, symplectic_euler
from apdlab.streams import stream, streams
from apdlab.targets import Target
from apdlab.types import Sampler

TARGETS: dict[str, Callable[[], Target]] = {
    "gaussian": targets.gaussian,
    "banana": targets.banana,
    "mixture": targets.mixture,
    "ring": targets.ring,
    "two_weights": targets.two_weights,
}
SAMPLERS = ("sgld", "sghmc", "symplectic_euler", "sgnht")
RANGES = {
    "step_size": (0.01, 1.5),
    "friction": (0.05, 10.0),
    "noise": (0.0, 10.0),
    "temperature": (0.05, 4.0),
    "chains": (1, 8),
    "seed": (0, 10**6),
}
ROOM = 10_000  # states a chain that are remembered
FAR = 1e6  # where a walk has left every window for good


class Settings(NamedTuple):
    """All that a walk depends on: :func:`write` puts it in a string, :func:`read` takes it from one.

    Attributes:
        target: A key of ``TARGETS``.
        sampler: One of ``SAMPLERS``.
        step_size: ``h``; of SGLD, whose step is ``eps``, its square root, so that all move alike.
        friction: Of the samplers with momenta.
        noise: Standard deviation of normal noise on each coordinate of the gradient, as minibatches have.
        temperature: ``T``.
        chains: How many.
        seed: Of starts and noise.
    """

    target: str = "gaussian"
    sampler: str = "sghmc"
    step_size: float = 0.3
    friction: float = 1.0
    noise: float = 0.0
    temperature: float = 1.0
    chains: int = 4
    seed: int = 0


def write(settings: Settings) -> str:
    """Write settings as one string.

    Example:
        >>> write(Settings(target="ring"))
        'target=ring&sampler=sghmc&step_size=0.3&friction=1.0&noise=0.0&temperature=1.0&chains=4&seed=0'
    """
    return urlencode(settings._asdict())


def read(text: str) -> Settings:
    """Read settings from a string; what it does not say is as in ``Settings()``.

    Raises:
        ValueError: If a name is unknown, or a value is not of its kind or in its range.

    Example:
        >>> read("target=ring&step_size=0.1").step_size
        0.1
    """
    said = dict(parse_qsl(text.strip(), keep_blank_values=True))
    if unknown := sorted(said.keys() - set(Settings._fields)) or (bool(text.strip()) and not said and [text]):
        raise ValueError(f"state names {unknown}; wanted some of {list(Settings._fields)}, as name=value&name=value")
    return Settings(**{name: _value(name, value) for name, value in said.items()})


def _value(name: str, text: str) -> str | int | float:
    choices = {"target": tuple(TARGETS), "sampler": SAMPLERS}.get(name)
    if choices:
        if text not in choices:
            raise ValueError(f"{name} is {text!r}; wanted one of {', '.join(choices)}")
        return text
    low, high = RANGES[name]
    try:
        value = type(Settings._field_defaults[name])(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise ValueError(f"{name} is {text!r}; wanted a number from {low} to {high}")
    return value


class Walk:
    """Chains of a sampler on a target, one ``advance`` after the other, and what is remembered of them.

    Args:
        settings: What walks where.

    Example:
        >>> walk = Walk(Settings(chains=3))
        >>> walk.advance(20)
        True
        >>> walk.theta.shape
        torch.Size([3, 20, 2])
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Go back to the start."""
        self.target, chains = TARGETS[self.settings.target](), self.settings.chains
        (left, right), (low, high) = self.target.window
        corner, size = torch.tensor([left, low]), torch.tensor([right - left, high - low])
        start = torch.rand(chains, 2, generator=stream(self.settings.seed, "start"), dtype=torch.float64)
        self._noise = stream(self.settings.seed, "gradient noise")
        self._generators = streams(self.settings.seed, "noise", chains)
        self.steps = 0
        self._begin(corner + size * (0.25 + 0.5 * start))

    def change(self, settings: Settings) -> None:
        """Go on with other settings from where the chains are; another target, seed or number of chains starts anew."""
        apart = [a != b for a, b in zip(settings, self.settings, strict=True)]
        start_anew = any(apart[Settings._fields.index(name)] for name in ("target", "chains", "seed"))
        self.settings = settings
        if start_anew:
            self.reset()
        elif any(apart):
            self._begin(self._state.theta)

    def advance(self, steps: int) -> bool:
        """Take steps; False when a chain has left the numbers, and nothing more happens until ``reset``."""
        for _ in range(steps):
            if not self.alive:
                break
            batch = torch.randn(self._state.theta.shape, generator=self._noise, dtype=torch.float64)
            self._state, info = self._kernel.step(self._state, batch, self._generators)
            self.alive = bool((self._state.theta.abs() < FAR).all())
            if self.alive:
                self._remember(info.configurational, info.kinetic)
        return self.alive

    def _begin(self, theta: Tensor) -> None:
        self._kernel = kernel(self.settings, self.target)
        self._state, self._kept, self.alive = self._kernel.init(theta), 0, bool((theta.abs() < FAR).all())
        self._theta = theta.new_empty(len(theta), ROOM, 2)
        self._temperatures = theta.new_full((2, len(theta), ROOM), torch.nan)

    def _remember(self, configurational: Tensor, kinetic: Tensor | None) -> None:
        if self._kept == ROOM:  # forget the older half
            self._kept = ROOM // 2
            for memory, time in ((self._theta, 1), (self._temperatures, 2)):
                memory.narrow(time, 0, self._kept).copy_(memory.narrow(time, ROOM - self._kept, self._kept).clone())
        self._theta[:, self._kept] = self._state.theta
        self._temperatures[0, :, self._kept] = configurational
        if kinetic is not None:
            self._temperatures[1, :, self._kept] = kinetic
        self._kept += 1
        self.steps += 1

    @property
    def position(self) -> Tensor:
        """Where the chains are, ``[C, 2]``."""
        return self._state.theta

    @property
    def theta(self) -> Tensor:
        """The states since the settings were changed, ``[C, T, 2]``."""
        return self._theta[:, : self._kept]

    @property
    def configurational(self) -> Tensor:
        """Temperatures of the weights before each step, ``[C, T]``."""
        return self._temperatures[0, :, : self._kept]

    @property
    def kinetic(self) -> Tensor:
        """Temperatures of the momenta, ``[C, T]``; NaN where there are none."""
        return self._temperatures[1, :, : self._kept]


def kernel(settings: Settings, target: Target) -> Sampler:
    """Build the sampler of the settings; its batches are standard normal numbers ``[C, 2]``, the gradient's noise."""

    def log_posterior(theta: Tensor, batch: Tensor) -> Tensor:
        return target.log_posterior(theta) + settings.noise * (theta * batch).sum(-1)

    h, friction, temperature = settings.step_size, settings.friction, settings.temperature
    if settings.sampler == "sgld":
        return sgld(log_posterior, h**2, temperature)
    with_momenta = {"sghmc": sghmc, "symplectic_euler": symplectic_euler, "sgnht": sgnht}[settings.sampler]
    return with_momenta(log_posterior, h, friction, temperature)


class Exact(NamedTuple):
    """The law of a discretised sampler on the Gaussian: variances ``[2]`` of both weights, and kinetic temperature."""

    variance: Tensor
    kinetic: float | None


def exact(settings: Settings, target: Target) -> Exact | None:
    """Solve for the law that the settings have on a Gaussian target, step size and noise and all; None elsewhere.

    In the directions of the target's axes the weights are independent, each with the law of its precision.

    Raises:
        ValueError: If the step diverges.

    Example:
        >>> settings = Settings(sampler="sgld", step_size=0.5)
        >>> exact(settings, TARGETS["gaussian"]()).variance
        tensor([1.0778, 1.0778], dtype=torch.float64)
    """
    if target.precision is None or settings.sampler == "sgnht":  # whose law is that of many weights
        return None
    precision, axes = torch.linalg.eigh(target.precision)
    h, T, noise = settings.step_size, settings.temperature, settings.noise**2
    if settings.sampler == "sgld":
        found = [laws.sgld(h**2, float(k), T, noise) for k in precision]
    else:
        law = {"sghmc": laws.sghmc, "symplectic_euler": laws.symplectic_euler}[settings.sampler]
        found = [law(h, settings.friction, float(k), T, noise) for k in precision]
    variance = torch.tensor([each.variance for each in found], dtype=torch.float64)
    kinetic = None if found[0].kinetic is None else sum(each.kinetic for each in found) / len(found)
    return Exact((axes.square() * variance).sum(-1), kinetic)


def marginals(target: Target, temperature: float, points: int = 241) -> tuple[tuple[Tensor, Tensor], ...]:
    """Integrate ``p^(1/T)`` over the other weight, on a grid: ``(values, density)`` of each weight.

    Example:
        >>> import torch
        >>> (x, density), _ = marginals(targets.gaussian(), temperature=1.0)
        >>> bool((density - torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5).abs().max() < 1e-3)
        True
    """
    x, y, values = target.on_grid(points)
    p = torch.softmax(values.flatten() / temperature, 0).view_as(values)
    return tuple((at, p.sum(other) / (at[1] - at[0])) for at, other in ((x, 0), (y, 1)))


class Reading(NamedTuple):
    """What a walk says of itself: R-hat and ESS of the two weights (the worse one), temperatures and their errors."""

    r_hat: float
    ess: float
    kinetic: tuple[float, float]
    configurational: tuple[float, float]


def reading(walk: Walk, last: int = 4000) -> Reading | None:
    """Diagnose the last states of a walk; None before there are enough.

    Example:
        >>> walk = Walk(Settings())
        >>> walk.advance(500)
        True
        >>> reading(walk).r_hat < 1.5
        True
    """
    theta = walk.theta[:, -last:]
    if theta.shape[1] < 20:
        return None

    def mean(values: Tensor) -> tuple[float, float]:
        values = values[:, -last:]
        if values.isnan().any():
            return torch.nan, torch.nan
        return float(values.mean()), float(mcse_mean(values))

    return Reading(
        float(r_hat(theta).max()), float(ess_bulk(theta).min()), mean(walk.kinetic), mean(walk.configurational)
    )
