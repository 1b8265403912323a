"""Laws of prediction: whatever the memory and the network, what comes out is what single networks say one by one."""

import pytest
import torch
from torch import nn

from apdlab.draws import Draws
from apdlab.likelihoods import gaussian
from apdlab.moments import moments
from apdlab.networks import Network, mlp
from apdlab.predict import chunk_sizes, label_log_probs, predict, predict_moments
from apdlab.types import Data

F64 = torch.float64
CONVOLUTION = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).double()
NORMED = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)).double()
WIDE = nn.Sequential(nn.Conv2d(1, 6, 1, bias=False), nn.Flatten(), nn.AdaptiveAvgPool1d(3)).double()
# The network, the shape of an input, how many numbers its layers put out for one; rectifiers of an mlp work in place.
NETWORKS = {
    "mlp": (mlp(4, 6, 3, dtype=F64), (4,), 6 + 3),
    "convolution, in a loop": (Network(CONVOLUTION), (1, 4, 4), 8 + 8 + 8 + 3),
    "layer norm, by vmap": (Network(NORMED), (4,), 5 + 5 + 3),
    "few weights, large images": (Network(WIDE), (1, 8, 8), 384 + 384 + 3),
}
NAMES = pytest.mark.parametrize("name", NETWORKS)
BUDGETS = pytest.mark.parametrize("times", [1, 1.5, 2.1, 3.7, 9, 40, 1000])


def made(name, draws=19, examples=13):
    """Draws, inputs, the bytes of one network and of the work for one input."""
    network, shape, outputs = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(draws, network.size, generator=generator, dtype=F64)
    x = torch.randn(examples, *shape, generator=generator, dtype=F64)
    return Draws(network, theta), x, 8 * network.size, 8 * (outputs + 3) + 48 * 3


def one_by_one(draws, x):
    outputs = [[draws.network(draws.network.unravel(theta), image[None])[0] for image in x] for theta in draws.theta]
    return torch.stack([torch.stack(row) for row in outputs])


@NAMES
@BUDGETS
def test_predictions_are_those_of_single_networks_on_any_memory(name, times):
    draws, x, weights, work = made(name)
    memory, chunks = int(times * (weights + work)), []
    got = predict(draws, x, memory=memory, predictive=lambda out: chunks.append(out.shape[:2]) or out.log_softmax(-1))
    torch.testing.assert_close(got, one_by_one(draws, x).log_softmax(-1).detach(), rtol=1e-10, atol=1e-10)
    assert all(s * (weights + n * work) <= memory for s, n in chunks)
    assert times > 1 or chunks == [(1, 1)] * (len(draws) * len(x))


@NAMES
@BUDGETS
def test_moments_in_a_stream_are_those_of_all_predictions(name, times):
    draws, x, weights, work = made(name)
    streamed = predict_moments(draws, x, memory=int(times * (weights + work)))
    for ours, wanted in zip(streamed, moments(predict(draws, x)), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-6, atol=1e-9)


@NAMES
def test_chunks_stay_in_the_memory_and_use_it(name):
    draws, x, weights, work = made(name)
    for memory in range(weights + work, 60 * (weights + work), 97):
        stack, examples = chunk_sizes(draws.network, 8, x, memory)
        assert stack * (weights + examples * work) <= memory
        assert examples == 1000 or stack * (weights + (examples + 1) * work) > memory
    assert chunk_sizes(draws.network, 8, x, 2**40) == (16 * 64 // len(x), 1000)
    assert chunk_sizes(draws.network, 8, x[:1].expand(64, *x.shape[1:]), 2**40) == (16, 1000)


@NAMES
def test_a_memory_that_does_not_hold_one_network_and_one_input_is_refused(name, refusal):
    draws, x, weights, work = made(name)
    assert chunk_sizes(draws.network, 8, x, weights + work) == (1, 1)
    for call in (predict, predict_moments):
        said = refusal(lambda call=call: call(draws, x, memory=weights + work - 1))
        assert f"memory is {weights + work - 1} bytes; wanted at least" in said


@pytest.mark.parametrize("call", [predict, predict_moments, lambda d, x: label_log_probs(d, Data(x, x[:, 0].long()))])
def test_no_inputs_are_refused(call, refusal):
    draws, x, _, _ = made("mlp")
    assert "x has no inputs" in refusal(lambda: call(draws, x[:0]))


@NAMES
def test_nothing_is_left_on_the_module_even_after_an_error(name):
    draws, x, _, _ = made(name)
    predict(draws, x)
    with pytest.raises((RuntimeError, ValueError)):
        predict(draws, x[..., :1].expand(*x.shape[:-1], 50)[:, None, None])
    assert not any(part._forward_hooks for part in draws.network.module.modules())


@NAMES
@BUDGETS
def test_draws_in_a_plane_predict_as_their_weights_do(name, times):
    stored, x, weights, work = made(name)
    plane = Draws(stored.network, stored.codes[:, :2], stored.theta[:2], stored.theta[5])
    wanted = predict(Draws(plane.network, plane.theta), x)
    torch.testing.assert_close(predict(plane, x, memory=int(times * (weights + work))), wanted, rtol=1e-10, atol=1e-10)


def test_another_likelihood_gives_its_own_prediction():
    draws, x, _, _ = made("mlp")
    mean, sd = predict(draws, x, predictive=gaussian(noise=0.5).predictive).chunk(2, -1)
    torch.testing.assert_close(mean, one_by_one(draws, x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sd, torch.full_like(sd, 0.5))


@NAMES
def test_label_log_probs_are_read_off_the_predictions(name):
    draws, x, _, _ = made(name)
    y, log_probs = torch.arange(len(x)) % 3, predict(draws, x)
    wanted = [[log_probs[s, n, y[n]].item() for n in range(len(x))] for s in range(len(draws))]
    assert label_log_probs(draws, Data(x, y)).tolist() == wanted


def test_predictions_keep_no_graph():
    draws, x, _, _ = made("mlp")
    leaf = draws.codes.clone().requires_grad_()
    assert not predict(Draws(draws.network, leaf), x).requires_grad
