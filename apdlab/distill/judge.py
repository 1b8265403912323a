"""What held-out draws say of a distilled posterior: how much noise it lacks, and how far its predictions are off.

Draws of the same chain are held out. In the space of functions, where chains mix, they are a fair judge; in the space
of weights, where they hardly do, a later block would prefer whatever is blurred widely enough.
"""

import math
from dataclasses import fields, replace

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.distill.coordinates import Distilled
from apdlab.fidelity import total_variation
from apdlab.metrics import mutual_information
from apdlab.moments import Moments
from apdlab.predict import predict_moments
from apdlab.streams import stream
from apdlab.types import is_count


def match_disagreement(
    posterior: Distilled, held_out: list[Moments], x: Tensor, *, seed: int, n: int = 100, halvings: int = 5
) -> Distilled:
    """Choose each chain's noise ``s`` in ``[0, 1]`` so that its draws disagree as much as held-out ones, by bisection.

    The mean mutual information over ``x`` grows with ``s``; ``s`` is found to ``2^-(halvings + 1)``. Labels are not
    used. Because it is matched, mean mutual information alone no longer judges the result: its correlation over
    examples and the predictions do.

    Args:
        posterior: What was distilled from ``G`` chains.
        held_out: Predictions of draws of the same chains that it did not learn from, one a chain.
        x: Inputs to compare on, ``[N, ...]``, not the test set.
        seed: Of the draws.
        n: How many draws of each chain to compare.
        halvings: How often the interval is halved.

    Returns:
        The posterior with that noise; none if the coordinates leave nothing out.
    """
    if not posterior.coordinates.residual.any():
        return posterior.with_noise(torch.zeros(len(posterior.coordinates.mean)))
    wanted = disagreement(held_out)
    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    for _ in range(halvings):
        middle = (low + high) / 2
        less = disagreement(of_distilled(posterior.with_noise(middle), x, seed, n)) < wanted
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return posterior.with_noise((low + high) / 2)


def best(kept: list[Distilled], held_out: list[Moments], x: Tensor, seed: int) -> tuple[Distilled, Tensor]:
    """Take of each chain the checkpoint that predicts most like held-out draws; give all distances ``[..., G]``, too.

    Args:
        kept: Checkpoints of one distiller, on the same ``G`` chains.
        held_out: Predictions of draws of these chains, one a chain.
        x: Inputs to compare on, ``[N, ...]``.
        seed: Of the draws.
    """
    distance = torch.stack([between(of_distilled(candidate, x, seed), held_out) for candidate in kept])
    nearest = distance.argmin(0).tolist()

    def chosen(parts: list) -> object:
        same = not isinstance(parts[0], Tensor)
        return parts[0] if same else torch.stack([parts[i][chain] for chain, i in enumerate(nearest)])

    codes = {field.name: chosen([getattr(c.codes, field.name) for c in kept]) for field in fields(kept[0].codes)}
    codes = replace(kept[0].codes, **codes)
    return replace(kept[0], codes=codes, noise=chosen([candidate.noise for candidate in kept])), distance


def between(a: list[Moments], b: list[Moments]) -> Tensor:
    """Measure the total variation between two lists of predictions, pair by pair."""
    return torch.tensor([total_variation(p, q) for p, q in zip(a, b, strict=True)])


def disagreement(predictions: list[Moments]) -> Tensor:
    """Average each chain's mutual information over the inputs, ``[G]``."""
    return torch.stack([mutual_information(m).mean() for m in predictions])


def of_chains(chains: Chains, x: Tensor, n: int = 100) -> list[Moments]:
    """Predict with ``n`` draws of each chain, or all that it has."""
    n = min(n, chains.theta.shape[1])
    return [predict_moments(chains[c : c + 1].thin(n), x) for c in range(len(chains))]


def of_distilled(posterior: Distilled, x: Tensor, seed: int, n: int = 100) -> list[Moments]:
    """Predict with ``n`` draws of each chain's generator."""
    chains = len(posterior.coordinates.mean)
    draws = posterior.sample(n * chains, generator=stream(seed, "judge", device=x.device))
    return [predict_moments(draws[c::chains], x) for c in range(chains)]


def refuse_training(steps: int, checkpoints: int, learning_rate: float) -> None:
    """Refuse numbers that no training among whose checkpoints one is chosen can have."""
    if not is_count(steps) or not is_count(checkpoints, steps):
        wanted = "1 <= checkpoints <= steps, whole numbers"
        raise ValueError(f"steps is {steps}, checkpoints {checkpoints}; wanted {wanted}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}; wanted a finite number above 0, e.g. 1e-3")
