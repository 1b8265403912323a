"""A posterior, or the path of one chain: in which directions draws spread, and what a distiller of them copied."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.diagnostics import walk_correlation
from apdlab.distill import pca
from apdlab.paired import compare
from apdlab.types import is_count

SPACES = {"weights": "weight_distance", "predictions": "total_variation"}
OPEN = "not resolved"


def spectrum(theta: Tensor) -> Tensor:
    """Compute the share of each chain's variance in each of its principal directions.

    Args:
        theta: States ``[C, T, D]``, two or more a chain; no more than ``T - 1`` directions hold any variance.

    Returns:
        Shares ``[C, T - 1]``, largest first, that sum to 1.

    Raises:
        ValueError: If the shape is another, or a chain never moves.

    Example:
        >>> import torch
        >>> spectrum(torch.tensor([[[3.0, 0], [-3, 0], [0, 1], [0, -1]]]))
        tensor([[0.9000, 0.1000, 0.0000]], dtype=torch.float64)
    """
    if theta.ndim != 3 or theta.shape[1] < 2 or 0 in theta.shape:
        raise ValueError(f"theta has shape {tuple(theta.shape)}; wanted [C, T, D], two states or more a chain")
    centred = theta - theta.mean(1, keepdim=True)
    gram = torch.stack([(chain @ chain.T).double() for chain in centred])
    values = torch.linalg.eigvalsh(gram).flip(-1)[:, :-1].clamp(min=0)
    total = values.sum(-1, keepdim=True)
    if not (total > 0).all():
        raise ValueError("theta has a chain that never moves; wanted states that differ: leave that chain out")
    return values / total


def walk_spectrum(length: int) -> Tensor:
    """Give the shares of a random walk of many weights, ``share_m = 1 / sin^2(pi m / 2T)``, normalised: nearly 1/m^2.

    The m-th principal component of such a path is a cosine of time, ``cos pi m t / T``.

    Source: Antognini and Sohl-Dickstein, 2018, PCA of high dimensional random walks, https://arxiv.org/abs/1806.08805

    Args:
        length: ``T``, its states, 2 or more.

    Returns:
        ``[T - 1]``, largest first, that sum to 1.

    Raises:
        ValueError: If there are fewer than two states.

    Example:
        >>> walk_spectrum(1000)[:3]
        tensor([0.6079, 0.1520, 0.0675], dtype=torch.float64)
    """
    if not is_count(length) or length < 2:
        raise ValueError(f"length is {length}; wanted a whole number of 2 states or more")
    share = (math.pi / (2 * length) * torch.arange(1, length, dtype=torch.float64)).sin() ** -2
    return share / share.sum()


def effective_rank(shares: Tensor) -> Tensor:
    """Count the directions that matter, ``exp(-sum_m p_m log p_m)``: ``m`` if ``m`` directions share equally.

    Source: Roy and Vetterli, 2007, The effective rank, https://ieeexplore.ieee.org/document/7098875

    Args:
        shares: Of the variance, ``[..., m]``, that sum to 1.

    Example:
        >>> import torch
        >>> effective_rank(torch.tensor([0.5, 0.5, 0.0]))
        tensor(2.)
    """
    return torch.special.entr(shares).sum(-1).exp()


def sum_up(chains: Chains) -> dict[str, float]:
    """Say whether chains walk: one row of a table, means over the chains.

    Args:
        chains: Of 6 states or more each.

    Returns:
        ``states`` of a chain, the ``effective_rank`` of its spectrum and that ``of_a_walk`` as long, the
        ``leading_share`` of its variance, and how well its four leading components are ``cosines`` of time.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> walk = torch.randn(2, 50, 760, generator=torch.Generator().manual_seed(0)).cumsum(1)
        >>> row = sum_up(Chains(mlp(64, 10, 10), walk, torch.arange(50), torch.zeros(2, 50)))
        >>> bool(row["cosines"] > 0.9), bool(abs(row["effective_rank"] / row["of_a_walk"] - 1) < 0.1)
        (True, True)
    """
    shares, states = spectrum(chains.theta), chains.theta.shape[1]
    components = pca(chains.theta, chains.network, 4).encode(chains.theta)
    return {
        "states": states,
        "effective_rank": effective_rank(shares).mean().item(),
        "of_a_walk": effective_rank(walk_spectrum(states)).item(),
        "leading_share": shares[:, 0].mean().item(),
        "cosines": walk_correlation(components).mean().item(),
    }


def verdict(
    fidelity: Iterable[dict],
    *,
    bar: float = 1.5,
    near: str = "every fifth",
    far: str = "another chain",
    level: float = 0.95,
) -> pd.DataFrame:
    """Judge what each method distilled: a posterior, the path of its chain, neither, or what chains so few cannot tell.

    A set of draws ``strays`` as much as it is farther from another chain than from others of the path that it comes
    from. In parts of the floor, what the draws that were learned from reach themselves, a method ``copies`` the path,
    and ``stands`` for another chain. If the chain's own draws stray by more than ``bar``, what strays, too, is a path,
    else it is neither; if they do not, what stands for another chain within ``bar`` floors is the posterior, else it is
    neither. All of it holds only where Student's interval over chains, of the mean log ratio, leaves ``bar`` out.

    Args:
        fidelity: Rows as :func:`apdlab.scoreboard.hold_against` gives them, ``floor`` among the methods.
        bar: How many floors are near, and what straying is.
        near: The set held out between the states that were learned from.
        far: The set that is another chain.
        level: Of the intervals.

    Returns:
        For each method, the floor too, and each space, ``weights`` (``weight_distance``) and ``predictions`` (total
        variation): ``strays``, ``copies``, ``stands``, geometric means over chains, the first and last with the ends of
        their intervals; ``nearest``, the mean ``nearest_ratio`` at ``near``; and what it ``distils``.

    Raises:
        ValueError: If a set or the floor is missing, or there is one chain.

    Example:
        >>> def row(held_out, method, c, d):
        ...     found = {"weight_distance": d, "total_variation": d, "nearest_ratio": 1.0}
        ...     return {"held_out": held_out, "method": method, "chain": c} | found
        >>> rows = [row("every fifth", "floor", c, 0.1) for c in (0, 1)]
        >>> rows += [row("another chain", "floor", c, 0.8) for c in (0, 1)]
        >>> verdict(rows).distils.tolist()
        ['path', 'path']
    """
    frame = _judgeable(fidelity, near, far).set_index(["held_out", "method"])
    nearest = frame.loc[near].groupby(level="method").nearest_ratio.mean()
    found = {}
    for space, measure in SPACES.items():
        logs = frame[measure].map(math.log).groupby(level=["held_out", "method"]).agg(list)
        strayed = _Ratio.of(logs[far, "floor"], logs[near, "floor"], bar, level)
        for method in frame.loc[near].index.unique():
            strays = _Ratio.of(logs[far, method], logs[near, method], bar, level)
            stands = _Ratio.of(logs[far, method], logs[far, "floor"], bar, level)
            copies = _Ratio.of(logs[near, method], logs[near, "floor"], bar, level)
            found[method, space] = strays.named("strays") | {"copies": copies.mean} | stands.named("stands")
            found[method, space] |= {"nearest": nearest[method], "distils": _word(strayed, strays, stands)}
    return pd.DataFrame(found.values(), index=pd.MultiIndex.from_tuples(found, names=["method", "space"]))


class _Ratio(NamedTuple):
    """A mean ratio over chains, the ends of its interval, and on which ``side`` of the bar all of that lies."""

    mean: float
    low: float
    high: float
    side: str | None

    @classmethod
    def of(cls, these: Sequence[float], those: Sequence[float], bar: float, level: float) -> "_Ratio":
        gap, _, least = compare(these, those, level)
        low, high = math.exp(gap - least), math.exp(gap + least)
        return cls(math.exp(gap), low, high, "above" if low > bar else "below" if high <= bar else None)

    def named(self, name: str) -> dict[str, float]:
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


def _word(floor: _Ratio, strays: _Ratio, stands: _Ratio) -> str:
    """Where it is open whether the chain itself is a path, a word holds that is the same either way."""
    if_path = {"above": "path", "below": "neither"}.get(strays.side, OPEN)
    if_posterior = {"below": "posterior", "above": "neither"}.get(stands.side, OPEN)
    either = if_path if if_path == if_posterior else OPEN
    return {"above": if_path, "below": if_posterior}.get(floor.side, either)


def _judgeable(fidelity: Iterable[dict], near: str, far: str) -> pd.DataFrame:
    frame = pd.DataFrame(fidelity)
    if missing := {near, far} - set(frame.held_out):
        wanted = "these sets held out, or their names as near and far"
        raise ValueError(f"fidelity lacks {sorted(missing)}; wanted {wanted}")
    if "floor" not in set(frame.method):
        raise ValueError(f"fidelity has the methods {sorted(set(frame.method))}; wanted floor among them")
    if frame.chain.nunique() < 2:
        raise ValueError("fidelity has 1 chain; wanted 2 or more, to hold one against another: run more chains")
    return frame.sort_values("chain", kind="stable")
