"""Laws of principal coordinates, against numpy's singular value decomposition, and of the posterior made in them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from apdlab.distill import Coordinates, Distilled, pca, raw, standardised
from apdlab.distill.spread import spread_of
from apdlab.networks import mlp

NETWORK = mlp(3, 4, 2, dtype=torch.float64)  # 26 weights in four tensors
SIZES = [12, 4, 8, 2]
TALL_AND_WIDE = pytest.mark.parametrize("draws", [10, 26, 60])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chains_of(draws):
    """Two chains off the origin, their spread falling from direction to direction, none along an axis."""
    turn = torch.linalg.qr(normal(2, 26, 26, seed=1))[0]
    return normal(2, draws, 26) * 0.8 ** torch.arange(26) @ turn + 3 * normal(2, 1, 26, seed=2)


def decode(coordinates, y):
    """The weights of codes ``y [G, n, k]``, chain by chain, ``[G, n, D]``, one sum at a time."""
    mean, basis, scale, _ = coordinates
    rows = [
        [m + sum(code[j] * s[j] * b[j] for j in range(len(s))) for code in codes]
        for m, b, s, codes in zip(mean, basis, scale, y, strict=True)
    ]
    return torch.stack([torch.stack(chain) for chain in rows])


@dataclass(frozen=True)
class Fixed:
    """Codes that are always the same."""

    y: torch.Tensor

    @property
    def nbytes(self):
        return self.y.nbytes

    def __getitem__(self, chains):
        return Fixed(self.y[chains])

    def sample(self, n, generator):
        return self.y[:, :n]


def drawn(posterior, n, seed=0):
    return posterior.sample(n, generator=torch.Generator().manual_seed(seed)).theta


@TALL_AND_WIDE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_directions_are_the_leading_singular_vectors(draws, dtype):
    theta = chains_of(draws)
    basis = pca(theta.to(dtype), NETWORK, k=5).basis
    assert basis.dtype == dtype
    for rows, chain in zip(basis.double().numpy(), theta.numpy(), strict=True):
        vectors = np.linalg.svd(chain - chain.mean(0))[2][:5]
        np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-4)
        np.testing.assert_allclose(np.abs((rows * vectors).sum(1)), 1, atol=1e-4)


@TALL_AND_WIDE
@pytest.mark.parametrize("whitening", [0, 0.3, 0.5, 1])
def test_whitening_goes_from_equal_coordinates_to_their_proportions(draws, whitening):
    theta = chains_of(draws)
    coordinates = pca(theta, NETWORK, 5, whitening)
    for codes, chain in zip(coordinates.encode(theta).numpy(), theta.numpy(), strict=True):
        sd = np.linalg.svd(chain - chain.mean(0))[1][:5] / np.sqrt(draws - 1)
        np.testing.assert_allclose(codes.std(0, ddof=1), (sd / sd[0]) ** (1 - whitening), rtol=1e-8)
        np.testing.assert_allclose(codes.mean(0), 0, atol=1e-10)
        np.testing.assert_allclose(np.corrcoef(codes.T), np.eye(5), atol=1e-8)


@pytest.mark.parametrize(("draws", "k"), [(10, 9), (26, 25), (60, 26)])
def test_as_many_directions_as_draws_span_give_every_draw_back(draws, k):
    theta = chains_of(draws)
    coordinates = pca(theta, NETWORK, k)
    torch.testing.assert_close(decode(coordinates, coordinates.encode(theta)), theta, rtol=1e-8, atol=1e-8)
    assert coordinates.residual.max() < 1e-8


@TALL_AND_WIDE
def test_residual_is_the_rms_of_what_is_left_out_of_each_tensor(draws):
    theta = chains_of(draws)
    coordinates = pca(theta, NETWORK, k=3)
    left_out = (theta - decode(coordinates, coordinates.encode(theta))).numpy()
    parts = np.split(left_out, np.cumsum(SIZES)[:-1], axis=-1)
    wanted = np.stack([np.sqrt((part**2).mean((1, 2))) for part in parts], -1)
    np.testing.assert_allclose(coordinates.residual.numpy(), wanted, rtol=1e-8)


@TALL_AND_WIDE
@pytest.mark.parametrize("block", [1, 2000, 6000])
def test_blocks_change_nothing_but_rounding(draws, block, monkeypatch):
    theta = chains_of(draws)
    at_once = pca(theta, NETWORK, 4)
    codes, spread = at_once.encode(theta), spread_of(theta, NETWORK, at_once)
    monkeypatch.setattr("apdlab.distill.coordinates.BLOCK", block)
    for ours, wanted in zip(pca(theta, NETWORK, 4), at_once, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(at_once.encode(theta), codes, rtol=1e-12, atol=1e-12)
    for ours, wanted in zip(spread_of(theta, NETWORK, at_once), spread, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)


def test_chains_have_coordinates_of_their_own():
    theta = chains_of(20)
    both, second = pca(theta, NETWORK, 4), pca(theta[1:], NETWORK, 4)
    for ours, alone in zip(both.of(slice(1, 2)), second, strict=True):
        torch.testing.assert_close(ours, alone)
    assert both.nbytes == sum(part.nbytes for part in both) == 8 * 2 * (26 + 4 * 26 + 4 + 4)


PLAIN = pytest.mark.parametrize("made", [raw, standardised])


@PLAIN
def test_weights_are_coordinates_that_leave_nothing_out(made):
    theta = chains_of(20)
    coordinates = made(theta, NETWORK)
    y = coordinates.encode(theta)
    torch.testing.assert_close(coordinates.decode(y), theta, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(y, theta if made is raw else (theta - theta.mean(1, True)) / theta.std(1, keepdim=True))
    assert coordinates.residual.shape == (2, 4) and not coordinates.residual.any()
    posterior = Distilled(NETWORK, coordinates, Fixed(y), torch.ones(2))
    for c in range(2):
        torch.testing.assert_close(drawn(posterior, 40)[c::2], theta[c])
        torch.testing.assert_close(drawn(posterior[c : c + 1], 20), theta[c])
    assert posterior.nbytes == coordinates.nbytes + y.nbytes + 2 * 4


def test_a_weight_that_never_moves_stays_where_it_is():
    theta = chains_of(20)
    theta[:, :, 3] = 1.5
    coordinates = standardised(theta, NETWORK)
    assert coordinates.encode(theta)[..., 3].eq(0).all() and coordinates.decode(torch.ones(2, 1, 26)).isfinite().all()


def test_a_single_draw_has_no_spread(refusal):
    assert "theta has 1 draw a chain; wanted 2" in refusal(lambda: standardised(chains_of(1), NETWORK))


REFUSED = {
    "no direction": ("k is 0; wanted 1 to 9", {"k": 0}),
    "more than draws span": ("k is 10; wanted 1 to 9: 10 draws span no more", {"k": 10}),
    "whitening above 1": ("whitening is 1.5", {"k": 2, "whitening": 1.5}),
    "whitening below 0": ("whitening is -0.1", {"k": 2, "whitening": -0.1}),
    "whitening NaN": ("whitening is nan", {"k": 2, "whitening": float("nan")}),
}


@pytest.mark.parametrize(("said", "arguments"), REFUSED.values(), ids=REFUSED)
def test_coordinates_that_cannot_be_are_refused(said, arguments, refusal):
    assert said in refusal(lambda: pca(chains_of(10), NETWORK, **arguments))


@pytest.mark.parametrize("chains", [1, 2])
def test_a_draw_is_the_mean_plus_its_code_times_the_basis(chains):
    coordinates, y = pca(chains_of(20), NETWORK, 4).of(slice(chains)), normal(chains, 7, 4, seed=3)
    got = drawn(Distilled(NETWORK, coordinates, Fixed(y)), 7 * chains)
    for c, wanted in enumerate(decode(coordinates, y)):
        torch.testing.assert_close(got[c::chains], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("noise", [None, torch.zeros(3)])
def test_every_chain_is_drawn_alike(n, noise):
    means = torch.arange(3.0)[:, None].expand(3, 26)
    coordinates = Coordinates(means, torch.zeros(3, 1, 26), torch.ones(3, 1), torch.zeros(3, 4))
    got = drawn(Distilled(NETWORK, coordinates, Fixed(torch.zeros(3, 10, 1)), noise), n)
    counts = got[:, 0].long().bincount(minlength=3)
    assert len(got) == n and counts.max() - counts.min() <= 1


def test_what_noise_adds_has_the_variance_that_was_left_out():
    coordinates, n, s = pca(chains_of(20), NETWORK, 4), 4000, [0.5, 2.0]
    posterior = Distilled(NETWORK, coordinates, Fixed(torch.zeros(2, n, 4, dtype=torch.float64)))
    theta = drawn(posterior.with_noise(torch.tensor(s)), 2 * n)
    for c in range(2):
        parts = (theta[c::2] - coordinates.mean[c]).split(SIZES, -1)
        for part, sd in zip(parts, s[c] * coordinates.residual[c], strict=True):
            z = part.flatten() / sd
            assert abs(z.square().mean() - 1) < 5 * (2 / len(z)) ** 0.5 and abs(z.mean()) < 5 / len(z) ** 0.5
        z = torch.corrcoef((theta[c::2] - coordinates.mean[c]).T) - torch.eye(26)
        assert z.abs().max() < 5.5 / n**0.5


@pytest.mark.parametrize("chains", [slice(0, 1), slice(1, 3), slice(None)], ids=str)
def test_selected_chains_give_the_same_draws_as_before(chains):
    coordinates = pca(torch.cat([chains_of(20), chains_of(30)[:1, :20]]), NETWORK, 4)
    whole = Distilled(NETWORK, coordinates, Fixed(normal(3, 5, 4)), torch.zeros(3))
    part, rows = whole[chains], list(range(3))[chains]
    assert len(part.coordinates.mean) == len(rows)
    for i, c in enumerate(rows):
        torch.testing.assert_close(drawn(part, 5 * len(rows))[i :: len(rows)], drawn(whole, 15)[c::3])


def test_bytes_add_up_over_the_chains():
    coordinates, y = pca(chains_of(20), NETWORK, 4), normal(2, 5, 4)
    quiet = Distilled(NETWORK, coordinates, Fixed(y))
    loud = quiet.with_noise(torch.zeros(2))
    assert quiet.nbytes == coordinates.nbytes + y.nbytes and loud.nbytes == quiet.nbytes + 2 * 8
    for posterior in (quiet, loud):
        assert posterior[:1].nbytes + posterior[1:].nbytes == posterior.nbytes


@pytest.mark.parametrize("noise", [[0.5], [0.5, -0.1], [[0.5, 0.5]], [0.5, float("nan")]], ids=str)
def test_noise_that_cannot_be_is_refused(noise, refusal):
    posterior = Distilled(NETWORK, pca(chains_of(20), NETWORK, 4), Fixed(normal(2, 5, 4)))
    assert "wanted 2 factors of 0 or more" in refusal(lambda: posterior.with_noise(torch.tensor(noise)))


@pytest.mark.parametrize("n", [0, -3])
def test_no_draws_are_refused(n, refusal):
    posterior = Distilled(NETWORK, pca(chains_of(20), NETWORK, 4), Fixed(normal(2, 5, 4)))
    assert f"n is {n}; wanted 1 draw" in refusal(lambda: drawn(posterior, n))
