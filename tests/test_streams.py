"""Laws of the random streams: a stream depends on seed, purpose and chain, and on nothing else."""

from itertools import combinations

import pytest
import torch

from apdlab.streams import stream, streams

KEYS = {
    "base": (0, "noise", 0),
    "seed": (1, "noise", 0),
    "purpose": (0, "batches", 0),
    "chain": (0, "noise", 1),
    "chain in the purpose": (0, "noise/0", 1),
    "digits of chain": (0, "noise", 11),
    "large seed": (2**80, "noise", 0),
    "seed past 64 bits": (2**80 + 2**64, "noise", 0),
}


def numbers(generator):
    return torch.randint(2**62, (4,), generator=generator)


def test_a_stream_is_fresh_at_every_opening_and_in_any_order():
    forward = {name: numbers(stream(*key)) for name, key in KEYS.items()}
    numbers(torch.default_generator)
    for name, key in reversed(KEYS.items()):
        assert torch.equal(numbers(stream(*key)), forward[name])


@pytest.mark.parametrize(("one", "other"), list(combinations(KEYS, 2)))
def test_streams_of_different_keys_share_no_number(one, other):
    assert not (numbers(stream(*KEYS[one]))[:, None] == numbers(stream(*KEYS[other]))).any()


def test_streams_of_neighbouring_seeds_and_chains_are_uncorrelated():
    rows = [torch.randn(4000, generator=stream(seed, "noise", chain)) for seed in range(5) for chain in range(5)]
    off = torch.corrcoef(torch.stack(rows))[~torch.eye(25, dtype=torch.bool)]
    assert off.abs().max() < 5 / 4000**0.5


@pytest.mark.parametrize("chains", [0, 1, 16])
def test_streams_are_one_stream_a_chain(chains):
    opened = streams(3, "noise", chains)
    assert len(opened) == chains
    for chain, generator in enumerate(opened):
        assert torch.equal(numbers(generator), numbers(stream(3, "noise", chain)))


def test_opening_a_stream_leaves_the_global_one_alone():
    before = torch.random.get_rng_state()
    numbers(stream(0, "noise"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_stream_is_the_same_in_every_release():
    """Stored chains are found by the hash of their settings, so these numbers may not change."""
    assert stream(0, "noise", 1).initial_seed() == 3_136_146_697_272_329_583


def test_negative_seeds_are_refused(refusal):
    assert "seed is -1" in refusal(lambda: stream(-1, "noise"))
