"""Attacked inputs, told from clean ones by doubt: under attacks that do not know of it, and that do."""

from collections.abc import Mapping, Sequence
from itertools import product

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from apdlab.attacks import apgd, evasive
from apdlab.draws import Draws
from apdlab.metrics import mutual_information, predictive_entropy
from apdlab.moments import Moments
from apdlab.predict import predict_moments
from apdlab.predictor import averages, predictor
from apdlab.robustness.survey import right
from apdlab.types import Data

FLAGGED = 0.05  # of clean inputs that are predicted right, a detector may raise a false alarm
SCORES = {"entropy": predictive_entropy, "mutual_information": mutual_information}


def detection(clean: Moments, attacked: Moments, y: Tensor) -> dict[str, float]:
    """Tell clean inputs that are predicted right from attacked ones that are wrong, by doubt.

    Args:
        clean: Predictions of clean inputs.
        attacked: Of the same, attacked.
        y: Labels ``[N]``.

    Returns:
        ``fooled``, the share of attacked inputs that are wrong; the AUROC of each score, NaN if there is nothing to
        tell apart, below .5 if attacked inputs look *surer* than clean ones; and ``unnoticed by`` each score, the
        share of all inputs that are wrong with no more doubt than 95 % of the clean ones have.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> clean, doubtful = (moments(torch.tensor([[[p, 1 - p]] * 3]).log()) for p in (0.9, 0.4))
        >>> detection(clean, doubtful, torch.zeros(3).long())["entropy"]
        1.0
    """
    normal, fooled = right(clean, y), ~right(attacked, y)
    labels = [0] * int(normal.sum()) + [1] * int(fooled.sum())
    found = {"fooled": float(fooled.double().mean())}
    for name, doubt in SCORES.items():
        usual, values = doubt(clean)[normal], doubt(attacked)[fooled]
        both = torch.cat([usual, values]).numpy(force=True)
        found[name] = float(roc_auc_score(labels, both)) if len(set(labels)) == 2 else float("nan")
        limit = usual.quantile(1 - FLAGGED) if len(usual) else torch.inf
        found[f"unnoticed by {name}"] = float((values <= limit).sum()) / len(y)
    return found


def watch(
    draws: Mapping[str, Draws], eps: Sequence[float], data: Data, *, steps: int, weights: Sequence[float]
) -> list[dict[str, str | float]]:
    """Look for attacked inputs by doubt, where the attack does not know of it, and where it lowers just that score.

    Args:
        draws: Posteriors, under the id of each method.
        eps: Sizes, in units of the data.
        data: Labelled inputs.
        steps: Of Auto-PGD.
        weights: Of the score in the adaptive attacks, :func:`apdlab.attacks.evasive`: each is another attack.

    Returns:
        Rows ``{method, size, attack, weight}`` with what :func:`detection` gives; ``attack`` is ``plain``, of weight 0,
        or ``on`` the score that it lowers.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws, data = Draws(mlp(2, 3), torch.ones(5, 9)), Data(torch.zeros(4, 2), torch.arange(4) % 3)
        >>> [row["attack"] for row in watch({"sgld": draws}, [0.1], data, steps=2, weights=[3.0])]
        ['plain', 'on entropy', 'on mutual_information']
    """
    losses = {("plain", 0.0): evasive(0.0, confidence=torch.inf)}
    losses |= {(f"on {name}", w): evasive(w, score=doubt) for name, doubt in SCORES.items() for w in weights}
    rows = []
    for method, one in draws.items():
        clean = predict_moments(one, data.x)
        for size, ((name, weight), loss) in product(eps, losses.items()):
            x = apgd(predictor(one, averages), *data, eps=size, steps=steps, loss=loss)
            found = detection(clean, predict_moments(one, x), data.y)
            rows.append({"method": method, "size": size, "attack": name, "weight": weight} | found)
    return rows
