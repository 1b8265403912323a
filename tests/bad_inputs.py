"""Generated inputs that are wrong by construction: tensors, numbers, modules. Each generator gets its own dice."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from apdlab import active, attacks, diagnostics, fidelity, metrics, ood, scoreboard
from apdlab.chains import Chains
from apdlab.data import batches, cubic, data, split, two_clusters, two_moons
from apdlab.density import LogDensity
from apdlab.distill import flow, gan, mixture, pca, raw, standardised
from apdlab.distill import gaussian as low_rank
from apdlab.distill.generator import Latent
from apdlab.draws import Draws
from apdlab.likelihoods import WithNoise, categorical, gaussian
from apdlab.moments import merge, moments
from apdlab.networks import Network, mlp
from apdlab.posterior import dropout, sgd, swag
from apdlab.predict import label_log_probs, predict, predict_moments
from apdlab.predictor import predictor
from apdlab.priors import gaussian_prior
from apdlab.samplers import Run, from_apd, from_wenzel, keep, relaxation_steps, sghmc, sgld, sgnht, symplectic_euler
from apdlab.schedules import constant, polynomial
from apdlab.store import Store, describe, pack
from apdlab.streams import stream
from apdlab.types import Batch, Cost, Data

NAN, INF = math.nan, math.inf
TOYS = two_clusters, two_moons, cubic


class Case(NamedTuple):
    """A call that must be refused, and the word for what is wrong that the refusal must have."""

    label: str
    word: str
    call: Callable[[], Any]


def each(names, function, values):
    """One case for each wrong value of one argument, whose name is the word, with a label before it or without."""
    label, word = names if isinstance(names, tuple) else (names, names)
    for value in values:
        yield Case(f"{label} {_short(value)}", word, partial(function, value))


def _short(value):
    shape = f"{value.dtype!s} {list(value.shape)}" if hasattr(value, "shape") else repr(value)
    return shape[:60]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=rng(seed), dtype=dtype)


def not_positive(dice):
    """Numbers that are no finite numbers above 0."""
    return [0, 0.0, -1, NAN, INF, -INF, *(-(10 ** dice.uniform(-6, 6)) for _ in range(3))]


def negative(dice):
    return [-1, NAN, INF, -INF, *(-(10 ** dice.uniform(-6, 6)) for _ in range(3))]


def no_counts(dice):
    """Numbers that are no whole numbers of 1 or more."""
    return [0, -1, -dice.randint(2, 10**6), dice.uniform(1, 9) + 1e-3, NAN, INF, 1e2]


def spoilt(dice, tensor, values=(NAN, INF, -INF)):
    """The tensor with one wrong entry somewhere."""
    for value in values:
        other = tensor.clone()
        other.view(-1)[dice.randrange(tensor.numel())] = value
        yield other


def zeros(shapes):
    return [torch.zeros(shape) for shape in shapes]


def shapes_but(dice, shape, n=6):
    """Shapes with other axes than these: one too few, one too many, one of another length."""
    yield from (shape[1:], (1, *shape, 1), (*shape[:-1], shape[-1] + dice.randint(1, 5)))
    for _ in range(n):
        axes = tuple(dice.randint(1, 7) for _ in range(dice.randint(0, 4)))
        if axes != shape:
            yield axes


# Numbers ------------------------------------------------------------------------------------------------------------


def bowl(theta, batch=None):
    return -0.5 * theta.square().sum(-1)


def numbers(dice):
    """Step sizes, noises, precisions, counts, seeds: outside their range, or not whole."""
    network, kernel = mlp(2, 3), sgld(bowl, 0.1)
    draws, chains = Draws(network, randn(20, 9)), Chains(network, randn(2, 20, 9), torch.arange(20), randn(2, 20))
    toy, run = Data(randn(10, 2), torch.arange(10)), Run(kernel, randn(2, 9), lambda t: None, 0, 20)
    a, b, n = randn(20, 3), randn(20, 3, seed=1), LogDensity(network, categorical(), bowl, n=1)
    above = {
        "step_size": (constant, partial(sgld, bowl)),
        "a, b": (lambda v: polynomial(v, 1.0, 0.6), lambda v: polynomial(1.0, v, 0.6)),
        "noise": (gaussian, lambda v: WithNoise(nn.Linear(2, 1), 1, v)),
        "precision": (
            partial(gaussian_prior, network),
            lambda v: gaussian_prior(network, dict.fromkeys(network.shapes, v)),
        ),
        "variance": (lambda v: two_clusters(rng(), variance=v),),
    }
    zero = {
        "temperature": (lambda v: sgld(bowl, 0.1, v),),
        "noise": (lambda v: two_moons(rng(), noise=v), lambda v: cubic(rng(), noise=v)),
        "every": (lambda v: Store("store").keep(run, network, every=v),),
    }
    counts = {
        "n": (partial(LogDensity, network, categorical(), bowl), *(partial(f, rng()) for f in TOYS),
            draws.thin, chains.thin, lambda v: draws.sample(v, generator=rng())),
        "size": (partial(batches, toy, seed=0), lambda v: list(draws.chunks(v))),
        "chains": (lambda v: batches(toy, 2, seed=0, chains=v),),
        "every": (chains.hold_out,),
        "k": (partial(pca, chains.theta, network),),
        "bins": (lambda v: metrics.ece(n.likelihood.predictive(a), torch.zeros(20).long(), v),),
        "directions": (lambda v: fidelity.sliced_wasserstein(a, b, directions=v, generator=rng()),),
        "folds": (lambda v: fidelity.two_sample_accuracy(a, b, folds=v, generator=rng()),),
        "neighbours": (lambda v: fidelity.two_sample_accuracy(a, b, neighbours=v, generator=rng()),),
        "memory": (lambda v: predict(draws, a[:, :2], memory=v),),
    }  # fmt: skip
    for word, functions in above.items():
        for i, function in enumerate(functions):
            yield from each((f"{word} {i}", word), function, not_positive(dice))
    for word, functions in zero.items():
        for i, function in enumerate(functions):
            values = negative(dice) if word != "every" else [-1, NAN, -INF]
            yield from each((f"{word} {i}", word), function, values)
    for word, functions in counts.items():
        for i, function in enumerate(functions):
            values = no_counts(dice) if word != "memory" else [0, -1, dice.randint(1, 30), NAN]
            yield from each((f"{word} count {i}", word), function, values)
    yield from each("gamma", partial(polynomial, 1.0, 1.0), [0.5, NAN, 1.01, dice.uniform(1.1, 9), *negative(dice)])
    yield from each("fraction", chains.split, [0, 1, 0.01, 0.99, dice.uniform(1.1, 9), *negative(dice)])
    yield from each("steps", partial(Run, kernel, randn(2, 9), None, 0), no_counts(dice))
    for word, values in {"burn_in": [-1, 20, 21, NAN, INF, 2.5, 10**9], "thin": [21, 10**9, *no_counts(dice)]}.items():
        yield from each(word, lambda v, w=word: keep(run, network, **{w: v}), values)
        yield from each(word, lambda v, w=word: Store("store").keep(run, network, **{w: v}), values)
    yield from samplers(dice)
    yield from each("whitening", lambda v: pca(chains.theta, network, 2, v), [1.01, *negative(dice)])
    for word in ("valid", "test"):
        yield from each(
            word,
            lambda v, w=word: split(toy, **{"valid": 2, "test": 2, w: v}, generator=rng()),
            [0, -1, 1.5, 0.01, -0.5, NAN, INF, 8, 9, 10, dice.randint(11, 10**9)],
        )
    yield from each("seed", partial(stream, purpose="test"), [-1, 0.5, 1e3, NAN, "0", -dice.randrange(10**9)])
    yield from each(
        ("seed of batches", "seed"), lambda v: batches(toy, 2, seed=v), [-1, 0.5, -dice.randrange(2, 10**9)]
    )


def samplers(dice):
    """Settings that no sampler can have, and starts that are none."""
    with_friction = sghmc, symplectic_euler, sgnht
    for make in with_friction:
        name = make.__name__
        yield from each((f"friction of {name}", "friction"), lambda v, m=make: m(bowl, 0.1, v), not_positive(dice))
        yield from each((f"step of {name}", "step_size"), lambda v, m=make: m(bowl, v, 1.0), not_positive(dice))
        yield from each(
            (f"temperature of {name}", "temperature"), lambda v, m=make: m(bowl, 0.1, 1.0, v), negative(dice)
        )
    for make in (sghmc, symplectic_euler):
        yield from each(
            (f"mass of {make.__name__}", "mass"), lambda v, m=make: m(bowl, 0.1, 1.0, 1.0, v), not_positive(dice)
        )
    yield from each(("lr of Wenzel", "lr"), lambda v: from_wenzel(v, 0.9, 10), not_positive(dice))
    yield from each("beta", lambda v: from_wenzel(0.1, v, 10), [1, 1.0, dice.uniform(1, 9), *negative(dice)])
    yield from each("n", lambda v: from_wenzel(0.1, 0.9, v), no_counts(dice))
    yield from each("lr", lambda v: from_apd(v, 0.1, 10), not_positive(dice))
    yield from each("weight_decay", lambda v: from_apd(0.1, v, 10), negative(dice))
    yield from each(("n of the paper", "n"), lambda v: from_apd(0.1, 0.1, v), no_counts(dice))
    yield from each("precision", lambda v: relaxation_steps(0.1, v), not_positive(dice))
    starts = [torch.zeros(()), torch.zeros(3), torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.zeros(2, 3).bool()]
    for make in (sgld, *(partial(m, friction=1.0) for m in with_friction)):
        yield from each("theta", lambda v, m=make: Run(m(bowl, step_size=0.1), v, None, 0, 3).start(), starts)
    yield Case("a bare module", "network", lambda: keep(Run(sgld(bowl, 0.1), randn(2, 9), None, 0, 3), nn.Linear(2, 3)))


# Data ---------------------------------------------------------------------------------------------------------------


def own_data(dice):
    """What ``data`` must not take: other types, dtypes, shapes, lengths, values that are not finite."""
    x, y = randn(8, 3), torch.arange(8)
    others = [[1.0, 2.0], None, "x", 3, {"x": 1}, (x, y), np.array(["a"] * 8), np.array([None] * 8), range(8), iter(())]
    for word, make in (("x", lambda v: data(v, y)), ("y", lambda v: data(x, v))):
        yield from each(word, make, others)
        yield from each(word, make, [torch.empty(0), torch.empty(8, 0), torch.tensor(1.0), np.float32(2)])
        yield from each(word, make, [torch.zeros(8, dtype=torch.complex64), np.zeros(8, dtype="datetime64[s]")])
        yield from each((word, "x"), make, [torch.zeros(n) for n in (7, 9, dice.randint(10, 99))])
    yield from each(
        "x",
        lambda v: data(v, y),
        [torch.zeros(8, 3, dtype=d) for d in (torch.int64, torch.int32, torch.int8, torch.bool)],
    )
    for _ in range(12):
        shape = (8, *(dice.randint(1, 4) for _ in range(dice.randint(0, 3))))
        dtype = dice.choice([torch.float32, torch.float64, torch.float16])
        yield from each("x", lambda v: data(v, y), spoilt(dice, torch.zeros(shape, dtype=dtype)))
        yield from each("y", lambda v: data(x, v), spoilt(dice, torch.zeros(shape[:2], dtype=dtype)))
    yield from each("y", lambda v: data(x, v), spoilt(dice, y, [-dice.randint(1, 10**9) for _ in range(8)]))
    yield from each(
        "y", lambda v: data(x, v), [torch.zeros(8, 2, dtype=torch.int64), torch.eye(8).bool(), randn(8, 2, 2)]
    )
    yield Case("targets too large for float32", "y", partial(data, x, np.full(8, 1e300)))


def minibatches(dice):
    """Sets whose parts do not fit, and log posteriors of data that do not fit the network."""
    network = mlp(3, 4, dtype=torch.float32)
    density = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=8)
    theta, x, y = randn(2, network.size), randn(1, 8, 3), torch.zeros(1, 8, dtype=torch.int64)
    for rows in (1, 7, 9, dice.randint(10, 99)):
        yield Case(f"{rows} labels", "y", partial(batches, Data(x[0], torch.zeros(rows).long()), 1, seed=0))
    yield from each("size", partial(batches, Data(x[0], y[0]), seed=0), [dice.randint(9, 10**6) for _ in range(4)])
    yield from each(
        "theta", lambda v: density(v, Batch(x, y, y)), [randn(2, n) for n in (1, 15, 17, dice.randint(18, 99))]
    )
    yield from each("x", lambda v: density(theta, Batch(v, y, y)), [randn(c, 8, 3) for c in (3, dice.randint(4, 9))])
    yield from each(
        ("features", "x"),
        lambda v: density(theta, Batch(v, y, y)),
        [randn(c, 8, k) for c in (1, 2) for k in (1, 2, 4, dice.randint(5, 99))],
    )
    yield from each(
        ("images", "x"),
        lambda v: density(theta, Batch(v, y, y)),
        [randn(1, 8, 1, k, k) for k in (2, 3, dice.randint(4, 28))],
    )
    yield from each(
        ("dtype", "x"),
        lambda v: density(theta, Batch(v, y, y)),
        [x.to(d) for d in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)],
    )
    yield from each(("device", "x"), lambda v: density(theta, Batch(v, y, y)), [x.to("meta")])


def likelihoods(dice):
    """Labels and targets that outputs cannot be asked about."""
    for k in (2, 3, 10):
        outputs, y = randn(2, 6, k), torch.zeros(1, 6, dtype=torch.int64)
        yield from each(
            (f"label of {k}", "y"),
            partial(categorical().log_prob, outputs),
            spoilt(dice, y, [k, -1, dice.randint(k, 10**9), -dice.randint(2, 10**9)]),
        )
        yield from each(
            ("label dtype", "y"),
            partial(categorical().log_prob, outputs),
            [y.to(d) for d in (torch.float32, torch.float64, torch.uint8, torch.bool, torch.int16)],
        )
        yield from each(
            ("label shape", "y"),
            partial(categorical().log_prob, outputs),
            [y.new_zeros(s) for s in [(1, 5), (3, 6), (1, 6, 1), (1, 6, k), (2, 6, 2), (7,), (1, dice.randint(7, 99))]],
        )
        yield from each(
            ("target shape", "y"),
            partial(gaussian(1.0).log_prob, outputs),
            [
                randn(*s)
                for s in [
                    (1, 6),
                    (1, 6, k + 1),
                    (1, 5, k),
                    (1, 6, k, 1),
                    (3, 6, k),
                    (6, k),
                    (1, dice.randint(7, 99), k),
                ]
            ],
        )
        yield from each(
            ("target dtype", "y"),
            partial(gaussian(1.0).log_prob, outputs),
            [torch.zeros(1, 6, k, dtype=d) for d in (torch.int64, torch.uint8, torch.bool)],
        )
    for k in (1, 3, 2 * dice.randint(2, 9) + 1):
        yield Case(f"{k} outputs of noise", "outputs", partial(gaussian().log_prob, randn(2, 6, k), randn(1, 6, 1)))
        yield Case(f"{k} outputs to predict", "outputs", partial(gaussian().predictive, randn(2, 6, k)))
    density = LogDensity(mlp(2, 3), categorical(), bowl, n=3)
    yield from each(
        "outputs",
        lambda v: density.of_outputs(randn(2, 9), v, torch.zeros(1, 6).long()),
        [randn(*s) for s in [(2, 6), (2, 6, 3, 1), (2, 6, 3, 4, 5), (6,)]],
    )
    network = mlp(2, 3)
    yield from each(
        ("names", "precision"),
        partial(gaussian_prior, network),
        [{}, {"1.weight": 1.0}, dict.fromkeys([*network.shapes, "2.bias"], 1.0), {"weight": 1.0, "bias": 1.0}],
    )


# Networks -----------------------------------------------------------------------------------------------------------


class Gives(nn.Module):
    """A linear layer whose outputs are made into something else."""

    def __init__(self, after):
        super().__init__()
        self.layer, self.after = nn.Linear(3, 2), after

    def forward(self, x):
        return self.after(self.layer(x))


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("count", torch.zeros(1))


def deep(dice, layer):
    """The layer at a random place of a random network."""
    layers = [nn.Linear(3, 3) for _ in range(dice.randint(1, 4))]
    layers.insert(dice.randint(0, len(layers)), layer)
    module = nn.Sequential(*layers)
    return nn.Sequential(nn.Linear(3, 3), module) if dice.random() < 0.5 else module


def frozen(layer):
    layer.weight.requires_grad_(False)
    return layer


def unfit(dice):
    """Modules that are no function of their weights."""
    makers = {
        "BatchNorm": lambda: nn.BatchNorm1d(3), "BatchNorm2d": lambda: nn.BatchNorm2d(3, affine=False),
        "InstanceNorm": lambda: nn.InstanceNorm1d(3, track_running_stats=True), "Buffered": Buffered,
        "lazy": lambda: nn.LazyLinear(2), "frozen": lambda: frozen(nn.Linear(3, 3)),
        "float": lambda: nn.Linear(3, 3, dtype=torch.float64), "half": lambda: nn.Linear(3, 3, dtype=torch.float16),
    }  # fmt: skip
    for name, make in makers.items():
        for _ in range(5):
            yield Case(f"{name} within", "module", partial(Network, deep(dice, make())))
    bare = [
        nn.ReLU(),
        nn.Sequential(),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear,
        None,
        "mlp",
        mlp(2, 3),
        torch.zeros(3),
        lambda x: x,
        nn.Linear(3, 3, dtype=torch.complex64),
    ]
    yield from each(("no weights", "module"), Network, bare)
    yield from each(
        "sizes",
        lambda v: mlp(*v),
        [(), (3,), (0, 3), (3, 0), (3, -dice.randint(1, 9), 3), (3, 0, 3), (2.5, 3)],
    )
    yield from each("sizes", lambda v: dropout.mlp(*v), [(3,), (3, 4), (0, 3, 3)])
    yield from each("rate", lambda v: dropout.mlp(3, 4, 2, rate=v), [0, 1, 1.5, *negative(dice)])
    for module in (nn.Linear(3, 2), mlp(3, 2).module):
        yield Case("a module as network", "network", partial(gaussian_prior, module, 1.0))
        yield Case("a module as network", "network", partial(LogDensity, module, categorical(), bowl, n=3))
        yield Case("a module as network", "network", partial(Draws, module, randn(3, 8)))
        yield Case(
            "a module as network", "network", partial(Chains, module, randn(1, 3, 8), torch.arange(3), randn(1, 3))
        )


WRONG_OUTPUTS = {
    "tuple": lambda h: (h, h), "list": lambda h: [h], "dict": lambda h: {"logits": h}, "None": lambda h: None,
    "squeezed": lambda h: h[:, 0], "mean": lambda h: h.mean(), "mean of rows": lambda h: h.mean(0),
    "twice the rows": lambda h: torch.cat([h, h]), "a row less": lambda h: h[1:], "a number": lambda h: 3.0,
    "one row": lambda h: h[:1], "transposed": lambda h: h.T,
}  # fmt: skip


def outputs(dice):
    """Modules that give something else than ``[N, K]``, alone and in stacks, and inputs that do not fit them."""
    n = dice.randint(4, 9)
    for name, after in WRONG_OUTPUTS.items():
        network = Network(Gives(after))
        theta = randn(2, network.size)
        yield Case(f"{name} of one", "module", lambda net=network, w=theta: net(net.unravel(w[0]), randn(n, 3)))
        yield Case(f"{name} of a stack", "module", lambda net=network, w=theta: net(net.unravel(w), randn(1, n, 3)))
        yield Case(f"{name} of predict", "module", lambda net=network, w=theta: predict(Draws(net, w), randn(n, 3)))
    kinds = [
        nn.Sequential(nn.Conv1d(3, 2, 2), nn.Flatten(), nn.Linear(2, 2)),
        nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)),
    ]
    kinds = [mlp(3, 4, 2), *map(Network, [*kinds, Gives(torch.relu), WithNoise(nn.Linear(3, 2), 2)])]
    for network in kinds:
        theta, kind = randn(2, network.size), type(network.module).__name__
        wrong = [randn(1, n, *(dice.randint(4, 9) for _ in range(axes))) for axes in (1, 1, 1, 2, 3)]
        wrong += [torch.zeros(1, n, 3, dtype=d) for d in (torch.float64, torch.float16, torch.int64, torch.bool)]
        yield from each((f"stack of {kind}", "x"), lambda v, net=network, w=theta: net(net.unravel(w), v), wrong)
        yield from each((f"one {kind}", "x"), lambda v, net=network, w=theta: net(net.unravel(w[0]), v[0]), wrong)
        yield from each((f"predict {kind}", "x"), lambda v, net=network, w=theta: predict(Draws(net, w), v[0]), wrong)
        yield from each(
            (f"moments {kind}", "x"), lambda v, net=network, w=theta: predict_moments(Draws(net, w), v[0]), wrong
        )
        yield from each(
            (f"shared {kind}", "x"),
            lambda v, net=network, w=theta: net(net.unravel(w), v),
            [randn(c, n, 3, 2) for c in (3, dice.randint(4, 99))],
        )
        yield Case(f"no inputs to {kind}", "x", partial(predict, Draws(network, theta), randn(0, 3)))
        yield Case(f"theta for params of {kind}", "params", partial(network, theta[0], randn(n, 3)))
        yield from each(
            (f"weights of {kind}", "theta"),
            network.unravel,
            [randn(*s) for s in [(network.size + 1,), (2, network.size - 1), (network.size, 2)]],
        )
        params = network.unravel(theta[0])
        first = next(iter(params))
        yield Case(
            f"a leaf less of {kind}", "params", partial(network.ravel, {k: v for k, v in params.items() if k != first})
        )
        yield Case(
            f"a leaf of another shape of {kind}", "params", partial(network.ravel, params | {first: randn(7, 7)})
        )
    word, x = (
        Network(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))),
        torch.zeros(4, 2, dtype=torch.int64),
    )
    yield from each(
        ("words", "x"),
        lambda v: predict(Draws(word, randn(3, word.size)), v),
        spoilt(dice, x, [5, -1, dice.randint(6, 10**6)]),
    )


# Draws and what they predict ----------------------------------------------------------------------------------------


def draws_and_chains(dice):
    """Tensors of other shapes than the network and each other."""
    network = mlp(2, 3)
    yield from each(
        "codes",
        partial(Draws, network),
        [torch.zeros(s) for s in [*shapes_but(dice, (5, 9)), (0, 9)] if len(s) != 2 or s[1] != 9 or not s[0]],
    )
    yield from each("basis", partial(Draws, network, randn(5, 2)), zeros(shapes_but(dice, (2, 9))))
    yield from each("offset", partial(Draws, network, randn(5, 9), None), zeros(shapes_but(dice, (9,))))
    good = {"theta": randn(2, 6, 9), "steps": torch.arange(6), "log_posterior": randn(2, 6)}
    yield from each(
        "theta",
        lambda v: Chains(network, **good | {"theta": v}),
        [
            torch.zeros(s)
            for s in [*shapes_but(dice, (2, 6, 9)), (0, 6, 9), (2, 0, 9)]
            if len(s) != 3 or s[2] != 9 or 0 in s
        ],
    )
    yield from each("steps", lambda v: Chains(network, **good | {"steps": v}), zeros(shapes_but(dice, (6,))))
    yield from each(
        ("values", "log_posterior"),
        lambda v: Chains(network, **good | {"log_posterior": v}),
        zeros(shapes_but(dice, (2, 6))),
    )
    chains, draws = Chains(network, **good), Draws(network, randn(12, 9))
    for n in (13, 14, dice.randint(15, 10**9)):
        yield from (Case(f"thin {n}", "n", partial(part.thin, n)) for part in (chains, draws))
        yield Case(f"sample {n}", "n", lambda n=n: draws.sample(n, generator=rng()))
    yield from each("every", chains.hold_out, [1, 7, dice.randint(8, 10**9)])
    yield from each(
        "theta",
        lambda v: Run(sgld(bowl, 0.1), v, None, 0, 3).start(),
        zeros([(9,), (2, 3, 9)]),
    )
    y = torch.zeros(4, dtype=torch.int64)
    wrong = [y.float(), y[:3], torch.cat([y, y]), y[:, None], *spoilt(dice, y, [3, -1, dice.randint(4, 10**9)])]
    yield from each(("labels", "y"), lambda v: label_log_probs(draws, Data(randn(4, 2), v)), wrong)


def scores(dice):
    """Log probabilities and labels that are none."""

    def log_p(*shape, seed=0):
        return randn(*shape, seed=seed).log_softmax(-1)

    y = torch.arange(6) % 3
    for name in ("accuracy", "nll", "brier", "ece", "reliability"):
        score = getattr(metrics, name)
        yield from each(
            (name, "log_probs"),
            lambda v, f=score: f(v, y),
            [torch.zeros(s) for s in shapes_but(dice, (6, 3), 3) if len(s) != 2],
        )
        yield from each(
            (name, "log_probs"),
            lambda v, f=score: f(v, y),
            [*spoilt(dice, log_p(6, 3)), randn(6, 3), log_p(6, 3).exp(), log_p(6, 3).half(), y, torch.empty(0, 3)],
        )
        yield from each((name, "y"), partial(score, log_p(6, 3)), spoilt(dice, y, [3, -1, dice.randint(4, 10**9)]))
        yield from each(
            (name, "y"),
            partial(score, log_p(6, 3)),
            [y[:5], y[:, None], y.float(), y.bool(), y + 0j, torch.cat([y, y]), y[0]],
        )
    yield from each(("moments", "log_probs"), moments, zeros([(6, 3), (6,), (2, 6, 3, 1), (0, 6, 3), (2, 0, 3)]))
    yield from each(
        ("moments", "log_probs"),
        moments,
        [*spoilt(dice, log_p(2, 6, 3)), randn(2, 6, 3), torch.zeros(2, 6, 3).long(), log_p(2, 6, 3).exp()],
    )
    a = moments(log_p(2, 6, 3))
    for pair in (merge, fidelity.agreement, fidelity.total_variation, fidelity.uncertainty_correlation):
        others = [moments(log_p(2, *s)) for s in [(5, 3), (6, 2), (1, 3), (dice.randint(7, 99), 3)]]
        yield from (Case(f"{pair.__name__} of others", "b", partial(pair, a, b)) for b in others)
        yield from (Case(f"{pair.__name__} of others", "b", partial(pair, b, a)) for b in others)
    correct, score = torch.arange(6) > 2, randn(6)
    yield from each(
        "score",
        lambda v: metrics.risk_coverage(v, correct),
        [randn(6, 1), randn(()), torch.empty(0), *spoilt(dice, score, [NAN])],
    )
    yield from each(
        "correct",
        partial(metrics.risk_coverage, score),
        [correct.int(), correct[:5], correct.float(), correct[:, None], y],
    )


def weights(dice):
    """Sets of draws that cannot be compared, and values that cannot be diagnosed."""
    a, b, network = randn(20, 3), randn(20, 3, seed=1), mlp(2, 3)
    pairs = {
        "mean": fidelity.mean_error, "sd": fidelity.sd_error,
        "sliced": partial(fidelity.sliced_wasserstein, generator=rng()),
        "two": partial(fidelity.two_sample_accuracy, generator=rng()),
        "nearest": lambda a, b: fidelity.nearest_ratio(b, a, b + 1),
    }  # fmt: skip
    for name, pair in pairs.items():
        first, second = ("train", "generated|held_out") if name == "nearest" else ("a", "b")
        wrong = zeros([(3,), (20, 3, 1), (0, 3), (20, 0), ()])
        yield from each((f"{name} a", first), lambda v, f=pair: f(v, b), [*wrong, *spoilt(dice, a)])
        yield from each((f"{name} b", second), lambda v, f=pair: f(a, v), [*wrong, *spoilt(dice, b)])
        yield from each(
            (f"{name} ab", f"{first}|{second}"),
            partial(pair, a),
            [randn(20, 2), randn(20, 4), randn(20, dice.randint(5, 99))],
        )
    yield from each(("same", "b"), partial(fidelity.mean_error, a), [torch.ones(5, 3), a[:1]])
    yield from each(("same", "b"), partial(fidelity.sd_error, a), [torch.ones(5, 3), a[:1]])
    for name in ("r_hat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean"):
        wrong = [
            randn(2, 3, 4),
            randn(2, 1),
            randn(9),
            randn(()),
            torch.empty(0, 9, 2),
            torch.empty(2, 9, 0),
            *spoilt(dice, randn(2, 9, 3)),
        ]
        yield from each((name, "values"), getattr(diagnostics, name), wrong)
    for word, make in (("raw", raw), ("standardised", standardised), ("pca", lambda t, net: pca(t, net, 2))):
        wrong = zeros([(20, 9), (9,), (2, 20, 8), (2, 20, 10), (2, 20, 9, 1), (0, 20, 9), (2, 0, 9)])
        yield from each((word, "theta"), lambda v, f=make: f(v, network), [*wrong, *spoilt(dice, randn(2, 20, 9))])
    yield from each("k", partial(pca, randn(2, 5, 9), network), [5, 9, 10, dice.randint(11, 10**9)])
    yield from each(("flat", "k"), lambda v: pca(v, network, 2), [torch.ones(2, 9, 9), randn(2, 1, 9).expand(2, 9, 9)])
    yield from each(("one draw", "theta"), lambda v: standardised(v, network), [randn(2, 1, 9)])


# Fits ---------------------------------------------------------------------------------------------------------------


def called(function, settings, **more):
    """Call with settings, some of them other ones."""
    return function(**settings | more)


def fits(dice):
    """Starts, settings and data that no fit can use."""
    network, x, y = mlp(2, 3), randn(8, 2), torch.arange(8) % 3
    density = LogDensity(network, categorical(), gaussian_prior(network, 1.0), n=8)
    dropped = dropout.mlp(2, 4, 3)
    thin = LogDensity(dropped, categorical(), gaussian_prior(dropped, 1.0), n=8)
    one, four = batches(Data(x, y), 4, seed=0), batches(Data(x, y), 4, seed=0, chains=4)
    starts = {"sgd": randn(1, 9), "dropout": randn(dropped.size), "swag": randn(9)}
    settings = {"batches": one, "steps": 3, "learning_rate": 0.1}
    fits = {
        "sgd": partial(sgd.fit, density),
        "dropout": partial(dropout.fit, thin, seed=0),
        "swag": partial(swag.fit, density),
    }
    own = {"swag": {"every": 1, "rank": 2}}
    fits = {
        name: partial(called, fit, settings | {"start": starts[name]} | own.get(name, {})) for name, fit in fits.items()
    }
    for name, fit in fits.items():
        for word, values in {
            "steps": no_counts(dice),
            "learning_rate": not_positive(dice),
            "momentum": [1, 1.5, *negative(dice)],
        }.items():
            yield from each((f"{name} {word}", word), lambda v, f=fit, w=word: f(**{w: v}), values)
        yield from each(
            (f"{name} start", "start|theta"),
            lambda v, f=fit: f(start=v),
            [torch.zeros(s) for s in [(), (2, 3, 9), (1, 7) if name == "sgd" else (1, 9), (8,)]],
        )
        yield Case(
            f"{name} start of integers",
            "start",
            partial(fit, start=starts[name].long()),
        )
        yield Case(f"{name} batches of 4", "x", partial(fit, batches=four))
        wrong = [Data(x.double(), y), Data(x[:, :1], y), Data(x, y + 1), Data(x, y - 1), Data(x, y.float()), Data(x, x)]
        yield from (
            Case(f"{name} data {i}", "x|y", partial(fit, batches=batches(d, None, seed=0))) for i, d in enumerate(wrong)
        )
    for word, values in {"rank": [*no_counts(dice)[:5], 1, 4], "every": [*no_counts(dice), 2]}.items():
        yield from each((f"swag {word}", word), lambda v, w=word: fits["swag"](**{w: v}), values)
    plain = [
        network,
        Network(nn.Sequential(nn.Dropout(), nn.ReLU(), nn.Linear(2, 3))),
        Network(Gives(torch.relu)),
        Network(nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 3))),
    ]
    yield from (
        Case(f"no dropout {i}", "module|Dropout", partial(dropout.Dropout, net, randn(net.size)))
        for i, net in enumerate(plain)
    )
    yield from each(
        ("dropout theta", "theta"), partial(dropout.Dropout, dropped), [randn(1, dropped.size), randn(dropped.size + 1)]
    )
    of = dropout.Dropout(dropped, randn(dropped.size)), swag.Swag(network, randn(9), torch.ones(9), randn(3, 9))
    for posterior in of:
        yield from each(("sample", "n"), lambda v, q=posterior: q.sample(v, generator=rng()), no_counts(dice))
    good = {"mean": randn(9), "variance": torch.ones(9), "deviations": randn(3, 9)}
    for word, shape in (("mean", (9,)), ("variance", (9,)), ("deviations", (3, 9))):
        wrong = [torch.zeros(s) for s in shapes_but(dice, shape) if len(s) != 2 or s[-1] != 9 or s[0] < 2]
        yield from each((f"swag {word}", word), lambda v, w=word: swag.Swag(network, **good | {w: v}), wrong)


def distillers(dice):
    """Chains, coordinates and recipes that do not fit each other."""
    network = mlp(2, 3)
    chains = Chains(network, randn(2, 20, 9), torch.arange(20), randn(2, 20))
    train, held_out = chains.split(0.8)
    coordinates, x, other = pca(train.theta, network, 3), randn(4, 2), mlp(3, 3)
    small = gan.Recipe(hidden=(4,), batch=4, checkpoints=1, critic_steps=1)
    flowing = flow.Recipe(hidden=4, blocks=1, batch=4, moves=2, checkpoints=1)
    fits = {
        "gan": lambda *args, recipe=small, steps=1: gan.fit(*args, steps=steps, seed=0, recipe=recipe),
        "gaussian": lambda *args: low_rank.fit(*args, seed=0),
        "flow": lambda *args, recipe=flowing, steps=1: flow.fit(*args, steps=steps, seed=0, recipe=recipe),
        "mixture": lambda *args, components=2: mixture.fit(*args, seed=0, components=components),
    }  # fmt: skip
    alien = Chains(other, randn(2, 20, 12), torch.arange(20), randn(2, 20))
    for name, fit in fits.items():
        yield Case(f"{name} other chains", "held_out", partial(fit, train, held_out[:1], coordinates, x))
        yield Case(f"{name} fewer chains", "coordinates", partial(fit, train[:1], held_out[:1], coordinates, x))
        yield Case(f"{name} alien held_out", "held_out", partial(fit, train, alien, coordinates, x))
        yield Case(f"{name} alien train", "coordinates", partial(fit, alien, alien, coordinates, x))
        wrong = [randn(4, k) for k in (1, 3, dice.randint(4, 99))] + [x.double(), x.long(), x[:0], randn(2)]
        yield from each((f"{name} x", "x"), lambda v, f=fit: f(train, held_out, coordinates, v), wrong)
        q = fit(train, held_out, coordinates, x)[0]
        yield from each((f"{name} sample", "n"), lambda v, q=q: q.sample(v, generator=rng()), no_counts(dice))
        yield from each(
            (f"{name} noise", "noise"),
            q.with_noise,
            [torch.zeros(3), torch.zeros(1), torch.zeros(()), *spoilt(dice, torch.ones(2), [-1, NAN, INF])],
        )
    yield from each(
        "components",
        lambda v: fits["mixture"](train, held_out, coordinates, x, components=v),
        [17, dice.randint(18, 10**6), *no_counts(dice)],
    )
    yield from each("steps", lambda v: fits["gan"](train, held_out, coordinates, x, steps=v), no_counts(dice))
    recipes = {"checkpoints": [*no_counts(dice), 2], "batch": no_counts(dice), "critic_steps": no_counts(dice),
               "learning_rate": not_positive(dice), "hidden": [(), (0,), (4, -1), (2.5,)], "penalty": negative(dice),
               "smoothing": negative(dice), "average": [1.5, *negative(dice)], 
               "betas": [(1.0, 0.9), (0.5, -1.0), (0.5, NAN)], "last_rate": negative(dice)}  # fmt: skip
    for word, values in recipes.items():
        yield from each(
            (f"recipe {word}", word),
            lambda v, w=word: fits["gan"](train, held_out, coordinates, x, recipe=small._replace(**{w: v})),
            values,
        )
    yield from each(
        ("flow steps", "steps"), lambda v: fits["flow"](train, held_out, coordinates, x, steps=v), no_counts(dice)
    )
    recipes = {"checkpoints": [*no_counts(dice), 2], "learning_rate": not_positive(dice)}
    recipes |= dict.fromkeys(("hidden", "blocks", "batch", "moves"), no_counts(dice))
    recipes |= {word: [1.5, *negative(dice)] for word in ("smoothing", "average")}
    for word, values in recipes.items():
        yield from each(
            (f"flow {word}", word),
            lambda v, w=word: fits["flow"](train, held_out, coordinates, x, recipe=flowing._replace(**{w: v})),
            values,
        )
    yield from each("latent", lambda v: Latent(*v), [(0, 0), (-1, 2), (2, -1), (-dice.randint(2, 99), 0)])
    entry = scoreboard.Entry("apd", "2-3", 0, Draws(network, randn(5, 9)), Cost(1, 1.0))
    test = Data(x, torch.zeros(4).long())
    yield Case(
        "no reference", "reference", lambda: scoreboard.rows([entry], scoreboard.predictions([entry], test, 3), test)
    )
    yield from each(("draws", "n"), partial(scoreboard.predictions, [entry], test), [0, -1, -dice.randint(2, 99)])


def one_class(dice):
    """Attacks and rounds of labels where there is nothing else to say, and tables of nothing."""
    network, n = mlp(2, 1), dice.randint(2, 9)
    f, x, y = predictor(Draws(network, randn(5, network.size))), torch.zeros(n, 1, 1, 2), torch.zeros(n).long()
    ways = {"fgsm": attacks.fgsm, "pgd": attacks.pgd, "apgd": attacks.apgd}
    ways["square"] = partial(attacks.square, queries=3, generator=rng())
    for name, attack in ways.items():
        for eps in (0.0, dice.uniform(0.1, 1)):
            yield Case(f"{name} of size {eps}", "log_probs", partial(attack, f, x, y, eps=eps))
    for loss in (attacks.cross_entropy, attacks.margin):
        yield Case(loss.__name__, "log_probs", partial(loss, torch.zeros(n, 1), y))
    labels = [torch.full((9,), label) for label in (0, 1, dice.randint(2, 99))]
    labels.append(torch.tensor([0, 2] * n))
    yield from each(("first labels", "y"), lambda v: active.first_labels(v, 1, repeats=2, seed=0), labels)
    for label in (0, 1, dice.randint(2, 9)):
        pool = Data(randn(9, 2), torch.full((9,), label))
        ask = active.rounds(network, None, None, pool, pool, torch.zeros(1, 1).long(), count=1, more=1, seed=0)
        yield Case(f"rounds of {label}", "pool", partial(next, ask))
    yield Case("nothing seen", "seen", partial(ood.tabulate, {}, 9, seed=0))


def unstorable(dice):
    """What can neither be described nor stored."""
    values = [object(), {1, 2}, rng(), lambda: (yield), torch.eye(2).to_sparse(), np.array([None]), open]
    for depth in range(4):
        for value in values:
            tree = value
            for _ in range(depth):
                tree = dice.choice([lambda t: [t], lambda t: {"part": t}, lambda t: (1, t)])(tree)
            if not callable(value):
                yield Case(f"describe {type(value).__name__}", "value|part", partial(describe, tree))
            if not isinstance(value, torch.Tensor):
                yield Case(f"pack {type(value).__name__}", "value|part|[01]", partial(pack, tree))
