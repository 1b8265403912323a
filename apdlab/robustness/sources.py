"""What an attacker may have of a posterior, and how far he comes with it."""

from apdlab.attacks import pgd
from apdlab.draws import Draws, Posterior
from apdlab.predict import predict_moments
from apdlab.predictor import fresh_predictor, mean_log, predictor
from apdlab.robustness.survey import score
from apdlab.streams import stream
from apdlab.types import Data


def sources(
    posterior: Posterior, draws: Draws, point: Draws, data: Data, *, eps: float, steps: int, fresh: int, seed: int
) -> list[dict[str, str | float]]:
    """Attack by PGD a point estimate, one draw, the mean of the draws' losses, their average, and fresh draws (EOT).

    Args:
        posterior: What draws are drawn from.
        draws: Those that predict.
        point: The point estimate that an attacker may take for them.
        data: Labelled inputs.
        eps: Size of the attacks, in units of the data.
        steps: Of PGD.
        fresh: How many networks are drawn anew in each step.
        seed: Of the fresh draws, and of others to predict with.

    Returns:
        Rows ``{attack on, accuracy, entropy, mutual_information}`` of the draws, and the same with ``, other draws`` in
        the name, of as many that neither the attacker nor the defender had before.

    Source: Athalye, Carlini and Wagner (2018), https://arxiv.org/abs/1802.00420

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(20, 9, generator=torch.Generator().manual_seed(0))
        >>> chain, data = Draws(mlp(2, 3), theta), Data(torch.zeros(4, 2), torch.arange(4) % 3)
        >>> rows = sources(chain, chain[:8], chain[:1], data, eps=0.1, steps=2, fresh=2, seed=0)
        >>> [row["attack on"] for row in rows]
        ['point estimate', 'one draw', 'fresh draws', 'mean of losses', 'averaged predictive']
    """
    dice = {purpose: stream(seed, purpose, device=data.x.device) for purpose in ("other", "fresh")}
    other = posterior.sample(len(draws), generator=dice["other"])
    tried = {
        "point estimate": predictor(point),
        "one draw": predictor(draws[:1]),
        "fresh draws": fresh_predictor(posterior, fresh, dice["fresh"]),
        "mean of losses": predictor(draws, mean_log),
        "averaged predictive": predictor(draws),
    }
    rows = []
    for name, source in tried.items():
        x = pgd(source, *data, eps=eps, steps=steps)
        same, unlike = (score(predict_moments(some, x), data.y) for some in (draws, other))
        rows.append({"attack on": name} | same | {f"{what}, other draws": value for what, value in unlike.items()})
    return rows
