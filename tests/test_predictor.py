"""Laws of predictors: the streamed gradient is that of the stacked graph, on any memory, and never 0 by rounding."""

import pytest
import torch
from test_predict import NAMES, NETWORKS
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from apdlab import metrics
from apdlab.draws import Draws
from apdlab.moments import moments
from apdlab.networks import mlp
from apdlab.posterior import point
from apdlab.predict import predict, predict_moments
from apdlab.predictor import fresh_predictor, log_mean, mean_log, predictor

F64 = torch.float64
BUDGETS = pytest.mark.parametrize("times", [1, 2.1, 40, 1000])


def entropy_of(log_p):
    return -(log_p.exp() * log_p).sum(-1)


# What is streamed, and the same by its definition from log p [S, N, K], in one graph.
STATISTICS = {
    "log mean": (log_mean, lambda log_p: log_p.exp().mean(0).log()),
    "mean log": (mean_log, lambda log_p: log_p.mean(0)),
    "total": (metrics.predictive_entropy, lambda log_p: entropy_of(log_p.exp().mean(0).log())),
    "aleatoric": (metrics.expected_entropy, lambda log_p: entropy_of(log_p).mean(0)),
    "epistemic": (
        metrics.mutual_information,
        lambda log_p: entropy_of(log_p.exp().mean(0).log()) - entropy_of(log_p).mean(0),
    ),
}
EACH = pytest.mark.parametrize("statistic", STATISTICS)


def made(name, draws=19, examples=13, basis=False):
    """Draws, inputs, and the bytes that one network and one input need."""
    network, shape, outputs = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(draws, network.size, generator=generator, dtype=F64)
    x = torch.randn(examples, *shape, generator=generator, dtype=F64)
    stored = Draws(network, theta)
    if basis:
        codes, offset = torch.randn(draws, 4, generator=generator, dtype=F64), theta[0]
        stored = Draws(network, codes, theta[1:5], offset)
    return stored, x, 8 * network.size + 8 * (outputs + 3) + 48 * 3


def value_and_grad(function, x):
    """The values, and the gradient of a sum of them with unlike weights."""
    x = x.clone().requires_grad_()
    values = function(x)
    weights = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).view_as(values)
    return values.detach(), torch.autograd.grad((weights * values).sum(), x)[0]


def stacked(draws, definition):
    """All draws in one graph, one after the other."""
    one = draws.network
    return lambda x: definition(torch.stack([one(one.unravel(t), x) for t in draws.theta]).log_softmax(-1))


@NAMES
@EACH
@BUDGETS
@pytest.mark.parametrize("basis", [False, True], ids=["stored", "made"])
def test_values_and_gradients_are_those_of_the_stacked_graph_on_any_memory(name, statistic, times, basis):
    draws, x, least = made(name, basis=basis)
    streamed, definition = STATISTICS[statistic]
    ours = value_and_grad(predictor(draws, streamed, memory=int(times * least)), x)
    for got, wanted in zip(ours, value_and_grad(stacked(draws, definition), x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_a_point_estimate_predicts_for_itself():
    draws, x, _ = made("mlp", draws=1)
    torch.testing.assert_close(predictor(draws)(x), predict(draws, x)[0].detach())


@NAMES
def test_the_averages_are_the_moments(name):
    draws, x, _ = made(name)
    averages, m = predictor(draws, lambda a: a)(x), predict_moments(draws, x)
    torch.testing.assert_close(averages.log_mean, m.log_mean)
    torch.testing.assert_close(averages.expected_entropy, m.expected_entropy)


def test_a_backward_can_be_repeated():
    draws, x, _ = made("mlp")
    x.requires_grad_()
    total = predictor(draws)(x)[:, 0].sum()
    first, second = (torch.autograd.grad(total, x, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second)


def confident(dtype, scale=70.0):
    """Networks whose largest probability is 1 - 1e-30 or nearer to 1: none is told from 1 by float32 or float64."""
    network, generator = mlp(6, 8, 3, dtype=dtype), torch.Generator().manual_seed(3)
    theta = torch.randn(7, network.size, generator=generator, dtype=F64)
    last = network.unravel(theta)["3.bias"]
    last.copy_(scale * torch.tensor([1.0, 0.0, 0.0]))
    x = 0.3 * torch.randn(9, 6, generator=generator, dtype=F64)
    return Draws(network, theta.to(dtype)), x.to(dtype)


LOSSES = {
    "margin": lambda log_p: log_p[:, 1] - log_p[:, 0],
    "cross entropy": lambda log_p: -log_p[:, 0],
    "cross entropy of another": lambda log_p: -log_p[:, 1],
}


@pytest.mark.parametrize("statistic", [log_mean, mean_log])
@pytest.mark.parametrize("loss", LOSSES)
def test_confident_ensembles_have_exact_gradients_in_float32(loss, statistic):
    grads = []
    for dtype in (torch.float32, F64):
        draws, x = confident(dtype)
        x.requires_grad_()
        log_p = predictor(draws, statistic)(x)
        assert log_p[:, 0].max() > -1e-20 and (log_p.exp()[:, 0] == 1).all()
        grads.append(torch.autograd.grad(1e20 * LOSSES[loss](log_p).sum(), x)[0].double())
    exact = true_gradient(loss, statistic)
    for grad in grads:
        assert (grad != 0).all()
        scale = exact.abs().amax(-1, keepdim=True)
        torch.testing.assert_close(grad / scale, exact / scale, rtol=0, atol=1e-4)


def true_gradient(loss, statistic):
    """Without cancellation: from log odds, whose gradients need no 1 - p."""
    draws, x = confident(F64)
    x.requires_grad_()
    logits = torch.stack([draws.network(draws.network.unravel(t), x) for t in draws.theta])
    odds = logits[..., 1:].logsumexp(-1) - logits[..., 0]  # log (1 - p) / p of class 0
    if loss == "cross entropy":  # -log p = log (1 + odds), odds of 1e-30: (1 - p) of the mean is the mean of 1 - p
        return torch.autograd.grad(1e20 * odds.exp().mean(0).sum(), x)[0]
    if statistic is log_mean:
        other = (logits[..., 1] - logits[..., 0]).logsumexp(0).sum()
    else:
        other = (logits[..., 1] - logits[..., 0]).mean(0).sum()
    return torch.autograd.grad((1e20 if loss == "margin" else -1e20) * other, x)[0]


def test_what_users_write_has_no_gradient_there():
    draws, x = confident(torch.float32)
    x.requires_grad_()
    p = torch.stack([draws.network(draws.network.unravel(t), x) for t in draws.theta]).softmax(-1).mean(0)
    assert (torch.autograd.grad(-p.clamp_min(1e-12).log()[:, 1].sum(), x)[0] == 0).all()


def storages(tree):
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that were made inside and are alive, and remembers the most."""

    def __init__(self):
        super().__init__()
        self.live, self.most = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        known = {storage._cdata for storage in storages((args, kwargs))}  # views of these take nothing
        for storage in storages(out):
            if storage._cdata not in known:
                self.live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.live = {key: entry for key, entry in self.live.items() if not entry[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.live.values()))
        return out


def peak(draws, memory, basis, network=mlp(20, 40, 5), inputs=(50, 20)):  # noqa: B008
    theta = torch.randn(draws, network.size, generator=torch.Generator().manual_seed(0))
    stored = Draws(network, theta[:, :3], torch.randn(3, network.size), theta[0]) if basis else Draws(network, theta)
    x, y = torch.randn(inputs, requires_grad=True), torch.zeros(inputs[0], dtype=torch.long)
    with Peak() as seen:
        torch.autograd.grad(torch.nn.functional.nll_loss(predictor(stored, memory=memory)(x), y), x)
    return seen.most


@pytest.mark.parametrize("basis", [False, True], ids=["stored", "made"])
@pytest.mark.parametrize("memory", [100_000, 1_000_000])
def test_memory_is_three_times_what_was_given_at_most_and_flat_once_that_is_used(basis, memory):
    few, enough, many = (peak(s, memory, basis) for s in (10, {100_000: 20, 1_000_000: 100}[memory], 1000))
    assert many <= 1.02 * enough and max(few, many) <= 3 * memory


def test_copies_of_weights_in_bfloat16_count():
    assert peak(300, 2_000_000, False, mlp(200, 100, 5).mixed(), (10, 200)) <= 2_000_000


def test_fresh_draws_are_those_of_the_posterior_one_call_after_the_other():
    draws, x, _ = made("mlp")
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    f = fresh_predictor(draws, 4, one, metrics.mutual_information)
    for _ in range(3):
        expected = metrics.mutual_information(moments(predict(draws.sample(4, generator=other), x)))
        torch.testing.assert_close(f(x), expected)


REFUSED = {
    "no input": (lambda d, x: predictor(d)(x[:0]), "x has no inputs"),
    "no memory": (lambda d, x: predictor(d, memory=10)(x), "memory is 10 bytes"),
    "no draw a call": (lambda d, x: fresh_predictor(d, 0, torch.Generator()), "n is 0; wanted 1 or more"),
    "too many draws": (lambda d, x: fresh_predictor(d, 20, torch.Generator())(x), "n is 20; wanted 1 to 19"),
    "no draws": (lambda d, x: predictor(d[:0])(x), "codes has shape (0, "),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_a_predictor_of_nothing_is_refused(call, message, refusal):
    draws, x, _ = made("mlp")
    assert refusal(lambda: call(draws, x)).startswith(message)


def test_the_mutual_information_of_one_network_is_flat():
    draws, x, _ = made("mlp")
    values, grad = value_and_grad(predictor(point(draws.network, draws.theta[0]), metrics.mutual_information), x)
    assert (values == 0).all() and grad.abs().max() < 1e-12
