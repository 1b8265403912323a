"""Laws of chains: blocks stay contiguous, thinning takes from every chain alike, shapes fit."""

import pytest
import torch

from apdlab.chains import Chains
from apdlab.networks import mlp

NETWORK = mlp(1, 1)  # 2 weights


def numbered(chains, kept):
    """Chains whose state number t of chain c has the weights (c, t), kept after step 10 (t + 1)."""
    grid = torch.stack(torch.meshgrid(torch.arange(chains), torch.arange(kept), indexing="ij"), dim=-1)
    values = (grid[..., 0] * 1000 + grid[..., 1]).double()
    return Chains(NETWORK, grid.double(), 10 * torch.arange(1, kept + 1), values, {"kinetic": -values})


def same(one, other):
    return one.network is other.network and all(
        torch.equal(getattr(one, part), getattr(other, part)) for part in ("theta", "steps", "log_posterior")
    )


def goes_along(chains):
    """Whether the measures were selected with the log posterior."""
    return torch.equal(chains.measures["kinetic"], -chains.log_posterior)


@pytest.mark.parametrize(("kept", "fraction", "cut"), [(4, 0.75, 3), (2, 0.5, 1), (10, 0.11, 1), (100, 0.333, 33)])
def test_a_split_cuts_every_chain_in_two_contiguous_blocks(kept, fraction, cut):
    chains = numbered(3, kept)
    early, late = chains.split(fraction)
    assert early.theta.shape == (3, cut, 2)
    joined = Chains(
        NETWORK,
        torch.cat([early.theta, late.theta], 1),
        torch.cat([early.steps, late.steps]),
        torch.cat([early.log_posterior, late.log_posterior], 1),
    )
    assert same(joined, chains) and goes_along(early) and goes_along(late)


@pytest.mark.parametrize("index", [slice(1, 3), slice(None, None, 2), [2, 0], [1]], ids=str)
def test_selected_chains_are_whole_chains(index):
    chains = numbered(4, 5)
    chosen = chains[index]
    rows = list(range(4))[index] if isinstance(index, slice) else index
    assert len(chosen) == len(rows) and torch.equal(chosen.steps, chains.steps) and goes_along(chosen)
    for ours, c in enumerate(rows):
        assert torch.equal(chosen.theta[ours], chains.theta[c])
        assert torch.equal(chosen.log_posterior[ours], chains.log_posterior[c])


@pytest.mark.parametrize(("chains", "kept"), [(1, 7), (4, 25), (3, 10)])
def test_thinning_takes_from_every_chain_alike(chains, kept):
    for n in range(1, chains * kept + 1):
        draws = numbered(chains, kept).thin(n)
        counts = draws.theta[:, 0].long().bincount(minlength=chains)
        assert len(draws) == n and counts.max() - counts.min() <= 1
        assert len(draws.theta.unique(dim=0)) == n


@pytest.mark.parametrize("each", [1, 2, 5, 10])
def test_thinning_to_a_multiple_of_the_chains_takes_the_same_times_of_each(each):
    theta = numbered(4, 10).thin(4 * each).theta.view(4, each, 2)
    assert (theta[..., 0] == torch.arange(4.0)[:, None]).all()
    assert (theta[..., 1] == theta[0, :, 1]).all()
    assert set(theta[0, :, 1].diff().tolist()) <= {10 / each}


def test_without_a_number_thinning_keeps_all():
    chains = numbered(3, 5)
    assert torch.equal(chains.thin().theta, chains.theta.reshape(15, 2))


def test_a_late_block_thins_to_its_own_states():
    _, late = numbered(3, 8).split(0.5)
    assert late.thin().theta[:, 1].tolist() == [4.0, 5.0, 6.0, 7.0] * 3


@pytest.mark.parametrize(("kept", "every"), [(10, 5), (11, 5), (4, 2), (7, 7), (5, 4)])
def test_states_held_out_are_evenly_spaced_and_no_longer_among_the_others(kept, every):
    train, out = numbered(3, kept).hold_out(every)
    assert sorted([*train.steps.tolist(), *out.steps.tolist()]) == numbered(3, kept).steps.tolist()
    assert {*out.steps.diff().tolist()} <= {10 * every} and len(out.steps) in (kept // every, -(-kept // every))
    for part in (train, out):
        assert (10 * part.theta[..., 1] + 10 == part.steps).all() and (
            part.theta[..., 0] == torch.arange(3.0)[:, None]
        ).all()
        assert part.log_posterior.shape == part.theta.shape[:2] and goes_along(part)


def shaped(theta=(3, 4, 2), steps=(4,), log_posterior=(3, 4), kinetic=None):
    measures = {} if kinetic is None else {"kinetic": torch.zeros(kinetic)}
    return Chains(NETWORK, torch.zeros(theta), torch.zeros(steps), torch.zeros(log_posterior), measures)


REFUSED = {
    "one chain without its axis": ("theta has shape (4, 2); wanted [C, T, 2]", lambda: shaped(theta=(4, 2))),
    "weights of another network": ("theta has shape (3, 4, 5)", lambda: shaped(theta=(3, 4, 5))),
    "no chain": ("theta has shape (0, 4, 2)", lambda: shaped(theta=(0, 4, 2), log_posterior=(0, 4))),
    "no state": ("theta has shape (3, 0, 2)", lambda: shaped((3, 0, 2), (0,), (3, 0))),
    "steps of another length": ("steps has shape (5,); wanted (4,)", lambda: shaped(steps=(5,))),
    "steps a chain": ("steps has shape (3, 4)", lambda: shaped(steps=(3, 4))),
    "log posterior transposed": ("log_posterior has shape (4, 3)", lambda: shaped(log_posterior=(4, 3))),
    "a measure of another length": ("kinetic has shape (3, 5); wanted (3, 4)", lambda: shaped(kinetic=(3, 5))),
    "a chain selected by a number": ("theta has shape (4, 2)", lambda: shaped()[0]),
    "nothing early": ("fraction is 0.0 of 4 states", lambda: shaped().split(0.0)),
    "nothing late": ("fraction is 0.99 of 4 states", lambda: shaped().split(0.99)),
    "more than all": ("fraction is 1.5", lambda: shaped().split(1.5)),
    "less than nothing": ("fraction is -0.5", lambda: shaped().split(-0.5)),
    "every state held out": ("every is 1 of 4 states; wanted 2 to 4", lambda: shaped().hold_out(1)),
    "no state held out": ("every is 5 of 4 states", lambda: shaped().hold_out(5)),
    "thin to more": ("n is 13; wanted 1 to 12", lambda: shaped().thin(13)),
    "thin to none": ("n is 0", lambda: shaped().thin(0)),
}


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_chains_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
