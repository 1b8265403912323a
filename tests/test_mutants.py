"""The ladder sees every sampler that is broken in a known way; the table is that of ``benchmarks/mutants.py``."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("mutants", Path(__file__).parents[1] / "benchmarks" / "mutants.py")
mutants = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutants)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=[mutant.what for mutant in mutants.MUTANTS])
def test_a_mutant_is_seen(mutant):
    assert next(mutants.red(mutant), None)


def test_without_a_change_nothing_is_seen():
    whole = mutants.Mutant("nothing", "sghmc", "apdlab.samplers.sghmc", (("c**2", "c**2"),))
    assert not list(mutants.red(whole))


def test_a_mutant_whose_text_has_moved_is_refused(refusal):
    gone = mutants.Mutant("gone", "sghmc", "apdlab.samplers.sghmc", (("c**7", "c"),))
    assert "'c**7' is not in sghmc.py" in refusal(lambda: next(mutants.red(gone)))
