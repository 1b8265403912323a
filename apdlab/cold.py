"""Is there a cold posterior effect? Posteriors at several temperatures scored, diagnosed, and judged by one rule."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
from torch import Tensor

from apdlab.chains import Chains
from apdlab.diagnostics import summary
from apdlab.draws import Draws
from apdlab.fidelity import scores
from apdlab.metrics import nll
from apdlab.paired import Gap, compare
from apdlab.predict import label_log_probs, predict_moments
from apdlab.samplers import laws
from apdlab.temperatures import averaged, gradient_noise
from apdlab.types import Batch, Data, Split


def score(posteriors: Sequence[Draws], temperatures: Sequence[float], data: Split, **named: str) -> list[dict]:
    """Score posteriors on the test part, and their NLL on the validation part, on which temperatures are chosen.

    Args:
        posteriors: One for each temperature and seed.
        temperatures: ``T`` of each; those with the same are repeats, numbered as seeds. 0 is a point estimate.
        data: The parts.
        named: What else each row shall say, e.g. ``condition="clean"``.

    Returns:
        A row for each posterior.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> part = Data(torch.zeros(4, 2), torch.zeros(4).long())
        >>> row = score([Draws(mlp(2, 3), torch.zeros(5, 9))], [1.0], Split(part, part, part), method="sghmc")[0]
        >>> row["method"], row["seed"], round(row["valid_nll"], 3)
        ('sghmc', 0, 1.099)
    """
    rows, seen = [], dict.fromkeys(temperatures, 0)
    for draws, temperature in zip(posteriors, temperatures, strict=True):
        valid, test = (predict_moments(draws, part.x) for part in (data.valid, data.test))
        row = {"temperature": temperature, "seed": seen[temperature], "valid_nll": nll(valid.log_mean, data.valid.y)}
        rows.append(named | row | scores(test, data.test.y))
        seen[temperature] += 1
    return rows


def judge(rows: Iterable[dict], level: float = 0.95) -> dict[str, str | float]:
    """Judge whether cooling helps: the temperature is chosen on validation, its test NLL is held against that at 1.

    Choosing on the test part would find an effect in any noise. Where 1 is chosen, the next best on validation is held
    against it. The verdict is ``cold`` or ``warm`` if a temperature below or above 1 is chosen and its gap is negative
    and resolved over seeds; ``none`` if the gap is positive and resolved; ``not resolved`` otherwise.

    Args:
        rows: Of one condition, as ``score`` gives them.
        level: Of the interval that has to leave 0 out.

    Returns:
        ``best_t``, which is chosen, ``other_t``, which is held against 1, their ``nll_best`` and ``nll_1``; ``gap`` and
        its ``error``, between ``other_t`` and 1; ``verdict``.

    Raises:
        ValueError: If no row has the temperature 1, or all have, or the temperatures have not the same seeds.

    Example:
        >>> nlls = [(0.1, 0, 0.20), (0.1, 1, 0.21), (1.0, 0, 0.30), (1.0, 1, 0.31)]
        >>> judge([{"temperature": t, "seed": seed, "nll": v, "valid_nll": v} for t, seed, v in nlls])["verdict"]
        'cold'
    """
    table = pd.DataFrame(rows).pivot(index="seed", columns="temperature", values=["nll", "valid_nll"])
    if 1.0 not in table.nll or len(table.nll.columns) < 2 or table.isna().any(axis=None):
        seen = sorted(table.nll.columns)
        raise ValueError(f"rows have temperatures {seen}; wanted 1.0 and others, and the same seeds at each")
    chosen = table.valid_nll.mean().sort_values(kind="stable").index
    best, other = float(chosen[0]), float(chosen[chosen != 1.0][0])
    found = compare(table.nll[other].tolist(), table.nll[1.0].tolist(), level)
    means = {"nll_best": float(table.nll[best].mean()), "nll_1": float(table.nll[1.0].mean())}
    told = {"best_t": best, "other_t": other} | means | {"gap": found.gap, "error": found.error}
    return told | {"verdict": _verdict(best, found)}


def _verdict(best: float, found: Gap) -> str:
    if not found.resolved:
        return "not resolved"
    if found.gap > 0:
        return "none"
    return "not resolved" if best == 1.0 else "cold" if best < 1 else "warm"  # validation and test may disagree


def diagnose(
    target: Callable[[Tensor, Batch], Tensor],
    chains: Chains,
    temperatures: Sequence[float],
    fresh: Callable[[int], Batch],
    data: Data,
    *,
    step_size: float,
    friction: float,
    **named: str,
) -> list[dict]:
    """Diagnose chains of SGHMC with mass ``1 / T``: both temperatures as shares of ``T``, and the mixing of functions.

    Args:
        target: What was sampled at temperature 1, ``tempered``.
        chains: One for each temperature and seed.
        temperatures: ``T`` of each chain.
        fresh: Minibatches like those of the run, from another seed.
        data: Labelled inputs whose log probability is the function.
        step_size: ``h`` of the run.
        friction: Of the run.
        named: What else each row shall say.

    Returns:
        For each temperature: ``kinetic`` and ``configurational``, 1 where the sampler is right, each with its Monte
        Carlo error; ``predicted``, the kinetic one that the noise of minibatches at the last states gives in flat
        directions; the 90 % quantile of R-hat and the median bulk ESS over functions.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> network, free = mlp(2, 3), lambda theta, batch: -0.5 * theta.square().sum(-1)
        >>> theta = torch.randn(2, 50, 9, generator=torch.Generator().manual_seed(0))
        >>> seen = {"kinetic": theta.square().mean(-1), "configurational": theta.square().mean(-1)}
        >>> chains = Chains(network, theta, torch.arange(50), torch.zeros(2, 50), seen)
        >>> data = Data(torch.ones(4, 2), torch.zeros(4).long())
        >>> rows = diagnose(free, chains, [1.0, 1.0], lambda t: None, data, step_size=0.1, friction=1.0)
        >>> len(rows), rows[0]["predicted"]
        (1, 1.0)
    """
    noise = gradient_noise(target, chains.theta[:, -1], fresh, 8)
    rows = []
    for temperature in dict.fromkeys(temperatures):
        mine = [c for c, own in enumerate(temperatures) if own == temperature]
        part, heat = chains[mine], float(noise[mine].mean())
        functions = label_log_probs(part.thin(), data).unflatten(0, part.theta.shape[:2])
        mixed = summary(functions, "functions")
        law = laws.sghmc(step_size, friction, 1e-12, gradient_noise=heat, mass=1 / temperature)
        row = {"temperature": temperature, "predicted": law.kinetic}
        for name in ("kinetic", "configurational"):
            row[name], row[f"{name}_error"] = averaged(part.measures[name])
        rows.append(named | row | {"r_hat": mixed["r_hat_90"], "ess": mixed["ess_bulk_median"]})
    return rows


def curve(rows: Iterable[dict], measure: str) -> dict[str, list[float]]:
    """Average a score over seeds at each temperature, with its standard error.

    Example:
        >>> curve([{"temperature": 1.0, "nll": 0.1}, {"temperature": 1.0, "nll": 0.3}], "nll")
        {'temperature': [1.0], 'mean': [0.2], 'error': [0.09...]}
    """
    by = pd.DataFrame(rows).groupby("temperature")[measure]
    return {"temperature": list(by.groups), "mean": by.mean().tolist(), "error": by.sem().tolist()}
