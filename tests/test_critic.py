"""Laws of the critic: scores are the network's, slopes and all their gradients are autograd's."""

import pytest
import torch

from apdlab.distill.critic import scores_and_slopes
from apdlab.networks import mlp

CASES = {
    "one layer": (3, (7,)),
    "two layers": (3, (7, 5)),
    "the paper's depth": (3, (6, 5, 4)),
    "wide": (2000, (20, 9)),
}


def by_autograd(critic, params, real, fake, u):
    """The slopes by a gradient of the scores that is itself differentiable."""
    between = (fake + u * (real - fake)).requires_grad_()
    (slope,) = torch.autograd.grad(critic(params, between).sum(), between, create_graph=True)
    return critic(params, real)[..., 0], critic(params, fake)[..., 0], slope.norm(dim=-1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize(("k", "hidden"), CASES.values(), ids=CASES)
def test_scores_slopes_and_their_gradients_are_those_of_autograd(k, hidden, dtype, tolerance):
    critic, rng = mlp(k, *hidden, 1, dtype=dtype), torch.Generator().manual_seed(0)
    theta = torch.stack([critic.init(rng) for _ in range(2)]).mul_(3).requires_grad_()
    real, fake = (torch.randn(2, 11, k, generator=rng, dtype=dtype) for _ in range(2))
    u = torch.rand(2, 11, 1, generator=rng, dtype=dtype)
    found = []
    for values in (scores_and_slopes(critic.unravel(theta), real, fake, u),
                   by_autograd(critic, critic.unravel(theta), real, fake, u)):  # fmt: skip
        loss = values[1].mean() - values[0].mean() + 10 * (values[2] - 1).square().mean()
        found.append((*values, torch.autograd.grad(loss, theta)[0]))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm() and theirs.norm() > 0.1


def test_a_flat_critic_has_a_gradient_all_the_same():
    critic = mlp(3, 4, 1)
    theta = torch.zeros(1, critic.size, requires_grad=True)
    _, _, slope = scores_and_slopes(critic.unravel(theta), *torch.randn(2, 1, 5, 3), torch.rand(1, 5, 1))
    assert (slope < 1e-5).all() and torch.autograd.grad(slope.sum(), theta)[0].isfinite().all()
