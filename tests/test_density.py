"""Laws of the log posterior: the sum over the whole set, written out with torch.distributions one chain at a time."""

import math
from typing import NamedTuple

import pytest
import torch
from torch.distributions import Categorical, Normal

from apdlab.data import batches
from apdlab.density import LogDensity, add_grad, value_and_grad
from apdlab.likelihoods import WithNoise, categorical, gaussian, noisy_dirichlet
from apdlab.networks import Network, mlp
from apdlab.priors import gaussian_prior
from apdlab.types import Batch, Data, Likelihood

N, CHAINS = 12, 4


class Case(NamedTuple):
    network: Network
    likelihood: Likelihood
    by_hand: object  # (outputs [N, K], y [N, ...]) -> log probability of the set
    predicted: object  # outputs [S, N, K] -> the same numbers from torch.distributions
    classes: bool = False


def learned(outputs):
    return Normal(outputs[..., :2], outputs[..., 2:].exp())


def network(*sizes):
    return mlp(*sizes, activation=torch.nn.Tanh, dtype=torch.float64)


def mean_and_sd(normal):
    return torch.cat([normal.mean, normal.stddev], -1)


CASES = {
    "classes": Case(
        network(3, 5, 4),
        categorical(),
        lambda out, y: Categorical(logits=out).log_prob(y).sum(),
        lambda out: Categorical(logits=out).probs.log(),
        classes=True,
    ),
    "targets": Case(
        network(3, 5, 2),
        gaussian(noise=0.3),
        lambda out, y: Normal(out, 0.3).log_prob(y).sum(),
        lambda out: mean_and_sd(Normal(out, 0.3)),
    ),
    "targets, learned noise": Case(
        Network(WithNoise(network(3, 5, 2).module, outputs=2, noise=0.5)),
        gaussian(),
        lambda out, y: learned(out).log_prob(y).sum(),
        lambda out: mean_and_sd(learned(out)),
    ),
}
PRECISIONS = {
    "one": lambda network: 2.5,
    "equal by name": lambda network: dict.fromkeys(network.shapes, 2.5),
    "each its own": lambda network: {name: 0.5 + 3 * i for i, name in enumerate(reversed(network.shapes))},
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def examples(case):
    y = torch.randint(4, (N,), generator=seeded(1)) if case.classes else normal(N, 2, seed=1)
    return Data(normal(N, 3, seed=2), y)


def posterior(case, precision=1.0):
    return LogDensity(case.network, case.likelihood, gaussian_prior(case.network, precision), N)


def written_out(case, precision, theta, batch):
    """The log posterior of one chain, ``theta [D]``."""
    params = case.network.unravel(theta)
    each = precision if isinstance(precision, dict) else dict.fromkeys(params, precision)
    prior = sum(
        Normal(torch.zeros_like(leaf), each[name] ** -0.5).log_prob(leaf).sum() for name, leaf in params.items()
    )
    return prior + N / len(batch.y) * case.by_hand(case.network(params, batch.x), batch.y)


@each_case
@each_precision
@pytest.mark.parametrize("size", [None, 1, 4, N], ids="B={}".format)
def test_values_and_gradients_are_those_of_a_loop_over_chains(case, precision, size):
    precision, theta = precision(case.network), 0.5 * normal(CHAINS, case.network.size)
    batch = batches(examples(case), size, seed=0, chains=CHAINS)(1)
    value, grad = value_and_grad(posterior(case, precision), theta, batch)
    for c in range(CHAINS):
        leaf, b = theta[c].clone().requires_grad_(), c % len(batch.y)
        wanted = written_out(case, precision, leaf, Batch(batch.x[b], batch.y[b], batch.index[b]))
        torch.testing.assert_close(value[c], wanted.detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(grad[c], torch.autograd.grad(wanted, leaf)[0], rtol=1e-12, atol=1e-11)


EACH = torch.tensor([[0.3], [-2.0], [0.0], [1.0]]).double()


@each_case
@each_precision
@pytest.mark.parametrize("times", [0.3, EACH], ids=["a number", "one a chain"])
@pytest.mark.parametrize("itself", [True, False], ids=["to itself", "to momenta"])
def test_adding_gradients_is_adding_them_times_a_number(case, precision, times, itself):
    theta = 0.5 * normal(CHAINS, case.network.size)
    log_posterior, batch = (
        posterior(case, precision(case.network)),
        batches(examples(case), 4, seed=0, chains=CHAINS)(0),
    )
    into = theta.clone() if itself else normal(*theta.shape)
    value, grad = value_and_grad(log_posterior, theta, batch)
    wanted = value, (theta * grad).sum(-1), into + times * grad
    found = add_grad(log_posterior, into if itself else theta, batch, into=into, times=times)
    torch.testing.assert_close((*found, into), wanted, rtol=1e-11, atol=1e-11)


@each_case
@pytest.mark.parametrize("size", [1, 3, 6, N], ids="B={}".format)
def test_the_mean_over_an_epoch_is_the_whole_set(case, size):
    data, theta = examples(case), normal(CHAINS, case.network.size)
    whole = value_and_grad(posterior(case), theta, batches(data, None, seed=0)(0))
    draw = batches(data, size, seed=0, chains=CHAINS)
    each = [value_and_grad(posterior(case), theta, draw(step)) for step in range(N // size, 2 * N // size)]
    for ours, wanted in zip(zip(*each, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.stack(ours).mean(0), wanted, rtol=1e-11, atol=1e-11)


@each_case
@pytest.mark.parametrize("size", [None, 4], ids="B={}".format)
def test_chains_do_not_see_each_other(case, size):
    theta = normal(CHAINS, case.network.size)
    moved = torch.cat([100 * theta[:1] + 1, theta[1:]])
    batch = batches(examples(case), size, seed=0, chains=CHAINS)(0)
    before, after = (value_and_grad(posterior(case), start, batch) for start in (theta, moved))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one[1:], other[1:], rtol=1e-13, atol=1e-13)
        assert not torch.isclose(one[0], other[0]).all()


@each_case
def test_outputs_made_elsewhere_give_the_same(case):
    theta, batch = normal(CHAINS, case.network.size), batches(examples(case), 4, seed=0, chains=CHAINS)(0)
    outputs = case.network(case.network.unravel(theta), batch.x)
    assert torch.equal(posterior(case).of_outputs(theta, outputs, batch.y), posterior(case)(theta, batch))


@each_case
def test_the_predictive_is_the_distribution_of_the_likelihood(case):
    outputs = case.network(case.network.unravel(normal(5, case.network.size)), normal(1, N, 3))
    ours = case.likelihood.predictive(outputs)
    torch.testing.assert_close(ours, case.predicted(outputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [1e4, 1e300])
def test_certain_logits_stay_finite(logit):
    outputs = torch.tensor([[[logit, 0.0], [0.0, logit]]], dtype=torch.float64)
    assert categorical().log_prob(outputs, torch.tensor([[0, 0]])).tolist() == [[0.0, -logit]]


def test_learned_noise_is_best_at_the_residuals():
    """``d log p / d log sd = sum r^2 / sd^2 - 1`` is zero at ``sd^2 = mean r^2``."""
    case, data = CASES["targets, learned noise"], examples(CASES["targets, learned noise"])
    params = case.network.unravel(normal(1, case.network.size))
    mean = case.network(params, data.x[None])[..., :2]
    params["log_noise"].copy_((data.y - mean).square().mean(1).sqrt().log())
    flat = LogDensity(case.network, case.likelihood, lambda theta: 0 * theta.sum(-1), N)
    _, grad = value_and_grad(flat, case.network.ravel(params), Batch(data.x[None], data.y[None], None))
    torch.testing.assert_close(case.network.unravel(grad)["log_noise"], torch.zeros(1, 2).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("outer", [torch.no_grad, torch.enable_grad])
def test_values_and_gradients_hold_no_graph(outer):
    theta = normal(2, 3).requires_grad_()
    with outer():
        value, grad = value_and_grad(lambda theta, batch: -theta.square().sum(-1), theta, None)
    assert not value.requires_grad and not grad.requires_grad and theta.grad is None
    assert torch.equal(grad, -2 * theta.detach())


CLASSES = CASES["classes"].network


def labelled(y):
    return categorical().log_prob(torch.zeros(2, 3, 5), y)


def sequences():
    network = Network(torch.nn.Sequential(*list(CLASSES.module)[1:]))
    return LogDensity(network, categorical(), gaussian_prior(network, 1.0), N)


BAD_NUMBERS = [0, -1.0, math.nan, math.inf]
REFUSED = {
    **{f"noise {bad}": (f"noise is {bad}", lambda bad=bad: gaussian(noise=bad)) for bad in BAD_NUMBERS},
    **{f"precision {bad}": ("precision is", lambda bad=bad: gaussian_prior(CLASSES, bad)) for bad in BAD_NUMBERS},
    "one bad precision": (
        "{'1.bias': -1}",
        lambda: gaussian_prior(CLASSES, {**dict.fromkeys(CLASSES.shapes, 1.0), "1.bias": -1}),
    ),
    "precision misses a name": ("precision names ['1.bias']", lambda: gaussian_prior(CLASSES, {"1.bias": 1.0})),
    "precision of a name too many": (
        "'more'",
        lambda: gaussian_prior(CLASSES, {**dict.fromkeys(CLASSES.shapes, 1.0), "more": 1.0}),
    ),
    "no examples": ("n is 0", lambda: LogDensity(CLASSES, categorical(), gaussian_prior(CLASSES, 1.0), 0)),
    "targets in a vector": (
        "y has shape (1, 5); wanted ('...', 5, 1)",
        lambda: gaussian(noise=1.0).log_prob(torch.zeros(3, 5, 1), torch.zeros(1, 5)),
    ),
    "class labels for gaussian": (
        "y has dtype torch.int64, as class labels have; wanted targets [N, K] of torch.float32 for gaussian()",
        lambda: gaussian(noise=1.0).log_prob(torch.zeros(3, 5, 1), torch.zeros(1, 5, dtype=torch.int64)),
    ),
    "integers for gaussian": (
        "y has dtype torch.int64",
        lambda: gaussian(noise=1.0).log_prob(torch.zeros(3, 5, 1), torch.zeros(1, 5, 1, dtype=torch.int64)),
    ),
    "one output for mean and noise": (
        "outputs has 1 columns; wanted 2 K, means and log standard deviations: Network(WithNoise(",
        lambda: gaussian().log_prob(torch.zeros(3, 5, 1), torch.zeros(1, 5, 1)),
    ),
    "three outputs for means and noises": (
        "outputs has 3 columns",
        lambda: gaussian().log_prob(torch.zeros(3, 5, 3), torch.zeros(1, 5, 2)),
    ),
    "a label past the outputs": (
        "y has the label 9, the network 5 outputs; wanted labels of 0 to 4: give its last layer 10 outputs",
        lambda: labelled(torch.tensor([[0, 4, 9]])),
    ),
    "a label just past the outputs": (
        "y has the label 5, the network 5 outputs",
        lambda: labelled(torch.tensor([[0, 4, 5], [0, 1, 2]])),
    ),
    "a label below 0": (
        "y has the label -1; wanted classes counted from 0",
        lambda: labelled(torch.tensor([[0, -1, 2]])),
    ),
    "targets for categorical": (
        "y has dtype torch.float32 and shape (1, 3, 2); wanted class labels, int64 [C or 1, N], for categorical(): "
        "gaussian() for targets",
        lambda: labelled(torch.zeros(1, 3, 2)),
    ),
    "labels in floating point": ("y has dtype torch.float32 and shape (1, 3)", lambda: labelled(torch.zeros(1, 3))),
    "labels of one byte": (
        "y has dtype torch.uint8 and shape (1, 3); wanted class labels, int64 [C or 1, N], for categorical(): y.long()",
        lambda: labelled(torch.zeros(1, 3, dtype=torch.uint8)),
    ),
    "one-hot labels": (
        "y has dtype torch.int64 and shape (1, 3, 5) for outputs (2, 3, 5); wanted one label an example",
        lambda: labelled(torch.zeros(1, 3, 5, dtype=torch.int64)),
    ),
    "too many labels": ("shape (1, 4) for outputs (2, 3, 5)", lambda: labelled(torch.zeros(1, 4, dtype=torch.int64))),
    "labels of other chains": (
        "shape (3, 3) for outputs (2, 3, 5)",
        lambda: labelled(torch.zeros(3, 3, dtype=torch.int64)),
    ),
    "outputs of a sequence": (
        "outputs has shape (2, 5, 7, 4); wanted [C, N, K], one row an example",
        lambda: sequences()(torch.zeros(2, CLASSES.size).double(), Batch(normal(1, 5, 7, 3), torch.zeros(1, 5), None)),
    ),
    "targets for fewer outputs": (
        "y has shape (1, 5, 1); wanted ('...', 5, 2)",
        lambda: gaussian().log_prob(torch.zeros(3, 5, 4), torch.zeros(1, 5, 1)),
    ),
}


@pytest.mark.parametrize(("said", "call"), REFUSED.values(), ids=REFUSED)
def test_densities_that_cannot_be_are_refused(said, call, refusal):
    assert said in refusal(call)


@pytest.mark.parametrize("noise", [1e-3, 0.1, 2.0])
def test_a_noisy_label_is_a_log_normal_with_the_moments_of_a_gamma(noise):
    outputs, y = (
        3 * torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        [0, 3, 1, 2, 2],
    )
    found = noisy_dirichlet(noise).log_prob(outputs, torch.tensor([y]))
    for c in range(2):
        for i, label in enumerate(y):
            total = 0.0
            for k in range(4):
                a = noise + (k == label)
                variance = math.log1p(1 / a)
                mean = math.log(a) - variance / 2
                assert math.exp(mean + variance / 2) == pytest.approx(a)  # mean and variance of Gamma(a, 1)
                assert math.expm1(variance) * math.exp(2 * mean + variance) == pytest.approx(a)
                total += Normal(mean, math.sqrt(variance)).log_prob(outputs[c, i, k])
            assert float(found[c, i]) == pytest.approx(float(total))
    torch.testing.assert_close(noisy_dirichlet(noise).predictive(outputs), outputs.log_softmax(-1))


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf])
def test_labels_without_noise_are_refused(noise):
    with pytest.raises(ValueError, match=r"noise is .*; wanted a finite number above 0"):
        noisy_dirichlet(noise)


def test_a_noisy_label_must_be_a_label():
    with pytest.raises(ValueError, match="y has the label 7"):
        noisy_dirichlet(0.1).log_prob(torch.zeros(1, 2, 3), torch.tensor([[0, 7]]))
