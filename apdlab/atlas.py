"""An atlas of maps that were computed before, and one look at it: everything that an explorer shows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from apdlab.maps import MEASURES
from apdlab.moments import moments
from apdlab.types import Data, is_count


class Sheet(NamedTuple):
    """A set of two classes, and the log probabilities ``[S, P P, 2]`` of each method under its id."""

    data: Data
    log_probs: Mapping[str, Tensor]


class Settings(NamedTuple):
    """Where to look, and at what.

    Attributes:
        data_set: Its name.
        noise: Of the set.
        size: Points a class.
        method: Whose draws.
        measure: A key of ``MEASURES``.
        draws: How many of them, 1 or more, the first ones.
        draw: The one whose boundary is shown, counted from 0.
        x1: Of the point that is inspected; the nearest node is.
        x2: Likewise.
    """

    data_set: str
    noise: float
    size: int
    method: str
    measure: str = "total"
    draws: int = 1
    draw: int = 0
    x1: float = 0.0
    x2: float = 0.0


class Look(NamedTuple):
    """What is seen: maps are ``[P, P]``, rows are ``x2``.

    Attributes:
        data: The set.
        image: The measure, in nats, or the mean probability of class 1.
        log_odds: Of class 1 by the single draw; its boundary is where they are 0.
        point: The node that is inspected.
        opinions: Probabilities of class 1 there, one a draw, ``[k]``.
        total: Uncertainty there, nats.
        aleatoric: Its part that draws agree on.
        epistemic: Its part that they disagree on.
    """

    data: Data
    image: Tensor
    log_odds: Tensor
    point: tuple[float, float]
    opinions: Tensor
    total: float
    aleatoric: float
    epistemic: float


@dataclass(frozen=True)
class Atlas:
    """Holds a sheet for each data set, noise and size, all on one square.

    Attributes:
        axis: Nodes of each side, ascending, ``[P]``.
        sheets: Under ``(data set, noise, size)``.

    Raises:
        ValueError: If there is no sheet, or one is of another square or of other classes than two.

    Example:
        >>> import torch
        >>> from apdlab.types import Data
        >>> data = Data(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
        >>> sheet = Sheet(data, {"sgld": torch.full((6, 9, 2), 0.5).log()})
        >>> atlas = Atlas(torch.linspace(-5, 5, 3), {("clusters", 0.5, 2): sheet})
        >>> round(look(atlas, Settings("clusters", 0.5, 2, "sgld")).aleatoric, 4)
        0.6931
    """

    axis: Tensor
    sheets: Mapping[tuple[str, float, int], Sheet]

    def __post_init__(self) -> None:
        if not self.sheets:
            raise ValueError("sheets has none; wanted one or more, under (data set, noise, size)")
        wanted = (len(self.axis) ** 2, 2)
        for key, sheet in self.sheets.items():
            for method, log_probs in sheet.log_probs.items():
                if log_probs.ndim != 3 or log_probs.shape[1:] != wanted or not len(log_probs):
                    seen = f"log_probs of {method!r} in sheet {key} has shape {tuple(log_probs.shape)}"
                    raise ValueError(f"{seen}; wanted [S, {wanted[0]}, 2], one row a node of square({len(self.axis)})")

    def choices(self) -> tuple[list[str], list[float], list[int], list[str]]:
        """List the data sets, noises, sizes and methods that there are."""
        sets, noises, sizes = (list(dict.fromkeys(column)) for column in zip(*self.sheets, strict=True))
        return sets, noises, sizes, list(next(iter(self.sheets.values())).log_probs)

    def log_probs(self, settings: Settings) -> Tensor:
        """Find the log probabilities of all draws that these settings speak of, ``[S, P P, 2]``.

        Raises:
            ValueError: If there is no such sheet or method.
        """
        key = tuple(settings[:3])
        if key not in self.sheets:
            raise ValueError(f"sheet is {key}; wanted one of {list(self.sheets)}")
        found = self.sheets[key].log_probs
        if settings.method not in found:
            raise ValueError(f"method is {settings.method!r}; wanted one of {', '.join(found)}")
        return found[settings.method]


def look(atlas: Atlas, settings: Settings) -> Look:
    """Look at one map and one point: ``total = aleatoric + epistemic`` of the first ``draws`` draws.

    Args:
        atlas: All that was computed before.
        settings: Where to look.

    Raises:
        ValueError: If the atlas does not have what is asked for.
    """
    log_probs = atlas.log_probs(settings)
    _refuse(settings, len(log_probs))
    side = len(atlas.axis)
    column, row = (_nearest(atlas.axis, name, getattr(settings, name)) for name in ("x1", "x2"))
    seen, node = log_probs[: settings.draws], row * side + column
    m, here = moments(seen), moments(seen[:, node : node + 1])
    single = log_probs[settings.draw]
    return Look(
        data=atlas.sheets[tuple(settings[:3])].data,
        image=MEASURES[settings.measure](m).view(side, side),
        log_odds=(single[:, 1] - single[:, 0]).view(side, side),
        point=(float(atlas.axis[column]), float(atlas.axis[row])),
        opinions=seen[:, node, 1].exp(),
        **{name: float(MEASURES[name](here)) for name in ("total", "aleatoric", "epistemic")},
    )


def _refuse(settings: Settings, size: int) -> None:
    if settings.measure not in MEASURES:
        raise ValueError(f"measure is {settings.measure!r}; wanted one of {', '.join(MEASURES)}")
    if not is_count(settings.draws, size):
        raise ValueError(f"draws is {settings.draws}; wanted 1 to {size}, as many as {settings.method} has")
    if not is_count(settings.draw + 1, size):
        raise ValueError(f"draw is {settings.draw}; wanted 0 to {size - 1}, one that {settings.method} has")


def _nearest(axis: Tensor, name: str, at: float) -> int:
    low, high = float(axis[0]), float(axis[-1])
    if not low <= at <= high:
        raise ValueError(f"{name} is {at}; wanted {low:g} to {high:g}, a place on the map")
    return int((axis - at).abs().argmin())


def in_words(total: float, epistemic: float) -> str:
    """Say what kind of uncertainty this is, by a rule: sure below a tenth of ``log 2``, else by the larger part.

    Example:
        >>> in_words(0.6, 0.1)
        'noise: the draws agree that it is open'
    """
    if total < 0.1 * math.log(2):
        return "sure: the draws agree on the class"
    if epistemic > total / 2:
        return "doubt: the draws disagree"
    return "noise: the draws agree that it is open"
