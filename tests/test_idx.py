"""Laws of IDX files: what is written is read, and what is damaged is refused, cheaply."""

import gzip
import tracemalloc

import numpy as np
import pytest
from idx_files import idx

from apdlab.data import read_idx

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2), (5, 28, 28), (2, 3, 4, 5), (1500, 28, 28)], ids=str)
def test_idx_round_trip(tmp_path, shape, pack):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / ("values.gz" if pack is gzip.compress else "values")
    path.write_bytes(pack(idx(values)))
    read = read_idx(path)
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, values)


PLAIN = idx(np.arange(6).reshape(2, 3))
PACKED = gzip.compress(idx(RNG.integers(0, 256, (9, 28, 28))))
BAD_IDX = {
    "not gzip": ("a.gz", PLAIN, "not a whole gzip file"),
    "truncated gzip": ("a.gz", PACKED[:-2000], "not a whole gzip file"),
    "gzip without its end": ("a.gz", PACKED[:-8], "not a whole gzip file"),
    "flipped checksum": ("a.gz", PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], "not a whole gzip file"),
    "flipped bits": ("a.gz", PACKED[:10] + b"\xff" * 20 + PACKED[30:], "not a whole gzip file"),
    "empty gzip": ("a.gz", b"", "starts with nothing"),
    "gzip without .gz": ("a", PACKED, "starts with 1f 8b 08"),
    "empty file": ("a", b"", "starts with nothing"),
    "magic cut short": ("a", PLAIN[:3], "starts with 00 00 08;"),
    "wrong magic": ("a", b"\x89PNG" + PLAIN[4:], "starts with 89 50 4e 47"),
    "signed bytes": ("a", idx(np.ones(3), magic=b"\0\0\x09"), "starts with 00 00 09 01"),
    "no dimensions": ("a", idx(np.ones(()), shape=()), "starts with 00 00 08 00"),
    "five dimensions": ("a", idx(np.ones((1,) * 5)), "starts with 00 00 08 05"),
    "header cut short": ("a", PLAIN[:10], "ends within its header; wanted 2 sizes"),
    "too short": ("a", PLAIN[:-1], "holds 5 values; wanted 6"),
    "too long": ("a", PLAIN + b"\0", "holds more values; wanted 6"),
    "too long, gzip": ("a.gz", gzip.compress(PLAIN + b"\0" * 9), "holds more values; wanted 6"),
    "empty set": ("a", idx(np.ones((0, 28, 28))), "is empty, shape [0, 28, 28]"),
    "empty images": ("a", idx(np.ones(0), shape=(2**32 - 1, 0, 2**32 - 1)), "is empty"),
    "huge claim": ("a.gz", gzip.compress(idx(np.ones(9), shape=(2**32 - 1,) * 3)), "holds 9 values; wanted 79,228"),
}


@pytest.mark.parametrize(("name", "content", "seen"), BAD_IDX.values(), ids=BAD_IDX)
def test_bad_idx_files_are_refused(refusal, tmp_path, name, content, seen):
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(lambda: read_idx(path))
    assert seen in message and str(path) in message and "wanted" in message


@pytest.mark.parametrize("content", [idx(np.ones(9), shape=(2**31,)), idx(np.ones(2**26), shape=(4,))])
def test_memory_follows_neither_the_claim_nor_the_excess(refusal, tmp_path, content):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(content, 1))
    del content
    tracemalloc.start()
    try:
        refusal(lambda: read_idx(path))
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
