"""Laws of the table of notebooks: a row for each, in order, with what it says of itself."""

import json

import pytest

from apdlab.series import read_notebook, series

ABOUT = {
    "2_second": {"reproduces": "a figure", "minutes": {"smoke": 0.1, "quick": 3, "paper": 40}},
    "1_first": {"reproduces": "2 tables of a paper", "minutes": {"quick": 12}},
    "3_silent": None,
}


@pytest.fixture
def folder(tmp_path):
    for name, about in ABOUT.items():
        metadata = {} if about is None else {"apdlab": about}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": [], "metadata": metadata}), "utf-8")
    (tmp_path / "notes.txt").write_text("no notebook", "utf-8")
    return tmp_path


def test_every_notebook_has_its_row_in_order(folder):
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in series(folder).split("\n")]
    assert cells == [
        ["notebook", "reproduces", "smoke", "quick", "paper"],
        ["1_first", "2 tables of a paper", "-", "12", "-"],
        ["2_second", "a figure", "0.1", "3", "40"],
        ["3_silent", "-", "-", "-", "-"],
    ]


def test_columns_are_aligned(folder):
    head, *rows = series(folder).split("\n")
    for name in ("reproduces", "smoke", "quick", "paper"):
        at = head.index(name)
        assert all(row[at - 2 : at] == "  " and row[at] != " " for row in rows)
    assert all(row == row.rstrip() for row in (head, *rows))


def test_a_folder_without_notebooks_has_only_the_head(tmp_path):
    assert series(tmp_path).split() == ["notebook", "reproduces", "smoke", "quick", "paper"]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"metadata": {}}', "\N{SNOWMAN}"])
def test_what_is_no_notebook_is_refused(text, tmp_path, refusal):
    path = tmp_path / "broken.ipynb"
    path.write_text(text, "utf-8")
    assert "broken.ipynb is not a notebook" in refusal(lambda: read_notebook(path))
    assert "broken.ipynb" in refusal(lambda: series(tmp_path))


def test_bytes_that_are_no_text_are_refused(tmp_path, refusal):
    path = tmp_path / "broken.ipynb"
    path.write_bytes(b"\xff\xfe\x00")
    assert "broken.ipynb is not a notebook" in refusal(lambda: read_notebook(path))


def test_a_notebook_is_read_as_it_is(folder):
    assert read_notebook(folder / "1_first.ipynb") == {"cells": [], "metadata": {"apdlab": ABOUT["1_first"]}}
