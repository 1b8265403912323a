"""Laws of the benchmarks: each runs, compares equal results, and prints lines that parse. No number is judged."""

import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
OTHERS = {
    "timing.py",
    "memory.py",
    "table.py",
    "ensembles.py",
    "sampling_rivals.py",
    "ladder.py",
    "mutants.py",
    "sampler_bias.py",
    "online_memory.py",
    "scaling.py",
}  # what times share; what compares no times
SCRIPTS = sorted({path.name for path in FOLDER.glob("*.py")} - OTHERS)


@pytest.fixture(scope="module")
def timing():
    spec = importlib.util.spec_from_file_location("timing", FOLDER / "timing.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_prints_a_name_and_four_numbers_and_a_share_a_line(script, tmp_path):
    saved = tmp_path / "lines.json"
    command = [sys.executable, "-W", "error", str(FOLDER / script), "--toy", "--rounds", "1", "--json", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines() if not line.startswith("#")]
    assert len(rows) >= 4 and len({row[0] for row in rows}) == len(rows)
    for _, *numbers, share in rows:
        ratio, ours, rival, spread = map(float, numbers)
        assert 0 < ratio < math.inf and 0 < ours < math.inf and 0 < rival < math.inf and spread == 0
        assert share == "-" or 0 <= float(share) < math.inf
    run = json.loads(saved.read_text("utf-8"))
    assert [line["name"] for line in run["lines"]] == [row[0] for row in rows]
    assert run["script"] == script and run["machine"]["versions"]["torch"] == torch.__version__


def lines_of(script, *arguments):
    command = [sys.executable, "-W", "error", str(FOLDER / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return [line.split("\t") for line in done.stdout.splitlines() if not line.startswith("#")]


def test_the_bias_of_samplers_is_printed_beside_its_prediction():
    rows = lines_of("sampler_bias.py", "--toy")
    names = {name for name, *_ in rows}
    assert names >= {"sgld", "psgld", "sghmc", "symplectic_euler", "sgnht", "hmc"}
    for _, _, *numbers in rows:
        predicted, measured, error = map(float, numbers)
        assert 0 < predicted < math.inf and 0 < measured < math.inf and 0 < error < 1


def test_what_is_held_while_a_chain_runs_is_printed_beside_what_draws_would_take():
    rows = [[float(value) for value in row] for row in lines_of("online_memory.py", "--toy")]
    assert len(rows) == 2 and rows[0][0] < rows[1][0] and rows[0][3] == rows[1][3]
    assert all(peak > held > 0 and stored > 0 for _, peak, _, held, stored in rows)


def test_growth_is_printed_with_its_exponent_and_kept_with_its_sizes(tmp_path):
    kept = tmp_path / "scaling.json"
    rows = lines_of("scaling.py", "--toy", "--rounds", "1", "--json", str(kept))
    run = json.loads(kept.read_text("utf-8"))
    assert [row[0] for row in rows] == [line["name"] for line in run["lines"]] and len(rows) >= 8
    for _, exponent, *numbers in rows:
        smallest, largest, *peaks = map(float, numbers)
        assert math.isfinite(float(exponent)) and min(smallest, largest) > 0 and all(0 <= p < 2**14 for p in peaks)
    assert all(0 < line["smallest"] < line["largest"] for line in run["lines"]) and run["machine"]["threads"] >= 1


def test_an_exponent_is_that_of_a_power_whatever_small_sizes_do(benchmark):
    scaling = benchmark("scaling")
    assert scaling.exponent([1, 2, 4, 8, 16], [99.0, 5.0, 3 * 4**1.5, 3 * 8**1.5, 3 * 16**1.5]) == pytest.approx(1.5)


def test_the_ladder_is_climbed_with_as_many_seeds_as_asked():
    assert {row[1] for row in lines_of("ladder.py", "--seeds", "2", "--only", "hmc")} == {"2"}


BAD = {
    "other values": ([1.0, 2.0], [1.0, 2.001], "differ by 0.0005"),
    "NaN": ([1.0, math.nan], [1.0, 2.0], "differ by nan"),
    "other shape": ([1.0, 2.0], [1.0], "ours has shape (2,) and the rival (1,)"),
}


@pytest.mark.parametrize(("ours", "rival", "seen"), BAD.values(), ids=BAD)
def test_ways_that_compute_different_things_are_not_compared(timing, refusal, ours, rival, seen):
    message = refusal(lambda: timing.check_same("sums", torch.tensor(ours), torch.tensor(rival)))
    assert message.startswith("sums: ") and seen in message


def test_rounding_is_no_difference(timing):
    timing.check_same("sums", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0001]))


def test_all_ways_take_turns(timing):
    seen = []
    times = timing.rounds({name: partial(seen.append, name) for name in "abc"}, 3)
    assert "".join(seen) == "abc" + "abc" + "cba" + "abc"  # once before the first round
    assert [len(each) for each in times.values()] == [3, 3, 3]


def test_the_ratio_is_the_median_over_rounds(timing, capsys):
    timing.report("x", [1.0, 2.0, 4.0], [3.0, 2.0, 8.0])
    assert capsys.readouterr().out == "x\t2.00\t2.000\t3.000\t1.00\t-\n"


def test_the_share_of_the_limit_is_flops_over_time_over_limit(timing, capsys):
    reached = timing.reached(3e9, [900.0, 1000.0, 5000.0], limit=12.0)  # 3 GFLOP in a second
    timing.report("x", [1.0], [1.0], reached)
    assert capsys.readouterr().out.endswith("\t0.25\n")


def test_the_limit_is_the_rate_of_a_product(timing, monkeypatch):
    monkeypatch.setattr(timing, "rounds", lambda ways, count: {name: [4.0] for name in ways})
    assert timing.roof("cpu", size=100) == pytest.approx(2 * 100**3 / 4e-3 / 1e9)


NO_OPTIONS = {
    "no rounds": (["--rounds", "0"], "--rounds is 0; wanted 1 or more"),
    "no chains": (["--chains", "0"], "--chains is 0; wanted 1 or more"),
    "a folder": (["--json", str(FOLDER)], f"--json is the folder {FOLDER}; wanted a file"),
}


@pytest.mark.parametrize(("asked", "seen"), NO_OPTIONS.values(), ids=NO_OPTIONS)
def test_options_that_mean_nothing_are_refused(timing, monkeypatch, capsys, asked, seen):
    monkeypatch.setattr(sys, "argv", ["x", *asked])
    with pytest.raises(SystemExit):
        timing.options("x", chains=16)
    assert seen in capsys.readouterr().err


def test_a_rival_that_is_missing_is_noted(timing, capsys):
    assert timing.installed("torch") and not timing.installed("no_such_rival")
    assert capsys.readouterr().out == "# no_such_rival is not installed\n"


def test_the_peak_of_a_fresh_process_does_not_know_what_this_one_held(benchmark):
    memory = benchmark("memory")
    held = torch.ones(2**27)  # 512 MiB
    assert memory.here(memory.highest) > 512 and memory.alone(memory.highest) < memory.highest() - 256
    del held


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_that_of_the_call_whatever_was_freed_before(benchmark):
    memory = benchmark("memory")
    torch.ones(2**26)
    assert memory.raised(lambda: torch.ones(2**24)) == pytest.approx(64, abs=8)


def test_the_page_says_what_the_kept_runs_measured(benchmark):
    table = benchmark("table")
    page = table.PAGE.read_text("utf-8")
    assert table.told(page, table.RESULTS) == page


def test_a_changed_line_changes_the_page_and_a_run_on_a_gpu_adds_to_it(benchmark, tmp_path):
    table = benchmark("table")
    shutil.copytree(table.RESULTS, tmp_path, dirs_exist_ok=True)
    page, kept = table.PAGE.read_text("utf-8"), tmp_path / "predict.json"
    run = json.loads(kept.read_text("utf-8"))
    run["lines"][0]["ratio"] = 123.456
    kept.write_text(json.dumps(run), "utf-8")
    assert "| 123.46 |" in table.told(page, tmp_path) and "| 123.46 |" not in page
    run["machine"]["device"] = "A GPU"
    (tmp_path / "predict-cuda.json").write_text(json.dumps(run), "utf-8")
    found = table.told(page, tmp_path)
    assert ", A GPU, " in found
    missing = re.search(r"On a GPU, .*`predict.py`.*: not measured", page), re.search(r"`predict.py`.*: not", found)
    assert missing[0] and not missing[1]


def test_every_script_that_is_run_by_itself_asks_a_question_on_the_page(benchmark):
    table = benchmark("table")
    scripts = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text("utf-8")} - {"table.py"}
    assert {name.strip("`") for name, _ in table.questions()} == scripts
