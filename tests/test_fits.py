"""Laws of stored fits: computed once for their arguments, opened from then on, refused by name when damaged."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save as save_tensors

from apdlab.distill.coordinates import pca
from apdlab.draws import Draws
from apdlab.networks import mlp
from apdlab.store import Store
from apdlab.types import Cost


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def fitted(theta, network, *, scale=1.0, folder=None):
    """A fit that leaves a file behind each time that it is computed."""
    if folder:
        number = len(os.listdir(folder))
        open(f"{folder}/{number}", "w").close()
    return Draws(network, theta * scale), Cost(3, 0.5), pca(theta[None], network, k=2)


def test_a_fit_is_computed_once(store, tmp_path):
    calls, network = tmp_path / "calls", mlp(1, 1)
    calls.mkdir()
    theta = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    plain = fitted(theta, network)
    for _ in range(3):
        draws, cost, coordinates = store.fit(network, fitted, theta.clone(), network, folder=str(calls))
        assert torch.equal(draws.codes, plain[0].codes) and draws.network is network and cost == plain[1]
        assert all(map(torch.equal, coordinates, plain[2]))
    assert len(list(calls.iterdir())) == 1 and len(list(store.root.glob("fits/*/fit.safetensors"))) == 1
    store.fit(network, fitted, theta, network, folder=str(calls), scale=2.0)
    store.fit(network, fitted, theta + 1, network, folder=str(calls))
    assert len(list(calls.iterdir())) == 3


def test_a_fit_that_fails_is_not_stored(store):
    with pytest.raises(ZeroDivisionError):
        store.fit(mlp(1, 1), lambda x: x / 0, 1)
    assert not list(store.root.glob("fits/*/[!.]*"))


class Mine(NamedTuple):
    a: int


FITS = {
    "unreadable argument": (lambda s: s.fit(mlp(1, 1), len, Path()), "args[0] is of type pathlib."),
    "result that cannot be stored": (
        lambda s: s.fit(mlp(1, 1), iter, (1,)),
        "value is of type builtins.tuple_iterator",
    ),
    "class that is not listed": (
        lambda s: s.fit(mlp(1, 1), Mine, 1),
        "it holds a test_fits.Mine; wanted classes listed in kinds",
    ),
}


@pytest.mark.parametrize(("call", "said"), FITS.values(), ids=FITS)
def test_fits_that_cannot_be_stored_are_refused(store, refusal, call, said):
    assert said in refusal(lambda: call(store))


def test_kinds_of_your_own_are_made_again(store):
    assert Store(store.root, kinds=(Mine,)).fit(mlp(1, 1), Mine, 1) == Mine(1)


HARMED = {
    "cut": (lambda f: os.truncate(f / "fit.safetensors", 40), "fit.safetensors", "is cut short"),
    "foreign": (lambda f: (f / "fit.safetensors").write_bytes(save_tensors({})), "fit.safetensors", "another program"),
    "manifest": (lambda f: (f / "manifest.json").write_text("?"), "manifest.json", "is no JSON"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json", "is missing"),
}


@pytest.mark.parametrize(("harm", "name", "said"), HARMED.values(), ids=HARMED)
def test_a_damaged_fit_is_named_in_one_line_that_says_what_to_do(store, refusal, harm, name, said):
    def call():
        return store.fit(mlp(1, 1), abs, -2)

    assert call() == 2
    (folder,) = store.root.glob("fits/*")
    harm(folder)
    message = refusal(call)
    assert message.startswith(str(folder / name)) and said in message
    assert message.endswith(f"delete the folder {folder} and run again")
