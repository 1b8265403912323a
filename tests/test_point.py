"""Laws of point estimates: one network, no disagreement."""

import pytest
import torch

from apdlab.draws import Draws
from apdlab.metrics import mutual_information
from apdlab.networks import mlp
from apdlab.posterior import mean_of_weights, point
from apdlab.predict import predict, predict_moments

NETWORK = mlp(3, 5, 4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_point_is_its_network():
    theta, x = normal(NETWORK.size), normal(11, 3, seed=1)
    posterior = point(NETWORK, theta)
    assert torch.equal(posterior.theta, theta[None]) and posterior.nbytes == 4 * NETWORK.size
    wanted = NETWORK(NETWORK.unravel(theta), x).log_softmax(-1)
    torch.testing.assert_close(predict(posterior, x), wanted[None])


@pytest.mark.parametrize("draws", [1, 2, 30])
@pytest.mark.parametrize("in_a_plane", [False, True])
def test_the_mean_of_weights_is_one_draw_at_their_mean(draws, in_a_plane):
    codes = normal(draws, 2 if in_a_plane else NETWORK.size)
    many = Draws(NETWORK, codes, *((normal(2, NETWORK.size), normal(NETWORK.size)) if in_a_plane else ()))
    wanted = sum(theta.double() for theta in many.theta) / draws
    collapsed = mean_of_weights(many)
    assert len(collapsed) == 1
    torch.testing.assert_close(collapsed.theta[0].double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_mutual_information_of_a_point_is_exactly_0(scale):
    m = predict_moments(point(NETWORK, scale * normal(NETWORK.size)), normal(101, 3, seed=1))
    assert (mutual_information(m) == 0).all()
