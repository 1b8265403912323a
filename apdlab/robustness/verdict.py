"""What follows from attacks: does a method defend better than a point estimate, by more than chance?"""

import math
from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor

from apdlab.paired import compare

KEPT = 0.9  # of the clean accuracy, what is left to a method that defends


def verdict(rows: Iterable[dict], *, reference: str = "sgd") -> pd.DataFrame:
    """Judge each method at each size by the strongest attack: does it defend?

    Its gain is the difference to the reference in what withstood, ``d [R, N]``, on the same images, averaged. It is
    resolved if it is larger than ``least = sqrt(t_R^2 v_R + t_N^2 v_N)``, with ``v_R`` the variance of its mean over
    seeds and ``v_N`` over images, each with the quantile of its own Student's t: both other seeds and other images
    could have given another gain. What is not resolved is called so; a loss is ``weaker``; a gain ``defends`` if nine
    tenths of the clean accuracy are left, and else ``delays``.

    Args:
        rows: Of :func:`survey`, with ``seed`` and ``size`` each.
        reference: The point estimate.

    Returns:
        For each ``size`` and ``method``: accuracies ``clean`` and ``strongest``, ``gain`` and its ``least``, the parts
        ``of_seeds`` and ``of_images``, and the ``verdict``.

    Raises:
        ValueError: If a method lacks the reference's seeds or images, or there are fewer than 2 of either.

    Example:
        >>> kept = {"sgd": [[True, False] * 50] * 3, "ensemble": [[True] * 100] * 3}
        >>> rows = [{"method": m, "seed": s, "size": 0.1, "attack": a, "right": [True] * 100 if a == "clean" else r}
        ...     for m, seeds in kept.items() for s, r in enumerate(seeds) for a in ("clean", "strongest")]
        >>> verdict(rows).verdict.to_dict()
        {(0.1, 'sgd'): 'reference', (0.1, 'ensemble'): 'defends'}
    """
    frame = pd.DataFrame(rows).sort_values("seed", kind="stable")
    by = frame.groupby(["size", "method", "attack"], sort=False).right.agg(list)
    right = {key: torch.tensor(masks, dtype=torch.float64) for key, masks in by.items()}
    judged = {}
    for size, method, attack in right:
        if attack == "strongest":
            clean, left, base = (right[size, *of] for of in ((method, "clean"), (method, attack), (reference, attack)))
            found = {"clean": clean.mean().item(), "strongest": left.mean().item()} | _gain(left, base)
            judged[size, method] = found | {"verdict": "reference" if method == reference else _word(**found)}
    return pd.DataFrame.from_dict(judged, orient="index").rename_axis(["size", "method"])


def _gain(left: Tensor, base: Tensor) -> dict[str, float]:
    if left.shape != base.shape or min(left.shape) < 2:
        seen = f"rows have {tuple(left.shape)} seeds and images, of the reference {tuple(base.shape)}"
        raise ValueError(f"{seen}; wanted the same of both, 2 or more: attack the same images in the same seeds")
    seeds, images = (compare(left.mean(axis).tolist(), base.mean(axis).tolist()).least for axis in (1, 0))
    gain = (left - base).mean().item()
    return {"gain": gain, "least": math.hypot(seeds, images), "of_seeds": seeds, "of_images": images}


def _word(clean: float, strongest: float, gain: float, least: float, **parts: float) -> str:
    if abs(gain) <= least:
        return "not resolved"
    return "weaker" if gain < 0 else "defends" if strongest >= KEPT * clean else "delays"
