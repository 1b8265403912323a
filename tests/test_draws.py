"""Laws of draws: weights stored or made, thinned evenly, sampled without replacement, walked through in chunks."""

import dataclasses

import pytest
import torch

from apdlab.draws import Draws
from apdlab.networks import mlp

NETWORK = mlp(2, 3)  # 9 weights


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbered(draws):
    """Draws whose every weight is the number of the draw."""
    return Draws(NETWORK, torch.arange(float(draws))[:, None].expand(draws, 9))


def numbers(draws):
    return draws.theta[:, 0].long().tolist()


SHAPES = {
    "stored": (9, False, False),
    "shifted": (9, False, True),
    "a plane": (2, True, True),
    "a cone": (3, True, False),
}


def made(kind):
    wide, has_basis, has_offset = SHAPES[kind]
    parts = normal(7, wide), normal(wide, 9, seed=1), normal(9, seed=2)
    return Draws(NETWORK, parts[0], parts[1] if has_basis else None, parts[2] if has_offset else None)


@pytest.mark.parametrize("kind", SHAPES)
def test_theta_is_offset_plus_codes_times_basis(kind):
    draws = made(kind)
    basis = torch.eye(9, dtype=torch.float64) if draws.basis is None else draws.basis
    for s, theta in enumerate(draws.theta):
        wanted = sum((draws.codes[s, k] * basis[k] for k in range(len(basis))), torch.zeros(9, dtype=torch.float64))
        wanted = wanted if draws.offset is None else wanted + draws.offset
        torch.testing.assert_close(theta, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("index", [slice(2, 5), slice(None, None, 3), torch.tensor([6, 0, 0])], ids=str)
def test_selected_draws_are_the_rows_of_theta_and_share_the_rest(kind, index):
    draws = made(kind)
    chosen = draws[index]
    torch.testing.assert_close(chosen.theta, draws.theta[index], rtol=1e-12, atol=1e-12)
    assert chosen.basis is draws.basis and chosen.offset is draws.offset and chosen.network is NETWORK


@pytest.mark.parametrize("kind", SHAPES)
def test_bytes_are_those_of_all_parts(kind):
    wide, has_basis, has_offset = SHAPES[kind]
    assert made(kind).nbytes == 8 * (7 * wide + has_basis * wide * 9 + has_offset * 9)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_chunks_cover_the_draws_in_order(kind, size):
    draws = made(kind)
    chunks = list(draws.chunks(size))
    assert all(len(chunk) == size for chunk in chunks[:-1]) and 1 <= len(chunks[-1]) <= size
    torch.testing.assert_close(torch.cat([chunk.theta for chunk in chunks]), draws.theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 9, 100])
def test_thinned_draws_are_evenly_spaced_and_centred(size):
    for n in range(1, size + 1):
        kept = torch.tensor(numbers(numbered(size).thin(n)))
        assert len(kept) == n
        middles = (torch.arange(n, dtype=torch.float64) + 0.5) * size / n
        assert ((kept + 0.5 - middles).abs() <= 0.5).all()  # each in the middle of its n-th part, to the nearest draw


@pytest.mark.parametrize("size", [1, 2, 9, 100])
def test_all_draws_thinned_are_all_draws(size):
    assert numbers(numbered(size).thin(size)) == list(range(size))


@pytest.mark.parametrize(("size", "n"), [(1, 1), (10, 1), (10, 4), (10, 10)])
def test_a_sample_has_no_draw_twice_and_depends_on_its_generator(size, n):
    samples = [numbers(numbered(size).sample(n, generator=torch.Generator().manual_seed(s))) for s in (0, 0, 1)]
    assert all(len(set(sample)) == n and set(sample) <= set(range(size)) for sample in samples)
    assert samples[0] == samples[1]


def test_every_draw_has_the_same_chance_to_be_sampled():
    generator, times = torch.Generator().manual_seed(0), 2000
    samples = [numbers(numbered(5).sample(2, generator=generator)) for _ in range(times)]
    counts = torch.tensor(samples).flatten().bincount(minlength=5)
    assert ((counts - times * 0.4).abs() < 5 * (times * 0.4 * 0.6) ** 0.5).all()


def test_draws_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbered(3).codes = torch.zeros(3, 9)


REFUSED = {
    "a vector": ("codes has shape (9,)", lambda: Draws(NETWORK, torch.zeros(9))),
    "a number": ("codes has shape ()", lambda: Draws(NETWORK, torch.zeros(()))),
    "three axes": ("codes has shape (2, 5, 9)", lambda: Draws(NETWORK, torch.zeros(2, 5, 9))),
    "no draws": ("at least one draw", lambda: Draws(NETWORK, torch.zeros(0, 9))),
    "an empty slice": ("at least one draw", lambda: numbered(3)[3:]),
    "weights of another network": ("codes has 8 columns; wanted the 9", lambda: Draws(NETWORK, torch.zeros(5, 8))),
    "basis of fewer codes": ("basis has shape (3, 9); wanted (2, 9)",
                             lambda: Draws(NETWORK, torch.zeros(5, 2), torch.zeros(3, 9))),
    "basis of another network": ("basis has shape (2, 8)",
                                 lambda: Draws(NETWORK, torch.zeros(5, 2), torch.zeros(2, 8))),
    "offset of another network": ("offset has shape (8,)",
                                  lambda: Draws(NETWORK, torch.zeros(5, 9), offset=torch.zeros(8))),
    "offset a draw": ("offset has shape (5, 9)", lambda: Draws(NETWORK, torch.zeros(5, 9), offset=torch.zeros(5, 9))),
    "thin to none": ("n is 0; wanted 1 to 3", lambda: numbered(3).thin(0)),
    "thin to more": ("n is 4; wanted 1 to 3", lambda: numbered(3).thin(4)),
    "sample none": ("n is 0", lambda: numbered(3).sample(0, generator=torch.Generator())),
    "sample more": ("n is 4", lambda: numbered(3).sample(4, generator=torch.Generator())),
    "empty chunks": ("size is 0", lambda: list(numbered(3).chunks(0))),
    "chunks below 0": ("size is -1", lambda: list(numbered(3).chunks(-1))),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_draws_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)
