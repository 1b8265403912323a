"""Laws of the buffer: a reservoir is a uniform sample of all that was offered, a queue holds the last ones."""

import pytest
import torch
from scipy.stats import chi2

from apdlab.distill.buffer import empty, fifo, offer, reservoir
from apdlab.store import pack, unpack
from apdlab.streams import stream

RULES = pytest.mark.parametrize("rule", [reservoir, fifo], ids=["reservoir", "fifo"])


def offered(numbers, capacity, rule, rng, chains=1, buffer=None):
    """A buffer of the numbers that were offered."""
    buffer = buffer or empty(torch.zeros(chains, 1), capacity)
    for number in numbers:
        buffer = offer(buffer, torch.full((chains, 1), float(number)), rule, rng)
    return buffer


@pytest.mark.parametrize(("n", "capacity"), [(7, 3), (12, 1), (30, 20)], ids=str)
def test_every_offer_is_in_the_reservoir_with_one_probability(n, capacity):
    runs = 4000
    held = offered(range(n), capacity, reservoir, stream(0, "test"), chains=runs).held()
    counts, p = torch.bincount(held.flatten().long(), minlength=n), capacity / n
    # Inclusions of one run are exchangeable: covariance p (1 - p) n / (n - 1) (I - 1/n), of rank n - 1.
    statistic = ((counts - runs * p) ** 2).sum().item() / (runs * p * (1 - p) * n / (n - 1))
    assert chi2.ppf(1e-4, n - 1) < statistic < chi2.isf(1e-4, n - 1)
    assert all(len(set(row.tolist())) == capacity for row in held[..., 0])


@pytest.mark.parametrize(("n", "capacity"), [(2, 5), (5, 5), (6, 5), (23, 5), (9, 1)], ids=str)
def test_a_queue_holds_the_last_ones(n, capacity):
    held = offered(range(n), capacity, fifo, stream(0, "test")).held()
    assert sorted(held.flatten().tolist()) == list(range(n))[-capacity:]


@RULES
def test_a_buffer_that_is_not_full_holds_everything_in_order(rule):
    assert offered(range(4), 9, rule, stream(0, "test"), chains=2).held()[1, :, 0].tolist() == [0, 1, 2, 3]


@RULES
def test_chains_keep_to_themselves(rule):
    buffer, rng = empty(torch.zeros(3, 1), 4), stream(0, "test")
    for number in range(20):
        buffer = offer(buffer, 100 * torch.arange(3.0)[:, None] + number, rule, rng)
    assert (buffer.held()[..., 0] // 100 == torch.arange(3)[:, None]).all()


@RULES
def test_killed_and_gone_on_is_the_same_as_never_killed(rule, tmp_path):
    whole = offered(range(40), 5, rule, stream(3, "test"), chains=2)
    rng = stream(3, "test")
    (tmp_path / "half").write_bytes(pack((*offered(range(17), 5, rule, rng, chains=2), rng.get_state())))
    items, count, state = unpack(tmp_path / "half", None, kinds=())
    later = stream(0, "another")
    later.set_state(state.clone())
    half = empty(torch.zeros(2, 1), 5)._replace(items=items.clone(), offered=count)
    assert torch.equal(offered(range(17, 40), 5, rule, later, buffer=half, chains=2).items, whole.items)


@pytest.mark.parametrize("capacity", [0, -1, 2.0], ids=str)
def test_a_capacity_that_is_none_is_refused(capacity, refusal):
    assert f"capacity is {capacity}; wanted a whole number" in refusal(lambda: empty(torch.zeros(2, 3), capacity))
