"""Laws of convolutional networks: a stack is its networks one by one, and every number in them has a prior."""

import pytest
import torch

from apdlab.priors import gaussian_prior
from apdlab.resnet import FilterResponseNorm, cnn, resnet


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TOYS = {"cnn": cnn(8, channels=3, width=2), "resnet": resnet(14, width=2)}
toys = pytest.mark.parametrize("network", TOYS.values(), ids=TOYS)


@toys
def test_a_stack_is_its_networks_one_by_one(network):
    theta, x = 0.3 * normal(3, network.size), normal(1, 5, 3, 8, 8, seed=1)
    stacked = network(network.unravel(theta), x)
    alone = [network(network.unravel(row), x[0]) for row in theta]
    torch.testing.assert_close(stacked, torch.stack(alone))
    assert stacked.shape == (3, 5, 10)


@toys
def test_an_example_does_not_see_the_others(network):
    params = network.unravel(0.3 * normal(network.size))
    x = normal(4, 3, 8, 8, seed=1)
    torch.testing.assert_close(network(params, x)[:1], network(params, x[:1]))


@toys
def test_every_number_has_a_prior_and_moves_the_outputs(network):
    theta = network.init(torch.Generator().manual_seed(0)).requires_grad_()
    outputs = network(network.unravel(theta), normal(6, 3, 8, 8))
    (moved,) = torch.autograd.grad(outputs.square().sum(), theta, retain_graph=True)
    for name, part in network.unravel(moved).items():
        assert part.abs().max() > 0, name
    ones = torch.ones(1, network.size, requires_grad=True)
    (pulled,) = torch.autograd.grad(gaussian_prior(network, 2.0)(ones).sum(), ones)
    assert pulled.eq(-2).all()


def test_responses_are_divided_by_their_root_mean_square_over_the_image():
    layer = FilterResponseNorm(2)
    with torch.no_grad():
        for part, values in ((layer.gamma, [2.0, -1.0]), (layer.beta, [0.5, 0.1]), (layer.tau, [-0.3, 0.2])):
            part.copy_(torch.tensor(values)[:, None, None])
    x = 3 * normal(4, 2, 3, 5)
    for n in range(4):
        for c, (gamma, beta, tau) in enumerate(((2.0, 0.5, -0.3), (-1.0, 0.1, 0.2))):
            size = sum(v * v for v in x[n, c].flatten().tolist()) / 15
            wanted = (gamma * x[n, c] / (size + 1e-6) ** 0.5 + beta).clamp(min=tau)
            torch.testing.assert_close(layer(x)[n, c], wanted)


@pytest.mark.parametrize("depth", [8, 20])
def test_weights_are_counted_as_in_the_paper(depth):
    n, total, now = (depth - 2) // 6, 3 * 16 * 9 + 3 * 16, 16
    for outputs in (16, 32, 64):
        for _ in range(n):
            total += 9 * outputs * (now + outputs) + 2 * 3 * outputs + (now * outputs if now != outputs else 0)
            now = outputs
    assert resnet(depth).size == total + 64 * 10 + 10


@pytest.mark.parametrize("depth", [2, 0, 19, 21])
def test_a_depth_that_no_blocks_have_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth is {depth}; wanted 6 n"):
        resnet(depth)


@pytest.mark.parametrize("pixels", [0, 6, 7])
def test_images_that_cannot_be_halved_twice_are_refused(pixels):
    with pytest.raises(ValueError, match=f"pixels is {pixels}; wanted a multiple of 4"):
        cnn(pixels)
