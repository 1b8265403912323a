"""A posterior, or the path of one chain: in which directions draws spread, and what a distiller of them copied."""

import math
from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.diagnostics import walk_correlation
from apdlab.distill import pca
from apdlab.types import is_count

SPACES = {"weights": "sliced_wasserstein", "predictions": "total_variation"}


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
    fidelity: Iterable[dict], *, bar: float = 1.5, near: str = "every fifth", far: str = "another chain"
) -> pd.DataFrame:
    """Judge what each method distilled: a posterior, the path of its chain, or neither.

    A set of draws ``strays`` as much as it is farther from another chain than from others of the path that it comes
    from. In parts of the floor, what the draws that were learned from reach themselves, a method ``copies`` the path,
    and ``stands`` for another chain. If the chain's own draws stray by more than ``bar``, what strays, too, is a path;
    if they do not, what stands for another chain within ``bar`` floors is the posterior.

    Args:
        fidelity: Rows as :func:`apdlab.scoreboard.hold_against` gives them, ``floor`` among the methods.
        bar: How many floors are near, and what straying is.
        near: The set held out between the states that were learned from.
        far: The set that is another chain.

    Returns:
        For each method, the floor too, and each space, ``weights`` (sliced Wasserstein distance) and ``predictions``
        (total variation): ``strays``, ``copies``, ``stands``, ratios of means over chains, and what it ``distils``.

    Raises:
        ValueError: If a set or the floor is missing.

    Example:
        >>> def row(held_out, method, d):
        ...     return {"held_out": held_out, "method": method, "sliced_wasserstein": d, "total_variation": d}
        >>> rows = [row("every fifth", "floor", 0.1), row("another chain", "floor", 0.8)]
        >>> rows += [row("every fifth", "apd", 0.12), row("another chain", "apd", 0.8)]
        >>> verdict(rows).distils.tolist()
        ['path', 'path', 'path', 'path']
    """
    frame = pd.DataFrame(fidelity)
    if missing := {near, far} - set(frame.held_out):
        raise ValueError(
            f"fidelity lacks {sorted(missing)}; wanted these sets held out, or their names as near and far"
        )
    if "floor" not in set(frame.method):
        raise ValueError(f"fidelity has the methods {sorted(set(frame.method))}; wanted floor among them")
    mean = frame.groupby(["held_out", "method"], sort=False)[list(SPACES.values())].mean()
    floor = mean.xs("floor", level="method")
    columns = {"strays": mean.loc[far] / mean.loc[near]}
    columns |= {"copies": mean.loc[near] / floor.loc[near], "stands": mean.loc[far] / floor.loc[far]}
    found = pd.concat({name: part.stack() for name, part in columns.items()}, axis=1)
    found.index = found.index.set_levels(list(SPACES), level=1).set_names(["method", "space"])
    apart = (floor.loc[far] / floor.loc[near] > bar).to_numpy()
    walks = pd.Series([*apart] * len(mean.loc[near]), index=found.index)
    found["distils"] = "neither"
    found.loc[walks & (found.strays > bar), "distils"] = "path"
    found.loc[~walks & (found.stands <= bar), "distils"] = "posterior"
    return found
