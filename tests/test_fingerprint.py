"""Laws of fingerprints: equal settings, equal hash, in any process; any change, another hash; nothing is forgotten."""

import functools
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import WithNoise, categorical, gaussian
from apdlab.networks import Network, mlp
from apdlab.priors import gaussian_prior
from apdlab.samplers import sgld
from apdlab.schedules import constant, polynomial
from apdlab.store import describe, fingerprint
from apdlab.types import Data


class Pair(NamedTuple):
    a: object
    b: object


class Other(NamedTuple):
    a: object
    b: object


@dataclass(frozen=True)
class Frozen:
    a: object
    cache: dict = field(default_factory=dict, compare=False)


@dataclass
class Thawed:
    a: int


def data(n=6, x=0.0):
    return Data(torch.arange(2.0 * n).view(n, 2) + x, torch.arange(n) % 3)


def whole(sizes=(2, 3), prior=1.0, step=1e-3, temperature=1.0, n=6, seed=0, x=0.0):
    """All that a run of the package depends on."""
    network = mlp(*sizes)
    log_posterior = LogDensity(network, categorical(), gaussian_prior(network, prior), n)
    return {"sampler": sgld(log_posterior, step, temperature), "batches": batches(data(n, x), 3, seed=seed)}


def named(**layers):
    return nn.Sequential(OrderedDict(layers))


def tied(tie):
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    if tie:
        second.weight = first.weight
    return Network(nn.Sequential(first, second))


DIFFER = {
    "number": (1, 2),
    "integer and float": (1, 1.0),
    "truth and number": (True, 1),
    "number and text": (1, "1"),
    "none and text": (None, "None"),
    "nan and infinity": (math.nan, math.inf),
    "nan and its name": (math.nan, "nan"),
    "signs of zero": (0.0, -0.0),
    "last digit": (0.1, math.nextafter(0.1, 1)),
    "list and tuple": ([1], (1,)),
    "tuple and size": ((1,), torch.Size([1])),
    "nesting": (((1,), 2), (1, (2,))),
    "keys": ({"a": 1}, {"b": 1}),
    "keys of numbers": ({1: 2, 3: 4}, {1: 4, 3: 2}),
    "a dict that looks like a tensor": ({"tensor": "float32 []"}, {"tuple": "float32 []"}),
    "field": (Pair(1, 2), Pair(2, 1)),
    "class": (Pair(1, 2), Other(1, 2)),
    "frozen": (Frozen(1), Frozen(2)),
    "value": (torch.tensor([1.0]), torch.tensor([2.0])),
    "shape": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "dtype": (torch.zeros(1), torch.zeros(1, dtype=torch.int32)),
    "half": (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
    "array": (np.array([1.0]), np.array([2.0])),
    "dtypes": (torch.float32, torch.float64),
    "devices": (torch.device("cpu"), torch.device("cuda")),
    "functions": (constant(1.0), polynomial(1.0, 1.0, 0.7)),
    "closed over": (constant(0.1), constant(0.2)),
    "partial": (functools.partial(mlp, 1), functools.partial(mlp, 2)),
    "partial by name": (functools.partial(mlp, x=1), functools.partial(mlp, y=1)),
    "builtins": (len, max),
    "torch's": (torch.tanh, torch.relu),
    "ufuncs": (np.exp, np.log),
    "bound": (Pair(1, 2).count, Pair(1, 3).count),
    "bound in Python": (Pair(1, 2)._replace, Pair(1, 3)._replace),
    "methods": (torch.Tensor.add, torch.Tensor.mul),
    "network": (mlp(2, 3), mlp(2, 4)),
    "activation": (mlp(2, 3, 2), mlp(2, 3, 2, activation=nn.Tanh)),
    "setting of a layer": (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
    "order of layers": (named(a=nn.ReLU(), b=nn.Tanh()), named(b=nn.Tanh(), a=nn.ReLU())),
    "names of layers": (nn.ModuleDict({"a": nn.ReLU()}), nn.ModuleDict({"b": nn.ReLU()})),
    "precision of weights": (mlp(2, 3), mlp(2, 3, dtype=torch.float64)),
    "precision of products": (mlp(2, 3), mlp(2, 3).mixed()),
    "tied weights": (tied(True), tied(False)),
    "likelihood": (gaussian(0.1), gaussian(0.2)),
    "likelihoods": (gaussian(0.1), categorical()),
    "sampler": (whole(), whole(step=2e-3)),
    "temperature": (whole(), whole(temperature=0.5)),
    "schedule": (whole(step=1.0), whole(step=polynomial(1.0, 1.0, 0.7))),
    "schedules": (whole(step=polynomial(1.0, 1.0, 0.6)), whole(step=polynomial(1.0, 1.0, 0.7))),
    "prior": (whole(), whole(prior=2.0)),
    "size of the set": (whole(), whole(n=9)),
    "data": (whole(), whole(x=1.0)),
    "order of the data": (whole(), whole(seed=1)),
    "network in a sampler": (whole(), whole(sizes=(2, 4, 3))),
    "batch": (batches(data(), 2, seed=0), batches(data(), 3, seed=0)),
    "chains of batches": (batches(data(), 2, seed=0), batches(data(), 2, seed=0, chains=2)),
    "whole set": (batches(data(), None, seed=0), batches(data(), 6, seed=0)),
}  # fmt: skip

SAME = {
    "nan": (math.nan, float("nan")),
    "keys in any order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "numbers as keys in any order": ({1: 2, 3: 4}, {3: 4, 1: 2}),
    "tensors": (torch.arange(6.0), torch.arange(6.0)),
    "nothing in a tensor": (torch.zeros(0, 3), torch.zeros(0, 3)),
    "one number in a tensor": (torch.tensor(3), torch.tensor(3)),
    "conjugate": (torch.tensor([1j]).conj(), torch.tensor([1j]).conj().resolve_conj()),
    "arrays": (np.arange(4), np.arange(8)[::2] // 2),
    "weights of a network": (Network(nn.Linear(2, 3)), Network(nn.Linear(2, 3))),
    "caches": (Frozen(1, {"seen": 1}), Frozen(1, {"seen": 2})),
    "learned noise": [Network(WithNoise(nn.Linear(2, 1), 1)) for _ in range(2)],
    "one network or two": ([mlp(2, 3)] * 2, [mlp(2, 3), mlp(2, 3)]),
    "all of a run": (whole(), whole()),
}  # fmt: skip


@pytest.mark.parametrize("pair", DIFFER.values(), ids=DIFFER)
def test_what_differs_has_another_fingerprint(pair):
    assert fingerprint(pair[0]) != fingerprint(pair[1])


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_is_the_same_has_one_fingerprint(pair):
    assert fingerprint(pair[0]) == fingerprint(pair[1])


def test_where_a_tensor_lies_and_how_does_not_count():
    values = torch.arange(12.0).view(3, 4)
    strange = torch.zeros(4, 8)[:, 1::3].copy_(values.T).T
    assert not strange.is_contiguous() and fingerprint(strange) == fingerprint(values)
    assert fingerprint(values[1:]) == fingerprint(values[1:].clone()) != fingerprint(values[:2])


def test_using_batches_does_not_change_what_they_are():
    used, fresh = (batches(data(), 2, seed=0) for _ in range(2))
    for step in range(10):
        used(step)
    assert fingerprint(used) == fingerprint(fresh)


def test_a_description_is_json_that_names_every_setting():
    text = json.dumps(describe(whole(step=0.125, temperature=0.25, prior=3.0)), allow_nan=False)
    for word in ("sgld", "0.125", "0.25", "LogDensity", "categorical", "GaussianPrior", "Linear", "float32 [3, 2]"):
        assert word in text


STRANGE = object()


def reads_a_global():
    return STRANGE


def odd_layer():
    layer = nn.Linear(2, 2)
    layer.folder = Path()
    return Network(nn.Sequential(nn.Flatten(), layer))


REFUSED = {
    "path": ({"folder": Path()}, "folder is of type pathlib."),
    "deep": ({"a": [1, Pair(1, object())]}, "a[1].b is of type object; wanted"),
    "dataclass that changes": (Thawed(1), "value is of type test_fingerprint.Thawed"),
    "closed over": ({"schedule": lambda step, folder=Path(): 1.0}, "schedule.folder is of type pathlib."),
    "set": (functools.partial(len, {1, 2}), "value[0] is of type set"),
    "global": ({"f": reads_a_global}, "f.STRANGE is of type object"),
    "bytes": ({"more": {1: b""}}, "more[1] is of type bytes"),
    "setting of a layer": ({"network": odd_layer()}, "network.1.folder is of type pathlib."),
    "module": ({"library": math}, "library is of type module"),
    "generator": ({"a": (torch.Generator(),)}, "a[0] is a torch.Generator, whose state changes as it is"),
    "sparse": (torch.eye(2).to_sparse(), "value is a tensor of layout torch.sparse_coo"),
    "objects": (np.array([None]), "value is an array of Python objects"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_by_its_place(value, said, refusal):
    message = refusal(lambda: describe(value))
    assert message.startswith(said) and "; wanted " in message
