"""What chains bring to the table: have they mixed, what is made of them, what stands beside it, what is held out."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from apdlab.chains import Chains
from apdlab.diagnostics import summary
from apdlab.distill import Coordinates, Distilled, pca
from apdlab.draws import Draws
from apdlab.fidelity import compare, portrait
from apdlab.posterior import mean_of_weights
from apdlab.predict import label_log_probs
from apdlab.scoreboard.table import Entry, spread
from apdlab.streams import stream
from apdlab.types import Cost, Data


def distil(
    fits: Mapping[str, Callable[..., tuple]],
    chains: Chains,
    directions: int,
    x: Tensor,
    *,
    seed: int,
    through: Callable[..., tuple] = lambda network, fit, *args, **kwargs: fit(*args, **kwargs),
) -> dict[str, tuple[Distilled, Cost]]:
    """Distil the same chains by several methods, in the same principal directions, with every fifth state held out.

    Args:
        fits: Under the id of each method its ``fit(train, held_out, coordinates, x, *, seed)``.
        chains: What they learn from.
        directions: How many.
        x: Inputs to compare predictions on, not the test set.
        seed: Of all of them.
        through: What calls a fit, e.g. ``store.fit``.

    Returns:
        What each found, and its cost.

    Example:
        >>> import torch
        >>> from apdlab.distill import gaussian
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 60, 9, generator=torch.Generator().manual_seed(0))
        >>> chains = Chains(network, theta, torch.arange(60), torch.zeros(2, 60))
        >>> list(distil({"gaussian": gaussian.fit}, chains, 4, torch.ones(7, 2), seed=0))
        ['gaussian']
    """
    train, held_out = chains.hold_out(5)
    known = train, held_out, pca(train.theta, chains.network, directions), x
    return {method: through(chains.network, fit, *known, seed=seed)[:2] for method, fit in fits.items()}


def stand_ins(
    made: Mapping[str, tuple[Distilled, Cost]], chains: Chains, network: str, seed: int, cost: Cost
) -> list[Entry]:
    """Enter what was made of chains, and what is simpler: as many stored draws as the first has bytes for, the mean.

    Args:
        made: What each method found, and its cost; the first one's bytes count.
        chains: What they learned from, ``G`` chains.
        network: Its name in the table.
        seed: Of the first chain; the others count up.
        cost: Of the chains, which is charged to all.

    Returns:
        ``G`` entries for each method, for ``thinned`` and for ``mean``.

    Raises:
        ValueError: If nothing was made.

    Example:
        >>> import torch
        >>> from apdlab.distill import gaussian
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 60, 9, generator=torch.Generator().manual_seed(0))
        >>> chains = Chains(network, theta, torch.arange(60), torch.zeros(2, 60))
        >>> made = distil({"gaussian": gaussian.fit}, chains, 4, torch.ones(7, 2), seed=0)
        >>> [(entry.method, entry.seed) for entry in stand_ins(made, chains, "2-3", 7, Cost(120, 1.0))][1:4]
        [('gaussian', 8), ('thinned', 7), ('thinned', 8)]
    """
    if not made:
        raise ValueError("made is empty; wanted one method or more")
    entries, stored = [], [chain.thin() for chain in chains]
    for method, (posterior, own) in made.items():
        entries += spread(method, network, seed, posterior, cost + own)
    equal = max(1, next(iter(made.values()))[0][:1].nbytes // stored[0][:1].nbytes)
    entries += spread("thinned", network, seed, [draws.thin(min(equal, len(draws))) for draws in stored], cost)
    return entries + spread("mean", network, seed, map(mean_of_weights, stored), cost)


def mixing(chains: Chains, data: Data) -> list[dict[str, str | int | float]]:
    """Diagnose functions, the log probabilities of labels, and weights: at most 300 draws, and some 5,000 weights.

    Args:
        chains: Of a classifier, ``C`` chains.
        data: Labelled examples, each a function.

    Returns:
        Two rows of ``diagnostics.summary``, named ``functions`` and ``weights``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> theta = torch.randn(2, 60, 9, generator=torch.Generator().manual_seed(0))
        >>> chains = Chains(mlp(2, 3), theta, torch.arange(60), torch.zeros(2, 60))
        >>> [row["name"] for row in mixing(chains, Data(torch.ones(4, 2), torch.zeros(4).long()))]
        ['functions', 'weights']
    """
    some = chains.theta[:, :: -(-chains.theta.shape[1] // 300)]
    functions = label_log_probs(Draws(chains.network, some.flatten(0, 1)), data).unflatten(0, some.shape[:2])
    weights = some[..., :: -(-chains.network.size // 5000)]
    return [summary(functions, "functions"), summary(weights, "weights")]


def hold_against(
    learned: Chains,
    made: Mapping[str, Distilled],
    others: Mapping[str, Chains],
    *,
    x: Tensor,
    out: Tensor,
    n: int,
    seed: int,
    directions: int = 64,
) -> list[dict[str, str | int | float]]:
    """Compare what was distilled from chains with draws held out of it, in weights, predictions, and doubt elsewhere.

    Beside each method stand the draws that it learned from (``floor``: where even these are far, no distiller of them
    can be near), nine of them (``thinned``), and their mean. Weights are compared as a whole, in 200 random directions
    (``weight_distance``), and in principal coordinates of the learned draws, each divided by its standard deviation:
    in those a method is far that works in fewer of them, and a point is nearer to another chain than any draws are.

    Args:
        learned: The draws that the methods learned from, ``G`` chains.
        made: What each method made of them.
        others: Draws held out, ``G`` chains each, under a name that says how.
        x: Inputs like those of the data, ``[N, ...]``.
        out: Inputs unlike them, ``[M, ...]``.
        n: How many draws of each to compare, fewer where there are fewer.
        seed: Of the draws.
        directions: How many principal coordinates, fewer where the draws do not suffice.

    Returns:
        For each chain, held-out set and method the numbers of ``fidelity.compare``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> network, theta = mlp(2, 3), torch.randn(2, 60, 9, generator=torch.Generator().manual_seed(0))
        >>> learned, late = Chains(network, theta, torch.arange(60), torch.zeros(2, 60)).split(0.6)
        >>> found = hold_against(learned, {}, {"late": late}, x=torch.ones(7, 2), out=torch.zeros(7, 2), n=20, seed=0)
        >>> [row["method"] for row in found[:3]]
        ['floor', 'thinned', 'mean']
    """
    n = min(n, learned.theta.shape[1], *(other.theta.shape[1] for other in others.values()))
    size, theta = learned.network.size, learned.theta
    axes = pca(theta, learned.network, min(directions, theta.shape[1] // 4, size), whitening=1)
    along = torch.randn(size, 200, generator=stream(seed, "shadows", device=x.device), device=x.device).to(theta)
    along, found = along.div_(along.norm(dim=0)), []
    for c in range(len(learned)):
        mine, known = slice(c, c + 1), learned[c : c + 1].thin()
        look = partial(portrait, encode=partial(_encode, axes.of(mine)), along=along, x=x, out=out)
        sets = {"floor": known.thin(n)}
        sets |= {
            m: q[mine].sample(n, generator=stream(seed, f"held against/{m}", c, x.device)) for m, q in made.items()
        }
        sets |= {"thinned": known.thin(min(9, n)), "mean": mean_of_weights(known)}
        views, codes = {method: look(draws) for method, draws in sets.items()}, _encode(axes.of(mine), known.theta)
        for name, other in others.items():
            truth = look(other[mine].thin(n))
            for method, view in views.items():
                row = compare(view, truth, codes, generator=stream(seed, "directions", c))
                found.append({"held_out": name, "method": method, "chain": c} | row)
    return found


def _encode(axes: Coordinates, theta: Tensor) -> Tensor:
    return axes.encode(theta[None])[0]
