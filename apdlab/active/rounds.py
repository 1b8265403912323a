"""The loop of active learning: learn from what is labelled, be tested, ask for more labels; and what its curves say."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from apdlab.active.acquire import Acquire
from apdlab.active.learners import Learner
from apdlab.diagnostics import summary
from apdlab.draws import Draws
from apdlab.metrics import accuracy, nll
from apdlab.networks import Network
from apdlab.predict import label_log_probs, predict_moments
from apdlab.streams import stream
from apdlab.types import Data


class Round(NamedTuple):
    """One round of ``R`` repeats.

    Attributes:
        labelled: Rows of the pool that were learned from, ``[R, n]``.
        accuracy: On the test set, ``[R]``.
        nll: On the test set, in nats, ``[R]``.
        r_hat: Split R-hat of each repeat's draws in the order that they came in, the 90 % quantile over log
            probabilities of test labels, ``[R]``; NaN for fewer than 4 draws.
        rows: What is to be labelled next, ``[R, k]``.
        scores: Of these, ``[R, k]``.
    """

    labelled: Tensor
    accuracy: Tensor
    nll: Tensor
    r_hat: Tensor
    rows: Tensor
    scores: Tensor


def rounds(
    network: Network,
    learner: Learner,
    acquire: Acquire,
    pool: Data,
    test: Data,
    first: Tensor,
    *,
    count: int,
    more: int,
    seed: int,
    through: Callable[..., tuple] = lambda network, function, *args, **kwargs: function(*args, **kwargs),
) -> Iterator[Round]:
    """Learn, test, ask for labels, and again; a round depends on its labels, its number and the seed alone.

    Nothing is carried from round to round but labels, so that a round that the store holds is opened and not run: a
    loop that was interrupted goes on where it stopped, to the same labels. Accuracies are those of the round, not the
    best so far.

    Args:
        network: That the learner's draws belong to.
        learner: ``(sets, seed) -> draws of each repeat``.
        acquire: What picks, e.g. ``ACQUISITIONS["bald"]``.
        pool: What may be labelled, and its labels, which only the learner sees, and only of labelled rows.
        test: What is reported on.
        first: Rows that are labelled at the start, ``[R, n]``.
        count: How many rounds.
        more: How many labels are asked for in a round.
        seed: Of all of them.
        through: What calls a round, e.g. ``store.fit``.

    Yields:
        The rounds, each when it is done.

    Raises:
        ValueError: If the pool has one class only, or is used up.
    """
    if len(pool.y.unique()) < 2:
        raise ValueError("pool has labels of one class; wanted 2 or more: there is nothing to learn from more labels")
    labelled = first
    if first.shape[1] + count * more > len(pool.y):
        seen = f"count is {count}, more {more}, from {first.shape[1]} labels on"
        raise ValueError(f"{seen}; wanted no more than the {len(pool.y)} of the pool: fewer rounds, or a larger pool")
    for number in range(count):
        known = learner, acquire, pool, test, labelled
        done = Round(labelled, *through(network, take, *known, more=more, seed=seed, number=number))
        yield done
        labelled = torch.cat([labelled, done.rows], 1)


def take(
    learner: Learner, acquire: Acquire, pool: Data, test: Data, labelled: Tensor, *, more: int, seed: int, number: int
) -> tuple[Tensor, ...]:
    """Take one round: all of ``Round`` but ``labelled``."""
    own = Data(pool.x[labelled], pool.y[labelled])
    fresh = int(torch.randint(2**48, (), generator=stream(seed, f"round/{number}")))
    posteriors = learner(own, fresh)
    scored = [(*_tested(draws, test), _mixing(draws, test)) for draws in posteriors]
    picked = [
        acquire(draws, pool.x, taken, more, stream(fresh, "acquire", r))
        for r, (draws, taken) in enumerate(zip(posteriors, labelled, strict=True))
    ]
    return (*torch.tensor(scored, dtype=torch.float64).unbind(-1), *map(torch.stack, zip(*picked, strict=True)))


def _tested(draws: Draws, test: Data) -> tuple[float, float]:
    log_mean = predict_moments(draws, test.x).log_mean
    return accuracy(log_mean, test.y), nll(log_mean, test.y)


def _mixing(draws: Draws, test: Data) -> float:
    if len(draws) < 4:
        return torch.nan
    return summary(label_log_probs(draws, test.first(200))[None], "functions")["r_hat_90"]


def rows(done: Iterable[Round], **named: str) -> list[dict]:
    """Write rounds as rows, one for each repeat and round.

    Args:
        done: The rounds of one method and acquisition.
        named: What else each row shall say, e.g. ``method="sgld"``.

    Returns:
        ``seed`` (of the repeat, from 0), ``labels``, ``accuracy``, ``nll``, ``r_hat``.

    Example:
        >>> import torch
        >>> value, chosen = torch.tensor([0.5, 0.7]), torch.zeros(2, 1).long()
        >>> rows([Round(torch.zeros(2, 20).long(), value, value, value, chosen, chosen)], method="sgld")[0]
        {'method': 'sgld', 'seed': 0, 'labels': 20, 'accuracy': 0.5, 'nll': 0.5, 'r_hat': 0.5}
    """
    return [
        named
        | {"seed": r, "labels": one.labelled.shape[1]}
        | dict(zip(("accuracy", "nll", "r_hat"), values, strict=True))
        for one in done
        for r, values in enumerate(zip(one.accuracy.tolist(), one.nll.tolist(), one.r_hat.tolist(), strict=True))
    ]


def labels_to_reach(level: float, labels: Sequence[int], accuracies: Sequence[float]) -> int | None:
    """Give the number of labels with which an accuracy is first reached, or None if it is not.

    Args:
        level: The accuracy wanted.
        labels: How many there were in each round.
        accuracies: What was reached with them.

    Example:
        >>> labels_to_reach(0.9, [20, 30, 40], [0.5, 0.91, 0.89]), labels_to_reach(0.95, [20, 30], [0.5, 0.91])
        (30, None)
    """
    return next((n for n, reached in zip(labels, accuracies, strict=True) if reached >= level), None)
