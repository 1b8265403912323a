"""Laws of the store: the same bits as without it, after any interruption, drawn once, found again, and never mixed."""

import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from stored_runs import CHAINS, RUNS, STEPS, Cut, bayes, cut, equal, followed, quartic, set_of, shards, strange
from torch import nn
from tqdm import tqdm

from apdlab.data import batches
from apdlab.density import LogDensity
from apdlab.likelihoods import categorical
from apdlab.networks import Network, mlp
from apdlab.notebook import Run as NotebookRun
from apdlab.priors import gaussian_prior
from apdlab.samplers import Diverged, Run, keep, progress, sgld
from apdlab.schedules import polynomial
from apdlab.store import Store

KEPT = {"all": (0, 1), "thinned": (0, 3), "after a burn-in": (4, 1), "both": (3, 4), "the last": (11, 1)}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(("burn_in", "thin"), KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("every", [0.0, 30.0], ids=["many shards", "one shard"])
def test_the_store_keeps_what_keep_keeps(store, make, burn_in, thin, every):
    plain = keep(*make(), burn_in=burn_in, thin=thin)
    for _ in range(2):
        run, network = make()
        chains, cost = store.keep(run, network, burn_in=burn_in, thin=thin, every=every)
        assert chains.network is network and equal(chains, plain)
        assert cost.gradient_evaluations == STEPS * CHAINS and cost.seconds > 0
    assert len(shards(store)) == (plain.theta.shape[1] if every == 0 else 1)


@pytest.mark.parametrize(
    ("make", "burn_in", "thin"), [(bayes, 0, 1), (followed, 0, 1), (strange, 0, 1), (strange, 3, 4)]
)
@pytest.mark.parametrize("after", range(STEPS))
def test_a_run_that_was_cut_goes_on_bit_for_bit(store, make, burn_in, thin, after):
    settings = dict(burn_in=burn_in, thin=thin, every=0.0)
    with pytest.raises(Cut):
        store.keep(*make(), **settings, bar=partial(cut, after=after))
    seen = []
    chains, _ = store.keep(*make(), **settings, bar=lambda steps: seen.append(len(steps)) or steps)
    all_kept = burn_in + thin * chains.theta.shape[1] <= after
    assert equal(chains, keep(*make(), burn_in=burn_in, thin=thin)) and seen == [STEPS - after] * (not all_kept)


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
def test_a_kill_between_shard_and_checkpoint_costs_nothing(store, make):
    with pytest.raises(Cut):
        store.keep(*make(), every=0.0, bar=partial(cut, after=5))
    folder = shards(store)[0].parent
    before = (folder / "checkpoint.safetensors").read_bytes()
    store.keep(*make(), every=0.0)
    (folder / "checkpoint.safetensors").write_bytes(before)
    (folder / ".00005.safetensors-1-2.partial").write_bytes(b"half")
    chains, _ = store.keep(*make(), every=30.0)
    assert equal(chains, keep(*make())) and not list(folder.glob("*.partial"))


def long(steps=12_000):
    return strange(steps)


def job(root, every, barrier=None):
    """What a process of its own does."""
    if barrier:
        barrier.wait()
    Store(root).keep(*long(), burn_in=1000, thin=11, every=every)


def check(root):
    """Read every file of a store whose job was killed."""
    for path in root.glob("chains/*/[!.]*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            with safe_open(path, framework="pt") as file:
                assert [file.get_tensor(name).isfinite().all() for name in file.keys()]


forked = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks")


@forked
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_jobs_killed_at_any_moment_leave_whole_files_and_lose_no_bit(store):
    context, chance, alive = multiprocessing.get_context("fork"), random.Random(0), 0
    for _ in range(20):
        process = context.Process(target=job, args=(store.root, 0.005))
        process.start()
        time.sleep(chance.uniform(0.02, 0.08))
        alive += process.is_alive()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        check(store.root)
    chains, _ = store.keep(*long(), burn_in=1000, thin=11)
    assert equal(chains, keep(*long(), burn_in=1000, thin=11)) and alive > 5


@forked
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_two_jobs_at_once_draw_once(store):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    jobs = [context.Process(target=job, args=(store.root, 30.0, barrier)) for _ in range(2)]
    for process in jobs:
        process.start()
    for process in jobs:
        process.join()
    (manifest,) = store.root.glob("chains/*/manifest.json")
    assert [process.exitcode for process in jobs] == [0, 0]
    assert [run["from_step"] for run in json.loads(manifest.read_text())["runs"]] == [0]


def noted(steps, seen):
    """A bar that notes the steps that pass."""
    for step in steps:
        seen.append(step.number)
        yield step


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(("burn_in", "thin"), [(0, 1), (3, 4)], ids=["all", "both"])
@pytest.mark.parametrize("lengths", [(8, STEPS, 20), (7, STEPS, 9, 20, 8)], ids=["longer", "both"])
def test_a_longer_run_goes_on_and_a_shorter_one_is_its_beginning(store, make, burn_in, thin, lengths):
    drawn = 0
    for steps in lengths:
        seen = []
        chains, cost = store.keep(*make(steps), burn_in=burn_in, thin=thin, bar=partial(noted, seen=seen))
        assert equal(chains, keep(*make(steps), burn_in=burn_in, thin=thin))
        assert seen == list(range(drawn + 1, steps + 1)) and cost.gradient_evaluations == CHAINS * steps
        drawn = max(drawn, steps)
    assert len(list(store.root.glob("chains/*"))) == 1


@pytest.mark.parametrize("make", RUNS.values(), ids=RUNS)
def test_the_store_has_what_it_would_not_draw_and_asking_makes_nothing(store, make):
    assert not store.has(*make(8), burn_in=3, thin=2) and not Path(store.root).exists()
    store.keep(*make(8), burn_in=3, thin=2)
    for steps, thin in [(5, 2), (7, 2), (8, 2), (9, 2), (8, 1), (20, 2)]:
        seen = []
        had = store.has(*make(steps), burn_in=3, thin=thin)
        store_copy = Store(store.root.parent / f"copy {steps} {thin}")
        shutil.copytree(store.root, store_copy.root)
        store_copy.keep(*make(steps), burn_in=3, thin=thin, bar=partial(noted, seen=seen))
        assert had == (seen == [])


def test_a_shorter_run_took_its_share_of_the_seconds(store):
    long, short = (store.keep(*bayes(steps))[1].seconds for steps in (12, 3))
    assert short == pytest.approx(long / 4) and store.keep(*bayes(12))[1].seconds == long


OTHERS = {
    "seed": dict(seed=1),
    "temperature": dict(temperature=0.5),
    "data": dict(shift=0.1),
    "step size": dict(step=2e-2),
    "schedule": dict(step=polynomial(1e-2, 1.0, 0.7)),
    "prior": dict(prior=2.0),
    "network": dict(activation=nn.Tanh),
    "start": dict(start=0.1),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_settings_are_another_chain(store, change):
    store.keep(*bayes())
    chains, _ = store.keep(*bayes(**change))
    assert equal(chains, keep(*bayes(**change)))
    assert len(list(store.root.glob("chains/*"))) == 2


@pytest.mark.parametrize("change", [dict(burn_in=1), dict(thin=2)], ids=["burn-in", "thin"])
def test_what_is_kept_is_part_of_the_chain(store, change):
    store.keep(*bayes())
    chains, _ = store.keep(*bayes(), **change)
    assert equal(chains, keep(*bayes(), **change)) and len(list(store.root.glob("chains/*"))) == 2


def test_a_shard_is_closed_when_it_is_full(store, monkeypatch):
    run, network = bayes()
    monkeypatch.setattr("apdlab.store.shards.SHARD_BYTES", 3 * run.theta.nbytes)
    chains, _ = store.keep(run, network)
    assert equal(chains, keep(*bayes())) and len(shards(store)) == STEPS // 3


def test_what_is_opened_is_mapped_and_no_more_than_is_asked_for(store):
    store.keep(*bayes(), every=30.0)
    chains, _ = store.keep(*bayes())
    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text().splitlines()
        spans = {line: [int(word, 16) for word in line.split()[0].split("-")] for line in lines}
        (line,) = [line for line, (low, high) in spans.items() if low <= chains.theta.data_ptr() < high]
        assert line.endswith(str(shards(store)[0]))
    shutil.rmtree(store.root)
    store.keep(*bayes(), every=0.0)
    for path in shards(store)[5:]:
        path.unlink()
    assert equal(store.keep(*bayes(5))[0], keep(*bayes(5)))


@pytest.mark.parametrize("every", [0.0, 30.0], ids=["many shards", "none"])
def test_a_run_that_diverges_gives_what_was_kept_and_stays_valid(store, every):
    theta = torch.tensor([[0.1, 0.1], [0.1, 20.0]], dtype=torch.float64)
    run, network = Run(sgld(quartic, 0.5, 0), theta, lambda step: None, 0, 50), mlp(1, 1, dtype=torch.float64)
    with pytest.raises(Diverged) as plain:
        keep(run, network)
    for _ in range(2):
        with pytest.raises(Diverged) as stored:
            store.keep(run, network, every=every)
        assert str(stored.value) == str(plain.value) and equal(stored.value.chains, plain.value.chains)
    short = Run(run.sampler, theta, run.batches, 0, len(plain.value.chains.steps))
    assert equal(store.keep(short, network)[0], plain.value.chains)


def test_a_run_that_diverges_at_once_kept_nothing(store):
    theta = torch.full((1, 2), 1e200, dtype=torch.float64)
    run, network = Run(sgld(quartic, 0.5, 0), theta, lambda step: None, 0, 50), mlp(1, 1, dtype=torch.float64)
    with pytest.raises(Diverged) as caught:
        store.keep(run, network)
    assert caught.value.chains is None


def test_progress_shows_the_steps_that_are_left(store):
    bars, text = [], partial(tqdm, file=io.StringIO())
    with pytest.raises(Cut):
        store.keep(*bayes(), every=0.0, bar=partial(cut, after=4))
    chains, _ = store.keep(*bayes(), bar=lambda steps: bars.append(progress(steps, text)) or bars[0])
    assert (bars[0].total, bars[0].n) == (STEPS - 4, STEPS - 4) and equal(chains, keep(*bayes()))


def test_a_manifest_tells_what_made_the_chain_and_who_drew_it(store):
    for steps in (4, 4, 9):
        store.keep(*bayes(steps))
    (path,) = store.root.glob("chains/*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["format"] == "apdlab/1" and manifest["hash"] == path.parent.name
    kernel = manifest["settings"]["dict"]["sampler"]["with"]["step"]["with"]
    assert (kernel["temperature_of"]["with"], kernel["eps_of"]["with"]) == ({"temperature": 1.0}, {"step_size": 1e-2})
    assert [run["from_step"] for run in manifest["runs"]] == [0, 4]
    assert manifest["runs"][0]["noise"] == "torch.Generator mt19937 on cpu"
    assert manifest["runs"][0]["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("own", [None, "elsewhere"])
def test_notebooks_share_the_store_beside_their_runs(tmp_path, monkeypatch, own):
    monkeypatch.delenv("APDLAB_STORE", raising=False)
    if own:
        monkeypatch.setenv("APDLAB_STORE", str(tmp_path / own))
    runs = [NotebookRun(name, tmp_path / "runs" / name, {}) for name in ("one", ".two-123")]
    assert [run.store.root for run in runs] == [tmp_path / own if own else tmp_path / "runs" / "store"] * 2


def test_a_forward_that_is_edited_is_another_chain(store):
    def edited(body):
        namespace = {"__name__": "__main__", "nn": nn}
        exec(f"class Own(nn.Linear):\n    def forward(self, x):\n        return {body}", namespace)
        network = Network(namespace["Own"](2, 3))
        log_posterior = LogDensity(network, categorical(), gaussian_prior(network, 1.0), 8)
        run = Run(sgld(log_posterior, 1e-2), torch.ones(2, 9), batches(set_of(), None, seed=0), 0, 3)
        return store.keep(run, network)[0], keep(run, network)

    for body in ("super().forward(x)", "super().forward(-x)", "super().forward(x)"):
        assert equal(*edited(body))
    assert len(list(store.root.glob("chains/*"))) == 2
