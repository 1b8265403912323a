"""Can a measurement of robustness be trusted? Checks of gradients and of attacks, each with a bound."""

from functools import partial

import torch
from torch import Tensor

from apdlab.attacks import apgd, cross_entropy, fgsm, loss_and_grad, margin, noise, pgd, square
from apdlab.draws import Draws
from apdlab.predict import predict_moments
from apdlab.predictor import predictor
from apdlab.robustness.survey import score
from apdlab.streams import stream
from apdlab.types import Data


def gradients(draws: Draws, data: Data) -> dict[str, float]:
    """Compare the streamed gradient with that of a stacked graph, count where it is 0, measure how steep it is.

    Args:
        draws: Few enough for one graph.
        data: Labelled inputs.

    Returns:
        ``error``, the largest difference of the gradients of ``log mean p(y)``, in the largest entry; ``zeros``, the
        share of inputs where the streamed gradient of the margin is exactly 0; ``naive``, the share where that of
        ``log (mean_s p_s + 1e-12)`` of the second most probable class is, in the network's own precision; ``slope``,
        the median of ``|g|_1``, ``g`` the gradient of the margin: a small step of size ``eps`` in the l-infinity norm
        moves the margin by up to ``eps |g|_1``; and ``reach``, the median of ``-margin / |g|_1`` of inputs that are
        right: the size that would do on a linear function.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> draws = Draws(mlp(2, 3, dtype=torch.float64), torch.linspace(-1, 1, 45).view(5, 9).double())
        >>> found = gradients(draws, Data(torch.ones(4, 2).double(), torch.arange(4) % 3))
        >>> found["error"] < 1e-12, found["zeros"], found["naive"]
        (True, 0.0, 0.0)
    """
    f, network = predictor(draws), draws.network

    def outputs(x: Tensor) -> Tensor:
        return network(network.unravel(draws.theta), x[None])

    def stacked(x: Tensor) -> Tensor:
        return outputs(x).double().log_softmax(-1).logsumexp(0)

    def naive(x: Tensor) -> Tensor:
        return (outputs(x).softmax(-1).mean(0) + 1e-12).log()

    second = f(data.x).topk(2).indices[:, 1]
    plan = {"ours": (f, data.y), "stacked": (stacked, data.y), "naive": (naive, second)}
    grads = {name: loss_and_grad(way, data.x, y, cross_entropy)[1] for name, (way, y) in plan.items()}
    error = (grads["ours"] - grads["stacked"]).abs().max() / grads["stacked"].abs().max()
    left, margins = loss_and_grad(f, data.x, data.y, margin)
    slope = margins.double().abs().flatten(1).sum(1)
    zeros = {"zeros": _zeros(margins), "naive": _zeros(grads["naive"])}
    reach = (-left / slope)[left < 0].median()
    return {"error": float(error)} | zeros | {"slope": float(slope.median()), "reach": float(reach)}


def _zeros(grad: Tensor) -> float:
    return float((grad == 0).flatten(1).all(1).double().mean())


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
        ("gradients that are exactly 0: share", _zeros(loss_and_grad(f, x, y, margin)[1]), 0.0),
        ("noise of the same size: accuracy lost, a quarter of PGD's", lost["noise"], lost["pgd"] / 4 + one),
        ("without gradients against Auto-PGD: accuracy lost", lost["square"], lost["apgd"] + one),
        ("three restarts against one: accuracy", accuracy["restarted"], accuracy["long"] + one),
        ("four times the steps: accuracy", accuracy["long"], accuracy["short"] + one),
    ]
    return [{"check": name, "seen": seen, "bound": bound, "passed": seen <= bound} for name, seen, bound in checks]
