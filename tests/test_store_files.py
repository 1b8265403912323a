"""Laws of damaged stores: one line that names the file and the fix, nothing drawn in vain, nothing mixed."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors
from stored_runs import STEPS, bayes, equal, quartic, shards

from apdlab.draws import Draws
from apdlab.networks import mlp
from apdlab.samplers import Run, keep, sgld
from apdlab.store import Store, pack, save
from apdlab.store.folder import _device, _tensors
from apdlab.types import Data, Sampler


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def rewrite(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def swap(folder, one, other):
    names = folder / one, folder / "aside", folder / other
    for source, target in ((0, 1), (2, 0), (1, 2)):
        names[source].rename(names[target])


def take_from_another(folder):
    other = Store(folder.parents[1] / "other")
    other.keep(*bayes(seed=1), every=0.0)
    shutil.copy(shards(other)[2], folder / "00002.safetensors")


SHARD, CHECKPOINT, MANIFEST = "00002.safetensors", "checkpoint.safetensors", "manifest.json"
FOREIGN = save_tensors({"theta": torch.ones(1)})
DAMAGED = {
    "cut shard": (lambda f: os.truncate(f / SHARD, 300), SHARD, "is cut short"),
    "empty shard": (lambda f: os.truncate(f / SHARD, 0), SHARD, "is cut short"),
    "text for a shard": (lambda f: (f / SHARD).write_text("x" * 500), SHARD, "is cut short"),
    "a foreign shard": (lambda f: (f / SHARD).write_bytes(FOREIGN),
        SHARD, "was written by another program"),
    "draws for a shard": (lambda f: save(Draws(mlp(1, 1), torch.ones(3, 2)), f / SHARD),
        SHARD, "it holds a apdlab.draws.Draws"),
    "a tensor for a shard": (lambda f: (f / SHARD).write_bytes(pack(torch.ones(1))),
        SHARD, "is not of chain"),
    "shard of a later version": (lambda f: rewrite(f / SHARD, b"apdlab/1", b"apdlab/2"),
        SHARD, "is of format apdlab/2"),
    "shard of another chain": (take_from_another, SHARD, "is not of chain"),
    "shards out of order": (lambda f: swap(f, "00001.safetensors", SHARD),
        "00001.safetensors", "is shard 2 from step 3; wanted shard 1 from step 2"),
    "missing shard": (lambda f: (f / SHARD).unlink(), SHARD, "is missing"),
    "missing last shard": (lambda f: (f / "00011.safetensors").unlink(), "00011.safetensors", "is missing"),
    "cut checkpoint": (lambda f: os.truncate(f / CHECKPOINT, 300), CHECKPOINT, "is cut short"),
    "checkpoint of a shard": (lambda f: shutil.copy(f / SHARD, f / CHECKPOINT),
        CHECKPOINT, "it holds a apdlab.store.shards.Shard"),
    "manifest that is no JSON": (lambda f: (f / MANIFEST).write_text("{"), MANIFEST, "is no JSON"),
    "manifest that is no text": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe"), MANIFEST, "is no JSON"),
    "manifest of a list": (lambda f: (f / MANIFEST).write_text("[]"), MANIFEST, "has format None"),
    "manifest of a later version": (lambda f: rewrite(f / MANIFEST, b"apdlab/1", b"apdlab/2"),
        MANIFEST, "has format apdlab/2"),
    "manifest of another chain": (lambda f: rewrite(f / MANIFEST, f.name.encode(), b"0" * 20),
        MANIFEST, "and hash 00000000000000000000"),
    "missing manifest": (lambda f: (f / MANIFEST).unlink(), MANIFEST, "is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "name", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_in_one_line_that_says_what_to_do(store, refusal, harm, name, said):
    store.keep(*bayes(), every=0.0)
    folder = shards(store)[0].parent
    harm(folder)
    drawn = []
    for steps in (STEPS, STEPS + 5):  # opened, continued
        message = refusal(lambda steps=steps: store.keep(*bayes(steps), bar=lambda left: drawn.append(left) or left))
        assert message.startswith(str(folder / name)) and said in message and not drawn
        assert message.endswith(f"delete the folder {folder} and run again")
    shutil.rmtree(folder)
    assert equal(store.keep(*bayes())[0], keep(*bayes()))


def test_noise_of_another_device_does_not_go_on(store, refusal, monkeypatch):
    store.keep(*bayes(5))
    monkeypatch.setattr("apdlab.store.shards._noise", lambda run: "torch.Generator philox on cuda")
    message = refusal(lambda: store.keep(*bayes()))
    assert "5 steps with the noise of torch.Generator mt19937 on cpu, this run would go on with that of" in message
    assert equal(store.keep(*bayes(5))[0], keep(*bayes(5)))


def unwritable(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    return Store(tmp_path / "store")


def a_file(tmp_path, monkeypatch):
    (tmp_path / "store").write_text("")
    return Store(tmp_path / "store")


def in_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    return Store(tmp_path / "file" / "store")


def dict_state():
    return Sampler(lambda theta: {"theta": theta}, lambda state, batch, generators: None)


IMPOSSIBLE = {
    "unwritable": (unwritable, bayes, "cannot be written (Permission denied); wanted a folder"),
    "a file": (a_file, bayes, "store is a file; wanted a folder"),
    "in a file": (in_a_file, bayes, "file is a file; wanted a folder"),
    "nothing kept": (None, lambda: bayes(0), "steps is 0"),
    "a bar around it": (None, lambda: (iter(bayes()[0]), None), "wanted a Run, and its bar as bar=progress"),
    "a generator": (None, lambda: (Run(sgld(partial(quartic, torch.Generator()), 1.0), torch.zeros(1, 2), len, 0, 3),
        mlp(1, 1)), "sampler.step.log_posterior[0] is a torch.Generator"),
    "a state of dicts": (None, lambda: (Run(dict_state(), torch.zeros(1, 2), len, 0, 3), mlp(1, 1)),
        "state is of type dict; wanted tensors"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "run", "said"),
    [case for case in IMPOSSIBLE.values() if case[2]],
    ids=[k for k, v in IMPOSSIBLE.items() if v[2]],
)
def test_what_cannot_be_stored_is_refused_in_one_line(tmp_path, monkeypatch, refusal, make, run, said):
    def call():
        where = make(tmp_path, monkeypatch) if make else Store(tmp_path / "store")
        where.keep(*run())

    assert said in refusal(call)


def test_a_store_that_cannot_be_written_can_be_opened(store, monkeypatch):
    store.keep(*bayes())
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("it writes"))
    monkeypatch.setattr("apdlab.store.manifest.FileLock", lambda *_: pytest.fail("it locks"))
    assert equal(store.keep(*bayes(8))[0], keep(*bayes(8)))


def test_a_fit_comes_back_where_the_work_was_done():
    waits, there = torch.zeros(1), torch.zeros(1, device="meta")
    assert _device(_tensors(((Data(waits, waits),), {"settings": [1, there]}))).type == "meta"
    assert _device(_tensors(((waits, "no tensor"), {}))).type == "cpu"
