"""Laws of a pair in training: scores are the networks', slopes and all gradients are autograd's."""

import pytest
import torch

from apdlab.distill.critic import critic_gradient, generator_gradient, hidden, layers, products, scores_and_slopes
from apdlab.networks import mlp

CASES = {
    "one layer": (3, (7,)),
    "two layers": (3, (7, 5)),
    "the paper's depth": (3, (6, 5, 4)),
    "wide": (2000, (20, 9)),
}
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
SIZES = pytest.mark.parametrize(("k", "units"), CASES.values(), ids=CASES)


def pairs(k, units, dtype):
    """Two critics and two generators, real codes, latents, and where between real and fake."""
    nets, rng = (mlp(k, *units, 1, dtype=dtype), mlp(4, *units[::-1], k, dtype=dtype)), torch.Generator().manual_seed(0)
    theta = [torch.stack([net.init(rng) for _ in range(2)]).mul_(3).requires_grad_() for net in nets]
    real, z = (torch.randn(2, 11, wide, generator=rng, dtype=dtype) for wide in (k, 4))
    return nets, theta, real, z, torch.rand(2, 11, 1, generator=rng, dtype=dtype)


def by_autograd(critic, params, real, fake, u):
    """The slopes by a gradient of the scores that is itself differentiable."""
    between = (fake + u * (real - fake)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(params, between).sum(), between, create_graph=True)
    return critic(params, real)[..., 0], critic(params, fake)[..., 0], slope.norm(dim=-1)


def near(ours, theirs, tolerance):
    assert ours.shape == theirs.shape and (ours - theirs).norm() <= tolerance * theirs.norm() and theirs.norm() > 0.1


@PRECISIONS
@SIZES
def test_scores_and_slopes_and_the_gradient_of_a_critic_are_those_of_autograd(k, units, dtype, tolerance):
    (critic, maker), (f, g), real, z, u = pairs(k, units, dtype)
    of_maker, into = layers(maker.unravel(g.detach())), torch.full_like(f, torch.nan)
    h, fake = hidden(of_maker, z), maker(maker.unravel(g), z).detach()
    entry, *rest = layers(critic.unravel(f.detach()))
    ours = scores_and_slopes(products(entry, of_maker[-1], real), rest, h, u)
    theirs = by_autograd(critic, critic.unravel(f), real, fake, u)
    cost = theirs[1].mean(1) - theirs[0].mean(1)
    (grad,) = torch.autograd.grad((cost + 10 * (theirs[2] - 1).square().mean(1)).sum(), f)
    found = critic_gradient(critic.unravel(f.detach()), of_maker[-1], h, real, u, 10.0, critic.unravel(into))
    for a, b in zip((*ours, found, into), (*theirs, cost, grad), strict=True):
        near(a, b, tolerance)


@PRECISIONS
@SIZES
def test_the_gradient_of_a_generator_is_that_of_autograd(k, units, dtype, tolerance):
    (critic, maker), (f, g), _, z, _ = pairs(k, units, dtype)
    into = torch.full_like(g, torch.nan)
    generator_gradient(maker.unravel(g.detach()), critic.unravel(f.detach()), z, maker.unravel(into))
    loss = -critic(critic.unravel(f), maker(maker.unravel(g), z)).mean((1, 2))
    near(into, torch.autograd.grad(loss.sum(), g)[0], tolerance)


def test_a_flat_critic_has_a_gradient_all_the_same():
    critic, maker = mlp(3, 4, 1), mlp(2, 4, 3)
    last, into = layers(maker.unravel(torch.ones(1, maker.size)))[-1], torch.empty(1, critic.size)
    known = torch.randn(1, 5, 4), torch.randn(1, 5, 3), torch.rand(1, 5, 1)
    critic_gradient(critic.unravel(torch.zeros(1, critic.size)), last, *known, 10.0, critic.unravel(into))
    assert into.isfinite().all()
