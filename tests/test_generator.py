"""Laws of latents and of generators: moments, what they weigh, and that chains can be taken apart."""

import math

import pytest
import torch

from apdlab.distill import gan
from apdlab.distill.generator import Generator, Latent, as_trained, matched
from apdlab.networks import mlp
from apdlab.streams import stream


def trained():
    sizes = (6, 5, 2)
    return Generator(torch.randn(3, mlp(*sizes).size, generator=stream(0, "test")), sizes, gan.normal(6))


@pytest.mark.parametrize("latent", [gan.normal(6), gan.curve(5, 3), gan.curve(1, 0)], ids=["normal", "curve", "cosine"])
def test_latents_have_mean_0_variance_1_and_no_correlation(latent):
    n = 40000
    z = latent(2, n, torch.Generator().manual_seed(0))
    assert z.mean(1).abs().max() < 5 / n**0.5
    assert (z.mT @ z / n - torch.eye(z.shape[-1])).abs().max() < 5 * (2 / n) ** 0.5
    assert ((z[0] * z[1]).mean(0)).abs().max() < 5 / n**0.5  # chains have latents of their own


def test_cosines_of_a_curve_are_of_one_number():
    z = gan.curve(4, 2)(1, 100, torch.Generator().manual_seed(0))[0].double()
    u = torch.acos(z[:, 0] / math.sqrt(2)) / math.pi
    for m in range(1, 5):
        torch.testing.assert_close(z[:, m - 1], math.sqrt(2) * torch.cos(math.pi * m * u), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("counts", [(0, 0), (-1, 3), (3, -1)], ids=str)
def test_latents_without_numbers_are_refused(counts, refusal):
    assert "wanted 0 or more, 1 together" in refusal(lambda: Latent(*counts))


def test_codes_are_what_the_networks_make_of_the_latents():
    generator = trained()
    z, network = generator.latent(3, 7, stream(1, "test")), mlp(*generator.sizes)
    wanted = torch.stack([network(network.unravel(row), own) for row, own in zip(generator.theta, z, strict=True)])
    torch.testing.assert_close(generator.sample(7, stream(1, "test")), wanted)


@pytest.mark.parametrize("chains", [slice(0, 1), slice(1, 3)], ids=str)
def test_some_of_the_generators_weigh_their_part(chains):
    generator = trained()
    part = generator[chains]
    assert torch.equal(part.theta, generator.theta[chains]) and part.latent == generator.latent
    assert part.nbytes * 3 == generator.nbytes * len(part.theta)


@pytest.mark.parametrize("seed", range(3))
def test_a_matched_generator_has_both_moments_and_one_left_alone_has_not(seed):
    turn = torch.randn(3, 2, 2, generator=stream(seed, "turn"), dtype=torch.float64)
    real = (torch.randn(3, 500, 2, generator=stream(seed, "real"), dtype=torch.float64) @ turn + 3).float()
    for finish, right in ((matched, True), (as_trained, False)):
        codes = finish(trained(), real, stream(seed, "moments")).sample(4000, stream(seed, "moments"))
        means = torch.allclose(codes.mean(1), real.mean(1), atol=1e-3)
        spreads = [
            torch.cov(a.T, correction=0) - torch.cov(b.T, correction=0) for a, b in zip(codes, real, strict=True)
        ]
        assert means == right and (max(s.abs().max() for s in spreads) < 1e-3) == right
