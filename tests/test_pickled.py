"""Laws of reading pickles: plain values and arrays of bytes come back, and nothing that a pickle asks for ever runs."""

import io
import os
import pickle

import numpy as np
import pytest

from apdlab.data.pickled import read_pickled

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)


def read(content):
    return read_pickled(io.BytesIO(content), "batch")


@pytest.mark.parametrize("protocol", range(3))
def test_values_and_arrays_come_back(protocol):
    content = {b"data": PIXELS, b"labels": [3, 1], b"batch_label": b"one \xff", b"more": (1, 2.5, None, "text")}
    found = read(pickle.dumps(content, protocol=protocol))
    assert list(found) == list(content) and all(found[key] == content[key] for key in list(content)[1:])
    assert found[b"data"].dtype == np.uint8 and (found[b"data"] == PIXELS).all()


def test_a_pickle_of_python_2_is_read():
    """As cPickle wrote it: the old name of numpy's module, texts that are bytes."""
    raw = bytes([1, 2, 3, 4])
    state = b"(K\x01K\x02K\x02\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR\x89U\x04" + raw + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR" + state
    found = read(b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x07K\x08eu.")
    assert found[b"data"].tolist() == [[1, 2], [3, 4]] and found[b"labels"] == [7, 8]


class Runs:
    """Would run a function when unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


EVIL = {
    "a shell": Runs(os.system, "touch caught"),
    "code": Runs(exec, "open('caught', 'w')"),
    "a file": Runs(open, "caught", "w"),
    "an import": Runs(__import__, "antigravity"),
    "numpy's loader": Runs(np.load, "caught"),
    "a method by name": Runs(getattr, "text", "upper"),
    "another encoding": Runs(__import__("_codecs").encode, "text", "rot13"),
    "a class of ours": Runs(Runs, print, 1),
}


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_whatever_else_it_names_is_refused_and_not_run(evil, protocol, tmp_path, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    message = refusal(lambda: read(pickle.dumps({b"data": PIXELS, b"labels": evil}, protocol=protocol)))
    assert "batch asks for" in message and "so it was not run" in message
    assert list(tmp_path.iterdir()) == []


def dumped(value):
    return pickle.dumps({b"data": value}, protocol=2)


BROKEN = {
    "empty": (b"", "wanted a whole one"),
    "cut": (dumped(PIXELS)[:-9], "batch "),
    "no dict": (pickle.dumps([1, 2]), "of a list; wanted"),
    "wider numbers": (dumped(PIXELS.astype(np.int64)), "with an array of another kind"),
    "objects": (dumped(np.array([b"a"], dtype="S1")), "with an array of another kind"),
    "by column": (dumped(np.asfortranarray(PIXELS)), "with an array of another kind"),
    "fewer bytes": (dumped(PIXELS).replace(b"K\x05K\x07\x86", b"K\x05K\x08\x86"), "with an array of another kind"),
    "a bare dtype": (dumped(np.dtype("u1")), "with an array of another kind"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_such_pickle_is_refused(content, message, refusal):
    assert message in refusal(lambda: read(content))


def test_no_damage_escapes_as_another_error():
    whole, dice = dumped(PIXELS), np.random.default_rng(1)
    for _ in range(300):
        broken = bytearray(whole)
        for place in dice.integers(0, len(whole), 3):
            broken[place] = dice.integers(0, 256)
        try:
            read(bytes(broken))
        except ValueError as error:
            assert "\n" not in str(error)
