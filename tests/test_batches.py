"""Laws of minibatches: whole epochs, chains that do not know of each other, any step at any time."""

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from apdlab.data import batches, own_batches
from apdlab.types import Data

SHAPES = {
    "numbers, classes": ((2,), (), torch.long),
    "images, classes": ((1, 4, 4), (), torch.long),
    "numbers, targets": ((3,), (2,), torch.float64),
}


def rows(n, inputs=(1,), targets=(), dtype=torch.long):
    """A set whose every entry is the number of its row."""
    number = torch.arange(n)
    spread = [number.view(-1, *[1] * len(shape)).expand(n, *shape) for shape in (inputs, targets)]
    return Data(spread[0].double(), spread[1].to(dtype))


@pytest.mark.parametrize(("inputs", "targets", "dtype"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("size", [1, 5, 12, None])
def test_index_says_which_rows_were_taken(inputs, targets, dtype, size):
    data = rows(12, inputs, targets, dtype)
    batch = batches(data, size, seed=0, chains=3)(7)
    lead = (1, 12) if size is None else (3, size)
    assert batch.index.shape == lead and batch.x.shape == lead + inputs and batch.y.shape == lead + targets
    assert torch.equal(batch.x, data.x[batch.index]) and torch.equal(batch.y, data.y[batch.index])


@pytest.mark.parametrize(("n", "size"), [(12, 1), (12, 3), (12, 6), (12, 12)])
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_visits_every_example_once(n, size, epoch):
    draw = batches(rows(n), size, seed=0, chains=4)
    steps = range(epoch * n // size, (epoch + 1) * n // size)
    seen = torch.cat([draw(step).index for step in steps], dim=1)
    assert torch.equal(seen.sort(dim=1).values, torch.arange(n).expand(4, n))


@pytest.mark.parametrize(("n", "size", "steps"), [(13, 5, 2), (10, 9, 1), (7, 2, 3)])
def test_without_a_fit_an_epoch_visits_no_example_twice(n, size, steps):
    draw = batches(rows(n), size, seed=0)
    for epoch in range(20):
        seen = torch.cat([draw(epoch * steps + place).index for place in range(steps)], dim=1)
        assert seen.unique().numel() == steps * size


def test_every_example_has_the_same_chance():
    draw, steps = batches(rows(7), 2, seed=0, chains=50), 600
    counts = torch.stack([draw(step).index for step in range(steps)]).flatten().bincount(minlength=7)
    epochs, share = 50 * steps / 3, 6 / 7
    assert ((counts - epochs * share).abs() < 5 * (epochs * share * (1 - share)) ** 0.5).all()


@pytest.mark.parametrize("chains", [1, 2, 16])
def test_a_chain_has_the_same_batches_in_any_company(chains):
    alone, together = batches(rows(20), 4, seed=3, chains=1), batches(rows(20), 4, seed=3, chains=chains)
    large = batches(rows(20), 4, seed=3, chains=16)
    for step in range(12):
        assert torch.equal(together(step).index[:1], alone(step).index)
        assert torch.equal(together(step).index, large(step).index[:chains])


def test_orders_differ_between_chains_epochs_and_seeds():
    draw, other = batches(rows(50), 50, seed=0, chains=2), batches(rows(50), 50, seed=1)
    orders = [*draw(0).index, *draw(1).index, *other(0).index]
    assert len({tuple(order.tolist()) for order in orders}) == 5


def test_steps_may_be_asked_for_in_any_order():
    forward, backward = (batches(rows(12), 4, seed=0, chains=2) for _ in range(2))
    seen = [forward(step).index for step in range(30)]
    for step in [29, *reversed(range(30)), 3, 17, 3]:
        assert torch.equal(backward(step).index, seen[step])


def test_the_whole_set_is_one_batch_that_all_chains_share():
    data = rows(9)
    batch = batches(data, None, seed=0, chains=4)(123)
    assert batch.x.data_ptr() == data.x.data_ptr() and batch.y.data_ptr() == data.y.data_ptr()
    assert torch.equal(batch.index, torch.arange(9)[None])


@pytest.mark.parametrize("size", [4, None])
def test_batches_are_their_settings_and_nothing_else(size):
    data = rows(12)
    draw = batches(data, size, seed=3, chains=2)
    draw(5)
    settings = {field.name: getattr(draw, field.name) for field in fields(draw) if field.compare}
    assert settings == {"data": data, "size": size, "seed": 3, "chains": 2}
    with pytest.raises(FrozenInstanceError):
        draw.seed = 4


def own_sets(chains, n):
    """A set for each chain, whose every entry tells the chain and the row."""
    number = torch.arange(chains * n).view(chains, n)
    return Data(number.double()[..., None], number)


@pytest.mark.parametrize("chains", [1, 3])
@pytest.mark.parametrize("size", [1, 5, 12, 13, None])
def test_own_batches_are_of_the_chain_s_own_set_in_the_orders_of_batches(chains, size):
    sets, whole = own_sets(chains, 12), size is None or size >= 12
    draw, orders = own_batches(sets, size, seed=4), batches(rows(12), None if whole else size, seed=4, chains=chains)
    for step in [0, 7, 30, 3]:
        batch, index = draw(step), orders(step).index.expand(chains, -1)
        assert torch.equal(batch.index, index)
        assert batch.x.shape == (*index.shape, 1)
        for c in range(chains):
            assert torch.equal(batch.y[c], sets.y[c][index[c]]) and torch.equal(batch.x[c], sets.x[c][index[c]])


REFUSED = {
    "no examples": ("size is 0", dict(size=0)),
    "negative": ("size is -1", dict(size=-1)),
    "more than there are": ("size is 13", dict(size=13)),
    "no chains": ("chains is 0", dict(size=3, chains=0)),
}


@pytest.mark.parametrize(("said", "settings"), REFUSED.values(), ids=REFUSED)
def test_batches_that_cannot_be_are_refused(said, settings, refusal):
    assert said in refusal(lambda: batches(rows(12), seed=0, **settings))
