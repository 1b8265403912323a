"""What attacks do to posteriors: accuracy, doubt, detection and transfer, whether to trust that, and what follows.

A plan is a pair ``(statistic, attack)``: what of the draws is attacked, e.g. ``predictor.log_mean``, and by what,
``attack(predictor, x, y) -> x'``. Numbers are of the draws that were attacked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from apdlab.attacks import apgd, cross_entropy, fgsm, loss_and_grad, margin, noise, pgd, square
from apdlab.draws import Draws
from apdlab.metrics import expected_entropy, mutual_information, predictive_entropy
from apdlab.moments import Moments
from apdlab.predict import predict, predict_moments
from apdlab.predictor import predictor
from apdlab.streams import stream
from apdlab.types import Data

Plan = tuple[Callable, Callable[..., Tensor]]
SCORES = {"entropy": predictive_entropy, "mutual_information": mutual_information}
DOUBTS = {"total": predictive_entropy, "aleatoric": expected_entropy, "epistemic": mutual_information}


def right(m: Moments, y: Tensor) -> Tensor:
    """Say of which inputs the averaged predictive gives the label, boolean ``[N]``."""
    return m.log_mean.argmax(-1) == y


def score(m: Moments, y: Tensor) -> dict[str, float]:
    """Average accuracy, predictive entropy and mutual information over inputs."""
    doubts = {name: float(doubt(m).mean()) for name, doubt in SCORES.items()}
    return {"accuracy": float(right(m, y).double().mean())} | doubts


def survey(draws: Mapping[str, Draws], plans: Mapping[str, Plan], data: Data) -> list[dict[str, str | float]]:
    """Attack each posterior by each plan; the row ``strongest`` counts an example right if it withstood all of them.

    Args:
        draws: What to attack, under the id of each method.
        plans: By what, in one ball: the strongest of attacks of unlike sizes would mean nothing.
        data: Labelled inputs.

    Returns:
        Rows ``{method, attack, accuracy, entropy, mutual_information}``, of ``clean`` inputs first.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> from apdlab.predictor import log_mean
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
        withstood = torch.stack([right(m, data.y) for m in seen.values()]).all(0)
        rows.append({"method": method, "attack": "strongest", "accuracy": float(withstood.double().mean())})
    return rows


def transfer(draws: Mapping[str, Draws], found: Mapping[str, Tensor], y: Tensor) -> Tensor:
    """Compute the accuracy of each posterior (columns) on what was found against each (rows).

    Args:
        draws: The targets.
        found: Attacked inputs ``[N, ...]``, under the id of their source.
        y: Labels ``[N]``.

    Returns:
        ``[sources, targets]``.
    """
    return torch.tensor(
        [[score(predict_moments(one, x), y)["accuracy"] for one in draws.values()] for x in found.values()]
    )


def detection(clean: Moments, attacked: Moments, y: Tensor) -> dict[str, float]:
    """Tell clean inputs that are predicted right from attacked ones that are wrong, by doubt.

    Args:
        clean: Predictions of clean inputs.
        attacked: Of the same, attacked.
        y: Labels ``[N]``.

    Returns:
        ``fooled``, the share of attacked inputs that are wrong, and the AUROC of each score; NaN if there is nothing to
        tell apart. Below .5 attacked inputs look *surer* than clean ones.

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
        values = torch.cat([doubt(clean)[normal], doubt(attacked)[fooled]]).numpy(force=True)
        found[name] = float(roc_auc_score(labels, values)) if len(set(labels)) == 2 else float("nan")
    return found


def zero_gradients(draws: Draws, data: Data) -> dict[str, float]:
    """Compute the share of inputs where the gradient is 0: streamed, and as ``log mean p`` is often written.

    The second is ``log (mean_s p_s(y) + 1e-12)`` of the most probable *other* class, in the network's own precision.

    Returns:
        ``streamed`` and ``naive``.
    """
    f, network = predictor(draws), draws.network

    def naive(x: Tensor) -> Tensor:
        return (network(network.unravel(draws.theta), x[None]).softmax(-1).mean(0) + 1e-12).log()

    runner_up = f(data.x).scatter(-1, data.y[:, None], -torch.inf).argmax(-1)
    ways = {"streamed": (f, data.y, margin), "naive": (naive, runner_up, cross_entropy)}
    grads = {name: loss_and_grad(way, data.x, y, loss)[1].flatten(1) for name, (way, y, loss) in ways.items()}
    return {name: float((grad == 0).all(1).double().mean()) for name, grad in grads.items()}


def sanity(
    draws: Draws, data: Data, *, eps: float, largest: float, steps: int, queries: int, seed: int
) -> list[dict[str, str | float | bool]]:
    """Check that attacks behave as they must; where one check fails, robustness that was measured may be an illusion.

    Args:
        draws: What is attacked.
        data: A few hundred labelled inputs.
        eps: Size of the attacks.
        largest: Size at which nothing may be right: the width of the box, where any input can be reached.
        steps: Of the gradient attacks.
        queries: Of the search without gradients.
        seed: Of noise, starts and squares.

    Returns:
        Rows ``{check, seen, bound, passed}``: ``seen`` must be ``bound`` at most.

    Source: Carlini et al. (2019), On evaluating adversarial robustness, https://arxiv.org/abs/1902.06705

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws = Draws(mlp(4, 2), torch.randn(5, 10, generator=torch.Generator().manual_seed(0)))
        >>> x = torch.linspace(-1, 1, 24).view(6, 1, 2, 2)
        >>> data = Data(x, predictor(draws)(x).argmax(-1))
        >>> [row["passed"] for row in sanity(draws, data, eps=0.2, largest=2.0, steps=5, queries=9, seed=0)]
        [True, True, True, True, True, True, True]
    """
    f, (x, y) = predictor(draws), data
    at = {"x": x, "y": y, "eps": eps}
    climb = partial(pgd, f, **at, loss=margin)

    def dice() -> torch.Generator:
        return stream(seed, "sanity", device=x.device)

    found = {
        "clean": x,
        "noise": noise(f, **at, generator=dice()),
        "fgsm": fgsm(f, **at),
        "pgd": pgd(f, **at, steps=steps),
        "short": climb(steps=max(1, steps // 4), generator=dice()),
        "long": climb(steps=steps, generator=dice()),
        "restarted": climb(steps=steps, restarts=3, enough=0.0, generator=dice()),
        "apgd": apgd(f, **at, steps=steps, enough=0.0),
        "square": square(f, **at, queries=queries, generator=dice()),
        "largest": apgd(f, x, y, eps=largest, steps=steps, enough=0.0),
    }
    accuracy = {name: score(predict_moments(draws, z), y)["accuracy"] for name, z in found.items()}
    lost = {name: accuracy["clean"] - value for name, value in accuracy.items()}
    one = 1 / len(y)  # an example on the edge may fall either way
    checks = [
        ("PGD against FGSM: accuracy", accuracy["pgd"], accuracy["fgsm"] + one),
        ("eps as large as the box: accuracy", accuracy["largest"], 0.0),
        ("gradients that are exactly 0: share", zero_gradients(draws, data)["streamed"], 0.0),
        ("noise of the same size: accuracy lost, a quarter of PGD's", lost["noise"], lost["pgd"] / 4 + one),
        ("without gradients against Auto-PGD: accuracy lost", lost["square"], lost["apgd"] + one),
        ("three restarts against one: accuracy", accuracy["restarted"], accuracy["long"] + one),
        ("four times the steps: accuracy", accuracy["long"], accuracy["short"] + one),
    ]
    return [{"check": name, "seen": seen, "bound": bound, "passed": seen <= bound} for name, seen, bound in checks]


def verdict(rows: Iterable[dict], *, reference: str = "sgd") -> pd.DataFrame:
    """Judge each method by the strongest attack: does it defend?

    The rule: a method ``defends`` if it keeps nine tenths of its clean accuracy; else it ``delays`` if it is above the
    reference by more than two standard errors of the paired difference over seeds; else there is ``no defence``.

    Args:
        rows: Of :func:`survey`, with a ``seed`` each.
        reference: The point estimate.

    Returns:
        A row for each method: ``clean``, ``strongest``, ``gain`` over the reference, its ``error``, ``verdict``.

    Example:
        >>> rows = [{"method": m, "seed": s, "attack": a, "accuracy": v * (1 - s / 100)}
        ...     for m, v in (("sgd", 0.1), ("sgld", 0.4)) for s in (0, 1) for a in ("clean", "strongest")]
        >>> rows = [r | ({"accuracy": 1.0} if r["attack"] == "clean" else {}) for r in rows]
        >>> verdict(rows).verdict.to_dict()
        {'sgd': 'no defence', 'sgld': 'delays'}
    """
    table = pd.DataFrame(rows).pivot(index="seed", columns=["attack", "method"], values="accuracy")
    clean, strongest = (table[name].reindex(columns=table["clean"].columns) for name in ("clean", "strongest"))
    gain = strongest.sub(strongest[reference], axis=0)
    frame = pd.DataFrame({"clean": clean.mean(), "strongest": strongest.mean(), "gain": gain.mean()})
    frame["error"] = gain.std() / len(gain) ** 0.5
    holds, above = frame.strongest >= 0.9 * frame.clean, frame.gain > 2 * frame.error
    frame["verdict"] = np.select([holds, above], ["defends", "delays"], "no defence")
    return frame.rename_axis("method")


class Grid(NamedTuple):
    """All that an explorer shows, computed: ``P`` posteriors, ``A`` attacks, ``E`` sizes, ``T`` numbers of steps.

    Attributes:
        x: Images ``[N, 1, H, W]``.
        y: Labels ``[N]``.
        axes: The names along ``P`` and ``A``, the numbers along ``E`` and ``T``.
        found: Attacked images ``[P, A, E, T, N, 1, H, W]``.
        probs: Low quantile, mean and high quantile over draws of the class probabilities, ``[P, A, E, T, N, 3, K]``.
        doubts: Total, aleatoric, epistemic, ``[P, A, E, T, N, 3]``.
        clean_probs: Of the clean images, ``[P, N, 3, K]``.
        clean_doubts: Of the clean images, ``[P, N, 3]``.
    """

    x: Tensor
    y: Tensor
    axes: tuple[Sequence, Sequence, Sequence, Sequence]
    found: Tensor
    probs: Tensor
    doubts: Tensor
    clean_probs: Tensor
    clean_doubts: Tensor


def grid(
    draws: Mapping[str, Draws], plans: Mapping[str, Plan], eps: Sequence[float], steps: Sequence[int], data: Data
) -> Grid:
    """Attack a few images by all combinations of posterior, plan, size and number of steps.

    Args:
        draws: Posteriors, under the id of each method.
        plans: ``(statistic, attack)``; attacks are called with ``eps`` and ``steps``.
        eps: Sizes, in units of the data.
        steps: Numbers of steps.
        data: A few labelled images.

    Returns:
        What was found, and what the draws say of it.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> from apdlab.predictor import log_mean
        >>> data = Data(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
        >>> made = grid({"sgld": Draws(mlp(4, 3), torch.ones(5, 15))}, {"PGD": (log_mean, pgd)}, [0.1, 0.2], [1], data)
        >>> made.probs.shape
        torch.Size([1, 1, 2, 1, 2, 3, 3])
    """
    size = len(draws), len(plans), len(eps), len(steps)
    found, seen, clean = [], [], [_seen(one, data.x) for one in draws.values()]
    for one in draws.values():
        for statistic, attack in plans.values():
            f = predictor(one, statistic)
            found += [attack(f, data.x, data.y, eps=e, steps=t) for e in eps for t in steps]
            seen += [_seen(one, x) for x in found[-len(eps) * len(steps) :]]
    probs, doubts = (torch.stack(part).unflatten(0, size) for part in zip(*seen, strict=True))
    clean_probs, clean_doubts = (torch.stack(part) for part in zip(*clean, strict=True))
    axes = tuple(draws), tuple(plans), tuple(eps), tuple(steps)
    return Grid(*data, axes, torch.stack(found).unflatten(0, size), probs, doubts, clean_probs, clean_doubts)


def _seen(draws: Draws, x: Tensor) -> tuple[Tensor, Tensor]:
    p, m = predict(draws, x).exp(), predict_moments(draws, x)
    probs = torch.stack([p.quantile(0.05, 0), p.mean(0), p.quantile(0.95, 0)], 1)
    return probs, torch.stack([doubt(m) for doubt in DOUBTS.values()], -1)
