"""Posteriors under attack, side by side, and what the strongest attack leaves of them.

A plan is a pair ``(statistic, attack)``: what of the draws is attacked, e.g. ``predictor.log_mean``, and by what,
``attack(predictor, x, y) -> x'``. Numbers are of the draws that were attacked.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from apdlab.attacks import apgd, fgsm, margin, noise, pgd, square
from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy
from apdlab.moments import Moments
from apdlab.predict import predict_moments
from apdlab.predictor import log_mean, mean_log, predictor
from apdlab.streams import stream
from apdlab.types import Data

Plan = tuple[Callable, Callable[..., Tensor]]


def right(m: Moments, y: Tensor) -> Tensor:
    """Say of which inputs the averaged predictive gives the label, boolean ``[N]``."""
    return m.log_mean.argmax(-1) == y


def score(m: Moments, y: Tensor) -> dict[str, float]:
    """Average accuracy, predictive entropy and mutual information over inputs."""
    doubts = {"entropy": predictive_entropy(m), "mutual_information": mutual_information(m)}
    accuracy = float(right(m, y).double().mean())
    return {"accuracy": accuracy} | {name: float(doubt.mean()) for name, doubt in doubts.items()}


def battery(eps: float, *, steps: int, queries: int, seed: int) -> dict[str, Plan]:
    """List attacks of one size in the l-infinity norm, from noise to those that the strongest is looked for among.

    Args:
        eps: Size, in units of the data.
        steps: Of the gradient attacks.
        queries: Of the search without gradients.
        seed: Of noise, starts and squares, which are the same for every posterior.

    Returns:
        For :func:`survey`; PGD has two random starts, PGD and Auto-PGD stop at success, which changes no accuracy.

    Example:
        >>> list(battery(0.1, steps=10, queries=10, seed=0))
        ['noise', 'FGSM', 'PGD', 'Auto-PGD', 'mean of losses', 'Square']
    """
    full = {"eps": eps, "steps": steps, "loss": margin, "enough": 0.0}
    return {
        "noise": (log_mean, _anew(noise, seed, eps=eps)),
        "FGSM": (log_mean, partial(fgsm, eps=eps)),
        "PGD": (log_mean, _anew(pgd, seed, **full, restarts=2)),
        "Auto-PGD": (log_mean, partial(apgd, **full)),
        "mean of losses": (mean_log, partial(pgd, eps=eps, steps=steps)),
        "Square": (log_mean, _anew(square, seed, eps=eps, queries=queries)),
    }


def _anew(attack: Callable[..., Tensor], seed: int, **how: Any) -> Callable[..., Tensor]:
    def thrown(predictor: Callable[[Tensor], Any], x: Tensor, y: Tensor) -> Tensor:
        dice = stream(seed, f"attacks/{attack.__name__}", device=x.device)
        return attack(predictor, x, y, **how, generator=dice)

    return thrown


def survey(draws: Mapping[str, Draws], plans: Mapping[str, Plan], data: Data) -> list[dict[str, str | float]]:
    """Attack each posterior by each plan; the row ``strongest`` counts an example right if it withstood all of them.

    Args:
        draws: What to attack, under the id of each method.
        plans: By what, in one ball: the strongest of attacks of unlike sizes would mean nothing.
        data: Labelled inputs.

    Returns:
        Rows ``{method, attack, accuracy, entropy, mutual_information}``, of ``clean`` inputs first; with the first and
        the last, ``right [N]`` says of which inputs.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> plans = {"fgsm": (log_mean, partial(fgsm, eps=0.1))}
        >>> draws, data = Draws(mlp(2, 3), torch.ones(5, 9)), Data(torch.zeros(4, 2), torch.arange(4) % 3)
        >>> [row["attack"] for row in survey({"sgld": draws}, plans, data)]
        ['clean', 'fgsm', 'strongest']
    """
    rows = []
    for method, one in draws.items():
        seen = {"clean": predict_moments(one, data.x)}
        for name, (statistic, attack) in plans.items():
            seen[name] = predict_moments(one, attack(predictor(one, statistic), data.x, data.y))
        rows += [{"method": method, "attack": name} | score(m, data.y) for name, m in seen.items()]
        rights = torch.stack([right(m, data.y) for m in seen.values()])
        rows[-len(seen)]["right"], withstood = rights[0].tolist(), rights.all(0)
        strongest = {"accuracy": float(withstood.double().mean()), "right": withstood.tolist()}
        rows.append({"method": method, "attack": "strongest"} | strongest)
    return rows


def transfer(draws: Mapping[str, Draws], found: Mapping[str, Tensor], y: Tensor) -> Tensor:
    """Compute the accuracy of each posterior (columns) on what was found against each (rows).

    Args:
        draws: The targets.
        found: Attacked inputs ``[N, ...]``, under the id of their source.
        y: Labels ``[N]``.

    Returns:
        ``[sources, targets]``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> transfer({"sgld": Draws(mlp(2, 2), torch.zeros(5, 6))}, {"sgd": torch.ones(4, 2)}, torch.zeros(4).long())
        tensor([[1.]])
    """
    return torch.tensor(
        [[score(predict_moments(one, x), y)["accuracy"] for one in draws.values()] for x in found.values()]
    )


def against_size(
    posteriors: Sequence[Mapping[str, Draws]], attacks: Mapping[float, Callable[..., Tensor]], data: Data
) -> tuple[dict[str, dict[str, np.ndarray]], dict[float, dict[str, Tensor]]]:
    """Attack the averaged predictive of each posterior by attacks of growing size.

    Args:
        posteriors: Draws of each method, one mapping for each of ``R`` seeds.
        attacks: ``attack(predictor, x, y) -> x'`` under its size.
        data: Labelled inputs.

    Returns:
        Under ``accuracy``, ``entropy``, ``mutual_information`` the values ``[R, E]`` of each method; and, under each
        size, what was found against each method of the first seed.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> ways, data = {"sgld": Draws(mlp(2, 3), torch.ones(5, 9))}, Data(torch.zeros(4, 2), torch.arange(4) % 3)
        >>> curves, found = against_size([ways], {0.1: partial(fgsm, eps=0.1), 0.2: partial(fgsm, eps=0.2)}, data)
        >>> curves["accuracy"]["sgld"].shape, found[0.2]["sgld"].shape
        ((1, 2), torch.Size([4, 2]))
    """
    seen: list[dict] = []
    found: dict[float, dict[str, Tensor]] = {size: {} for size in attacks}
    for seed, ways in enumerate(posteriors):
        for (method, one), (size, attack) in product(ways.items(), attacks.items()):
            x = attack(predictor(one), *data)
            found[size].setdefault(method, x)
            seen.append({"method": method, "seed": seed, "size": size} | score(predict_moments(one, x), data.y))
    table = pd.DataFrame(seen).pivot(index="seed", columns=["method", "size"])
    values = {what: {m: table[what][m].to_numpy() for m in posteriors[0]} for what in table.columns.levels[0]}
    return values, found
