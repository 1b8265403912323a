"""Laws of MC-dropout: a draw is one mask applied by hand, the mean of draws is no mask, training is dropout."""

import math

import pytest
import torch
from torch import nn

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical, gaussian
from apdlab.networks import Network, mlp
from apdlab.posterior import dropout, sgd
from apdlab.posterior.dropout import Dropout
from apdlab.priors import gaussian_prior
from apdlab.types import Data, Likelihood


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, 8), nn.Tanh(),
        nn.Dropout(0.6, inplace=True), nn.Linear(8, 3),
    )  # fmt: skip


MODULES = {
    # the module, the shape of an input
    "an mlp": (lambda: dropout.mlp(6, 8, 7, 3, rate=0.4).module, (6,)),
    "of inputs": (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 3, bias=False)), (2, 3)),
    "of images": (convolutions, (1, 4, 4)),
    "one layer for two": (lambda: nn.Sequential(nn.Linear(6, 5), act := nn.Tanh(), drop := nn.Dropout(0.5),
                                                nn.Linear(5, 5), act, drop, nn.Linear(5, 3)), (6,)),
}  # fmt: skip
each_module = pytest.mark.parametrize(("build", "shape"), MODULES.values(), ids=MODULES)


def posterior(build):
    network = Network(build().double())
    return Dropout(network, 0.5 + network.init(seeded()))


def masked_by_hand(network, theta, masks, x):
    """Walk through the layers with the weights as they were trained; ``masks`` are those of the dropout layers."""
    params, h, masks = network.unravel(theta), x, iter(masks)
    named = dict(network.module.named_modules(remove_duplicate=False))
    for name, layer in list(named.items())[1:]:
        own = {key: params[f"{name}.{key}"] for key, _ in layer.named_parameters()}
        h = (
            h * next(masks) / (1 - layer.p)
            if isinstance(layer, nn.Dropout)
            else torch.func.functional_call(layer, own, h)
        )
    return h


@each_module
def test_a_draw_is_one_mask_for_all_inputs_applied_by_hand(build, shape):
    made, x = posterior(build), normal(9, *shape, seed=1)
    network, draws = made.network, made.sample(5, generator=seeded(2))
    together = network(network.unravel(draws.theta), x[None])
    masks_seen = []
    for theta, outputs in zip(draws.theta, together, strict=True):
        ratio = network.unravel(theta / made.theta)
        masks = [(ratio[name][0] != 0).double() for name in dropout._rates(network)]
        wanted = masked_by_hand(network, made.theta, masks, x)
        torch.testing.assert_close(outputs, wanted, rtol=1e-10, atol=1e-10)
        masks_seen.append(torch.cat(masks))
    assert 0 < torch.stack(masks_seen).mean() < 1 and len(torch.stack(masks_seen).unique(dim=0)) > 1


def test_masks_are_those_of_torch_in_law():
    """``nn.Dropout`` with a batch of one, thousands of times, against draws: equal means and variances of outputs."""
    made, x, n = posterior(MODULES["an mlp"][0]), normal(1, 6, seed=1), 20_000
    network = made.network
    ours = network(network.unravel(made.sample(n, generator=seeded(2)).theta), x[None])[:, 0]
    module = torch.nn.Sequential(*network.module).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.func.functional_call(module, network.unravel(made.theta), x.expand(n, -1)).detach()
    error = ((ours.var(0) + theirs.var(0)) / n).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * error).all()
    fourth = [(part - part.mean(0)).pow(4).mean(0) - part.var(0).square() for part in (ours, theirs)]
    assert ((ours.var(0) - theirs.var(0)).abs() < 5 * (sum(fourth) / n).sqrt()).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_first_layer_after_dropout_has_the_mean_of_the_network_without(rate):
    """And the variance ``p / (1 - p) sum_j (W_kj h_j)^2``; dropout of the only hidden layer, so outputs show it."""
    network, n = dropout.mlp(6, 8, 3, rate=rate, activation=nn.Tanh, dtype=torch.float64), 40_000
    theta, x = 0.5 + network.init(seeded()), normal(4, 6, seed=1)
    draws = Dropout(network, theta).sample(n, generator=seeded(3))
    outputs = network(network.unravel(draws.theta), x[None])
    params = network.unravel(theta)
    first, bias, last, _ = params.values()
    parts = last[None] * (x @ first.T + bias).tanh()[:, None]  # [N, K, hidden]
    wanted = rate / (1 - rate) * parts.square().sum(-1)
    assert ((outputs.mean(0) - network(params, x)).abs() < 5 * (wanted / n).sqrt()).all()
    spread = (outputs - outputs.mean(0)).square()
    assert ((spread.mean(0) - wanted).abs() < 5 * spread.std(0) / n**0.5).all()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7])
def test_a_unit_is_dropped_as_often_as_its_rate_says_and_alone(rate):
    network, n = dropout.mlp(2, 10, 1, rate=rate), 20_000
    draws = Dropout(network, torch.ones(network.size)).sample(n, generator=seeded())
    first, bias, last, last_bias = network.unravel(draws.theta).values()
    assert (first == 1).all() and (bias == 1).all() and (last_bias == 1).all()
    dropped = (last[:, 0] == 0).double()
    assert (dropped.mean(0) - rate).abs().max() < 5 * (rate * (1 - rate) / n) ** 0.5
    together = torch.corrcoef(dropped.T) - torch.eye(10)
    assert together.abs().max() < 5 / n**0.5
    torch.testing.assert_close(last[last != 0].unique(), torch.tensor([1 / (1 - rate)]))


def problem(network, size=None, n=30):
    data = Data(normal(n, 6, seed=2), torch.randint(3, (n,), generator=seeded(1)))
    return LogDensity(network, categorical(), gaussian_prior(network, 1.0), n), batches(data, size, seed=0)


def test_dropout_of_next_to_nothing_trains_as_without():
    network, plain = dropout.mlp(6, 8, 3, rate=1e-12, dtype=torch.float64), mlp(6, 8, 3, dtype=torch.float64)
    start, settings = plain.init(seeded()), {"steps": 40, "learning_rate": 0.3, "momentum": 0.8}
    log_posterior, draw = problem(network, 5)
    found, cost = dropout.fit(log_posterior, start, draw, seed=0, **settings)
    wanted, _ = sgd.fit(problem(plain, 5)[0], start[None], draw, **settings)
    torch.testing.assert_close(found.theta, wanted.theta[0], rtol=1e-9, atol=1e-9)
    assert found.network is network and cost.gradient_evaluations == 40 and cost.seconds > 0


def test_training_masks_every_example_and_step_anew():
    """Equal inputs: a mask shared over the batch would give equal outputs."""
    network, seen = dropout.mlp(6, 50, 3, dtype=torch.float64), []
    kept = Likelihood(lambda out, y: seen.append(out.detach()) or categorical().log_prob(out, y), None)
    log_posterior = LogDensity(network, kept, gaussian_prior(network, 1.0), 8)
    draw = batches(Data(torch.ones(8, 6).double(), torch.zeros(8, dtype=torch.long)), None, seed=0)
    dropout.fit(log_posterior, network.init(seeded()), draw, steps=2, learning_rate=1e-9, seed=0)
    assert torch.cat(seen, 1).shape == (1, 16, 3) and len(torch.cat(seen, 1)[0].unique(dim=0)) == 16


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_linear_regression_with_dropout_is_ridge_regression(rate):
    """``theta = (X^T X + p / (1 - p) diag(X^T X) + precision)^-1 X^T y`` at noise 1, when inputs are dropped."""
    x, n = normal(40, 3) @ torch.tensor([[1.0, 0.9, 0], [0, 0.5, 0], [0, 0, 3]]).double(), 40
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]).double()
    network = Network(nn.Sequential(nn.Dropout(rate), nn.Linear(3, 1, bias=False)).double())
    log_posterior = LogDensity(network, gaussian(noise=1.0), gaussian_prior(network, 2.0), n)
    draw = batches(Data(x.repeat(50, 1), y.repeat(50, 1)), None, seed=0)
    found, _ = dropout.fit(log_posterior, torch.zeros(3).double(), draw, steps=400, learning_rate=0.03, seed=0)
    gram = x.T @ x
    wanted = torch.linalg.solve(gram + rate / (1 - rate) * gram.diag().diag() + 2 * torch.eye(3), x.T @ y)[:, 0]
    without = torch.linalg.solve(gram + 2 * torch.eye(3), x.T @ y)[:, 0]
    assert (found.theta - wanted).norm() < 0.03 * (without - wanted).norm()


def test_a_fit_depends_on_its_seed_and_on_nothing_else():
    network = dropout.mlp(6, 8, 3, dtype=torch.float64)
    (log_posterior, draw), start = problem(network), network.init(seeded())

    def fitted(seed):
        return dropout.fit(log_posterior, start, draw, steps=5, learning_rate=0.1, seed=seed)[0].theta

    first, before = fitted(0), start.clone()
    torch.randn(100)
    assert torch.equal(first, fitted(0)) and not torch.equal(first, fitted(1)) and torch.equal(start, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_an_mlp_is_the_plain_one_with_dropout_before_each_layer_but_the_first(dtype):
    network, plain = dropout.mlp(4, 6, 5, 3, rate=0.25, dtype=dtype), mlp(4, 6, 5, 3, dtype=dtype)
    kinds = [type(layer).__name__ for layer in network.module]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert dropout._rates(network) == {"4.weight": 0.25, "7.weight": 0.25}
    theta, x = plain.init(seeded()), torch.randn(3, 4, generator=seeded(1), dtype=dtype)
    assert torch.equal(network(network.unravel(theta), x), plain(plain.unravel(theta), x))
    assert Dropout(network, theta).nbytes == theta.nbytes


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(4, 3), nn.Dropout()

    def forward(self, x):
        return self.drop(self.layer(x))


def twice():
    layer = nn.Linear(4, 4)
    return layer, nn.Dropout(), layer


def tied():
    layer = nn.Linear(4, 4)
    layer.weight = (first := nn.Linear(4, 4)).weight
    return first, nn.Dropout(), layer


class Memory(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


ELSEWHERE = {
    "none": ("module has no dropout", (nn.Linear(4, 3),)),
    "of outputs": ("module drops units in Dropout '1'", (nn.Linear(4, 3), nn.Dropout())),
    "before an activation": ("Dropout '1'", (nn.Linear(4, 3), nn.Dropout(), nn.ReLU(), nn.Linear(3, 3))),
    "before flattening": ("Dropout '0'", (nn.Dropout(), nn.Flatten(), nn.Linear(4, 3))),
    "before a convolution": ("Dropout '0'", (nn.Dropout(), nn.Conv1d(1, 1, 1), nn.Dropout(), nn.Linear(4, 3))),
    "of dropout": ("Dropout '0'", (nn.Dropout(), nn.Dropout(), nn.Linear(4, 3))),
    "of channels": ("Dropout2d '0'", (nn.Dropout2d(), nn.Linear(4, 3))),
    "that keeps moments": ("AlphaDropout '0'", (nn.AlphaDropout(), nn.Linear(4, 3))),
    "inside": ("Dropout '0.1'", (nn.Sequential(nn.Linear(4, 4), nn.Dropout()), nn.Linear(4, 3))),
    "inside, and right elsewhere": ("Dropout '0.drop'", (Mine(), nn.Dropout(), nn.Linear(3, 3))),
    "of a memory": ("Memory '0'", (Memory(4, 4, num_layers=2, dropout=0.1), nn.Dropout(), nn.Linear(4, 3))),
    "a layer used twice": ("module uses '0.weight' twice", twice()),
    "weights tied": ("module uses '0.weight' twice", tied()),
    "of everything": ("Dropout '0' has rate 1", (nn.Dropout(1.0), nn.Linear(4, 3))),
    "of nothing": ("Dropout '0' has rate 0", (nn.Dropout(0.0), nn.Linear(4, 3))),
}


@pytest.mark.parametrize(("said", "layers"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_dropout_that_no_weights_stand_for_is_refused_by_name(said, layers, refusal):
    network = Network(nn.Sequential(*layers))
    assert said in refusal(lambda: Dropout(network, torch.zeros(network.size)))
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), 3)
    start = torch.zeros(network.size)
    assert said in refusal(lambda: dropout.fit(log_posterior, start, None, steps=1, learning_rate=0.1, seed=0))


NETWORK = dropout.mlp(6, 4, 3, dtype=torch.float64)
SETTINGS = {"steps": 1, "learning_rate": 0.1, "seed": 0}
REFUSED = {
    "a module of one's own": ("module is a Mine; wanted an nn.Sequential",
                              lambda: Dropout(Network(Mine()), torch.zeros(15))),
    "theta too short": ("theta has shape (42,); wanted (43,)", lambda: Dropout(NETWORK, torch.zeros(42))),
    "a stack of weights": ("theta has shape (1, 43)", lambda: Dropout(NETWORK, torch.zeros(1, 43))),
    "no draws": ("n is 0; wanted 1", lambda: Dropout(NETWORK, torch.zeros(43)).sample(0, generator=seeded())),
    "no hidden layer": ("sizes is (4, 3); wanted a hidden layer", lambda: dropout.mlp(4, 3)),
    "one size": ("sizes is (4,)", lambda: dropout.mlp(4)),
    "a rate of 0": ("rate is 0", lambda: dropout.mlp(4, 3, 2, rate=0)),
    "a rate of 1": ("rate is 1", lambda: dropout.mlp(4, 3, 2, rate=1)),
    "a rate of nan": ("rate is nan", lambda: dropout.mlp(4, 3, 2, rate=math.nan)),
    "a stack of starts": ("start has shape (1, 43); wanted [D]",
                          lambda: dropout.fit(problem(NETWORK)[0], torch.zeros(1, 43), None, **SETTINGS)),
    "minibatches of more chains": ("x has shape (2, 5, 6); wanted [1, B, ...]", lambda: dropout.fit(
        problem(NETWORK)[0], torch.zeros(43).double(),
        batches(Data(normal(9, 6), torch.zeros(9, dtype=torch.long)), 5, seed=0, chains=2), **SETTINGS)),
    "a seed below 0": ("seed is -1", lambda: dropout.fit(
        problem(NETWORK)[0], torch.zeros(43), None, steps=1, learning_rate=0.1, seed=-1)),
}  # fmt: skip


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_dropout_is_refused(said, call, refusal):
    assert said in refusal(call)
