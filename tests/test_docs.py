import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import make  # noqa: E402
import scale  # noqa: E402

README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_says_what_the_kept_run_measured():
    assert make.told(README) == README


@pytest.mark.parametrize(("notebook", "run"), [(name, run) for name, page in make.PAGES.items() for run in page.runs])
def test_a_changed_number_changes_the_readme(notebook, run, tmp_path, monkeypatch):
    shutil.copytree(make.DOCS, tmp_path, dirs_exist_ok=True)
    kept = tmp_path / notebook / f"{run}.json"
    numbers = json.loads(kept.read_text("utf-8"))
    numbers["rows"][0]["accuracy"] = 0.123
    kept.write_text(json.dumps(numbers), "utf-8")
    monkeypatch.setattr(make, "DOCS", tmp_path)
    assert "0.123" in make.told(README)


def test_the_page_of_scaling_says_what_its_run_measured():
    page, run = scale.PAGE.read_text("utf-8"), json.loads(scale.RUN.read_text("utf-8"))
    assert scale.told(page, run) == page
    for line in run["lines"]:
        line["largest_ms"] *= 3
    assert scale.told(page, run) != page


@pytest.mark.parametrize("values, text", [([0.5, 0.25], "0.250 to 0.500"), ([1.0, 1.0], "1.000"), ([None, 0.1], "-")])
def test_a_span_is_lowest_to_highest(values, text):
    assert make.span(values) == text


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):#]+)\)", README))))
def test_links_within_the_readme_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_the_readme_example_runs():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert 0 < float(re.search(r"tensor\(([\d.]+)", run.stdout).group(1)) < 0.7
