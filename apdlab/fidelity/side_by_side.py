"""All that is compared of two posteriors at once: weights, predictions, and doubt where no data were."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.draws import Draws
from apdlab.fidelity.predictions import agreement, total_variation, uncertainty_correlation
from apdlab.fidelity.weights import mean_error, nearest_ratio, sd_error, sliced_wasserstein, two_sample_accuracy
from apdlab.metrics import mutual_information
from apdlab.moments import Moments
from apdlab.predict import predict_moments


class Portrait(NamedTuple):
    """What is looked at: draws, their coordinates ``[S, k]`` and shadows ``[S, L]``, predictions inside and outside."""

    draws: Draws
    codes: Tensor
    shadow: Tensor
    inside: Moments
    outside: Moments


def portrait(draws: Draws, encode: Callable[[Tensor], Tensor], along: Tensor, x: Tensor, out: Tensor) -> Portrait:
    """Take the portrait of some draws.

    Args:
        draws: ``S`` networks, as many of each posterior that is compared.
        encode: ``theta [S, D] -> [S, k]``, coordinates of equal scale, found from training draws alone.
        along: Random unit directions of all weights, ``[D, L]``; the shadow is ``theta @ along``.
        x: Inputs like those of the data, ``[N, ...]``, not those that distillers were judged on.
        out: Inputs unlike them, ``[M, ...]``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws = Draws(mlp(2, 3), torch.randn(50, 9))
        >>> portrait(draws, lambda theta: theta[:, :4], torch.eye(9), torch.zeros(7, 2), torch.ones(5, 2)).codes.shape
        torch.Size([50, 4])
    """
    theta = draws.theta
    return Portrait(draws, encode(theta), theta @ along, predict_moments(draws, x), predict_moments(draws, out))


def compare(a: Portrait, held_out: Portrait, train: Tensor, *, generator: torch.Generator) -> dict[str, float]:
    """Compare a posterior with draws that it never saw, by what can tell good from bad and by what is usually quoted.

    Errors of per-weight means and standard deviations; sliced Wasserstein distance, a nearest-neighbour classifier's
    accuracy and the distance to the nearest training draw, in coordinates; agreement and total variation of the
    predictions, the correlation of their log mutual information, and the ratio of its means inside and outside;
    ``weight_distance``, the sliced distance of all weights, each as much as it moves. What draws reach that were
    learned from is the floor.

    Args:
        a: Of the posterior.
        held_out: Of draws that neither it nor ``train`` contains.
        train: Coordinates of the draws that it learned from, ``[T, k]``.
        generator: Of the directions and folds.

    Returns:
        A number for each name; those of spread are NaN for a single draw.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(3, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> x, out = torch.ones(7, 2), 5 * torch.ones(5, 2)
        >>> view = lambda t: portrait(Draws(mlp(2, 3), t), lambda w: w, torch.eye(9), x, out)
        >>> found = compare(view(theta[0]), view(theta[1]), theta[2], generator=torch.Generator().manual_seed(0))
        >>> abs(found["two_sample_accuracy"] - 0.5) < 0.25
        True
    """
    single = len(a.draws) == 1
    weights = {"mean_error": mean_error(a.draws.theta, held_out.draws.theta)}
    weights["sd_error"] = torch.nan if single else sd_error(a.draws.theta, held_out.draws.theta)
    weights["sliced_wasserstein"] = sliced_wasserstein(a.codes, held_out.codes, generator=generator)
    two = torch.nan if single else two_sample_accuracy(a.codes, held_out.codes, generator=generator)
    return weights | {
        "two_sample_accuracy": two,
        "nearest_ratio": nearest_ratio(a.codes, train, held_out.codes),
        "agreement": agreement(a.inside, held_out.inside),
        "total_variation": total_variation(a.inside, held_out.inside),
        "correlation": uncertainty_correlation(a.inside, held_out.inside),
        "information_ratio": _doubt(a.inside) / _doubt(held_out.inside),
        "outside_ratio": _doubt(a.outside) / _doubt(held_out.outside),
        "outside_total_variation": total_variation(a.outside, held_out.outside),
        "weight_distance": sliced_wasserstein(a.shadow, held_out.shadow, generator=generator),
    }


def _doubt(m: Moments) -> float:
    return mutual_information(m).mean().item()
