"""Posteriors that take part, one row of scores and costs for each, and how far each is from the one it stands for."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
import torch

from apdlab.draws import Draws, Posterior
from apdlab.fidelity import scores, total_variation, uncertainty_correlation
from apdlab.moments import Moments
from apdlab.predict import predict_moments
from apdlab.streams import stream
from apdlab.types import Cost, Data


class Entry(NamedTuple):
    """A posterior that takes part: its method's id, its network's name, the seed of the repeat, and what it cost."""

    method: str
    network: str
    seed: int
    posterior: Posterior
    cost: Cost

    def draws(self, n: int, device: torch.device | str = "cpu") -> Draws:
        """Give ``n`` draws: of stored ones evenly spaced, and no more than there are."""
        if isinstance(self.posterior, Draws):
            return self.posterior.thin(min(n, len(self.posterior)))
        return self.posterior.sample(n, generator=stream(self.seed, f"{self.network}/{self.method}", device=device))


def spread(method: str, network: str, seed: int, posteriors: Iterable[Posterior], cost: Cost) -> list[Entry]:
    """Enter repeats that were made together: seeds count up from ``seed``, and each bears its share of the cost.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> repeats = [Draws(mlp(2, 3), torch.zeros(5, 9)) for _ in range(3)]
        >>> [(entry.seed, entry.cost.seconds) for entry in spread("sgld", "2-3", 7, repeats, Cost(300, 6.0))]
        [(7, 2.0), (8, 2.0), (9, 2.0)]
    """
    repeats = list(posteriors)
    return [Entry(method, network, seed + c, one, cost.share(len(repeats))) for c, one in enumerate(repeats)]


def predictions(entries: Iterable[Entry], data: Data, n: int) -> list[Moments]:
    """Predict a labelled set with ``n`` draws of each entry.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> entry = Entry("sgld", "2-3", 0, Draws(mlp(2, 3), torch.zeros(5, 9)), Cost(100, 1.0))
        >>> predictions([entry], Data(torch.zeros(4, 2), torch.zeros(4).long()), 5)[0].draws
        5
    """
    return [predict_moments(entry.draws(n, data.x.device), data.x) for entry in entries]


def rows(
    entries: Sequence[Entry], found: Sequence[Moments], data: Data, *, reference: str = "sgld"
) -> list[dict[str, str | int | float]]:
    """Score each entry's predictions, alone and against those of the reference with the same network and seed.

    Args:
        entries: What takes part; of each network and seed one entry has the method ``reference``.
        found: The prediction of ``data.x`` by each of them.
        data: The test set.
        reference: The method that others stand for.

    Returns:
        For each entry ``method, network, seed``, accuracy, NLL, Brier, ECE, mutual information, ``bytes``,
        ``gradient_evaluations``, ``seconds``; total variation (``tv``) and ``correlation`` of log mutual information
        with the reference's predictions.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> entry = Entry("sgld", "2-3", 0, Draws(mlp(2, 3), torch.zeros(5, 9)), Cost(100, 1.0))
        >>> data = Data(torch.zeros(4, 2), torch.zeros(4).long())
        >>> rows([entry], predictions([entry], data, 5), data)[0]["bytes"]
        180
    """
    true = {entry[1:3]: m for entry, m in zip(entries, found, strict=True) if entry.method == reference}
    if lone := [entry[:3] for entry in entries if entry[1:3] not in true]:
        raise ValueError(
            f"reference is {reference!r}, which {lone[0]} lacks; wanted an entry of it with that network and seed"
        )
    return [
        {"method": entry.method, "network": entry.network, "seed": entry.seed}
        | scores(m, data.y)
        | {"bytes": entry.posterior.nbytes, **entry.cost._asdict()}
        | {"tv": total_variation(m, true[entry[1:3]]), "correlation": uncertainty_correlation(m, true[entry[1:3]])}
        for entry, m in zip(entries, found, strict=True)
    ]


def to_another(entries: Sequence[Entry], found: Sequence[Moments], *, reference: str = "sgld") -> list[float]:
    """Measure total variation to the predictions of *another* chain: the reference's of the next seed, in a circle.

    No draw of that chain was learned from, or is stored. The reference's own distance is the floor.

    Args:
        entries: What takes part; of each network two seeds or more have the method ``reference``.
        found: The prediction of the same inputs by each of them.
        reference: The method whose draws are whole chains.

    Returns:
        A distance for each entry.

    Raises:
        ValueError: If the reference has a network only once.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta, data = torch.zeros(3, 5, 9), Data(torch.zeros(4, 2), torch.zeros(4).long())
        >>> chains = spread("sgld", "2-3", 0, [Draws(mlp(2, 3), one) for one in theta], Cost(300, 6.0))
        >>> to_another(chains, predictions(chains, data, 5))
        [0.0, 0.0, 0.0]
    """
    own = {entry[1:3]: m for entry, m in zip(entries, found, strict=True) if entry.method == reference}
    other = {}
    for network in {network for network, _ in own}:
        seeds = sorted(seed for name, seed in own if name == network)
        if len(seeds) < 2:
            raise ValueError(f"reference has {network!r} with the seed {seeds[0]} alone; wanted 2 chains or more")
        other |= {(network, a): own[network, b] for a, b in zip(seeds, seeds[1:] + seeds[:1], strict=True)}
    return [total_variation(m, other[entry[1:3]]) for entry, m in zip(entries, found, strict=True)]


def gaps(table: Iterable[dict], *, reference: str = "sgld") -> pd.DataFrame:
    """Subtract the reference's scores from all rows: accuracy, NLL, and mutual information as a share of its.

    Args:
        table: Rows as :func:`rows` gives them.
        reference: The method that others stand for.

    Returns:
        A row for each other method, network and seed, with ``accuracy``, ``nll``, ``mutual_information``, ``tv``,
        ``correlation``.

    Example:
        >>> row = {"network": "n", "seed": 0, "tv": 0.0, "correlation": 1.0, "nll": 0.5, "accuracy": 0.9}
        >>> both = [row | {"method": m, "mutual_information": i} for m, i in (("sgld", 0.2), ("mean", 0.0))]
        >>> gaps(both).mutual_information.item()
        -1.0
    """
    frame = pd.DataFrame(table).set_index(["network", "seed", "method"])
    true = frame.xs(reference, level="method").reindex(frame.index.droplevel("method")).set_axis(frame.index)
    gap = frame[["accuracy", "nll"]] - true[["accuracy", "nll"]]
    gap["mutual_information"] = frame.mutual_information / true.mutual_information - 1
    return gap.join(frame[["tv", "correlation"]]).drop(reference, level="method")


def within(gap: pd.DataFrame, **bars: float) -> pd.DataFrame:
    """Count the repeats in which each method is as near as asked: ``|gap| <= bar``, of the correlation ``>= bar``.

    Args:
        gap: What :func:`gaps` gives.
        bars: A number for each column of it that counts.

    Returns:
        A row for each network and method, a column for each bar; ``repeats`` says of how many. What cannot be measured
        is not near.

    Raises:
        ValueError: If a bar names no column.

    Example:
        >>> row = {"network": "n", "seed": 0, "tv": 0.0, "correlation": 1.0, "nll": 0.5, "accuracy": 0.9}
        >>> both = [row | {"method": m, "mutual_information": i} for m, i in (("sgld", 0.2), ("mean", 0.0))]
        >>> within(gaps(both), accuracy=0.01, mutual_information=0.2).to_dict("records")
        [{'accuracy': 1, 'mutual_information': 0, 'repeats': 1}]
    """
    if wrong := set(bars) - set(gap.columns):
        raise ValueError(f"bars name {sorted(wrong)}; wanted some of {list(gap.columns)}")
    near = {name: gap[name] >= bar if name == "correlation" else gap[name].abs() <= bar for name, bar in bars.items()}
    groups = pd.DataFrame(near).groupby(["network", "method"], sort=False)
    return groups.sum().assign(repeats=groups.size())
