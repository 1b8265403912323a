"""Laws of your own tensors: what they become, how they are cut, which are refused."""

import numpy as np
import pytest
import torch

from apdlab.data import data, scale_pixels, split
from apdlab.types import Data

RNG = np.random.default_rng(0)
X = np.array([[1.5, 2.0], [3.0, -4.0], [0.25, 6.0]])
NATIVE = X.dtype.newbyteorder("=")
INPUTS = {
    "float64": (X, torch.float64),
    "float32": (X.astype(np.float32), torch.float32),
    "float16": (X.astype(np.float16), torch.float32),
    "bfloat16": (torch.tensor(X).bfloat16(), torch.float32),
    "tensor": (torch.tensor(X, requires_grad=True), torch.float64),
    "big-endian": (X.astype(">f8"), torch.float64),
    "columns first": (np.asfortranarray(X), torch.float64),
    "backwards": (X[::-1].copy()[::-1], torch.float64),
}


@pytest.mark.parametrize(("x", "dtype"), INPUTS.values(), ids=INPUTS)
def test_floating_inputs_keep_their_values(x, dtype):
    made = data(x, np.arange(3)).x
    assert made.dtype == dtype and not made.requires_grad
    assert torch.equal(made.double(), torch.tensor(X))


def test_arrays_are_copied():
    x = X.copy()
    x.setflags(write=False)
    made = data(x, np.arange(3))
    made.x.zero_()
    assert np.array_equal(x, X)


@pytest.mark.parametrize("make", [np.asarray, torch.tensor], ids=["array", "tensor"])
def test_pixels_are_scaled_from_minus_one_to_one(make):
    levels = np.arange(256, dtype=np.uint8).reshape(64, 1, 2, 2)
    made = data(make(levels), np.zeros(64, int)).x
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made, (levels / 255 - 0.5) / 0.5, atol=1e-7)
    assert made.min() == -1 and made.max() == 1


@pytest.mark.parametrize("top", [1, 16, 255])
def test_scaled_pixels_are_new(top):
    x = torch.tensor([0.0, top / 2, top])
    assert scale_pixels(x, top).tolist() == [-1, 0, 1]
    assert x.tolist() == [0, top / 2, top]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, bool, ">i4"])
def test_integers_are_classes(dtype):
    y = data(X, np.array([1, 0, 1]).astype(dtype)).y
    assert y.dtype == torch.int64 and y.tolist() == [1, 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 2)])
def test_targets_follow_the_dtype_of_x(dtype, shape):
    y = RNG.normal(size=shape)
    made = data(X.astype(dtype), y)
    assert made.y.dtype == made.x.dtype and made.y.shape == (3, shape[-1] if len(shape) > 1 else 1)
    np.testing.assert_allclose(made.y, y.reshape(made.y.shape), rtol=1e-6)


def test_a_vector_of_inputs_becomes_a_column():
    assert data(X[:, 0], X[:, 0]).x.tolist() == X[:, :1].tolist()


def holed(*places):
    x = RNG.normal(size=(5, 2, 3))
    for place, value in places:
        x[place] = value
    return x


LABELS = np.arange(5)
BAD_OWN = {
    "NaN pixels": (holed(((3, 1, 0), np.nan), ((4, 0, 0), np.nan)), LABELS, "x has 2 NaN and 0 infinite", "row 3"),
    "infinite": (holed(((1, 1, 1), -np.inf), ((2, 0, 0), np.nan)), LABELS, "x has 1 NaN and 1 infinite", "row 1"),
    "NaN in a vector": (np.array([1.0, np.nan]), LABELS[:2], "x has 1 NaN", "row 1"),
    "NaN target": (X, np.array([0.0, 1.0, np.nan]), "y has 1 NaN", "row 2"),
    "target beyond float32": (X.astype(np.float32), np.array([0.0, 1e300, 0.0]), "y has 0 NaN and 1 inf", "float32"),
    "negative label": (X, np.array([0, 1, -2]), "label -2 in row 2", "counted from 0"),
    "one-hot labels": (X, np.eye(3, dtype=int), "y has shape [3, 3]", "y.argmax(1)"),
    "targets of rank 3": (X, np.zeros((3, 2, 2)), "y has shape [3, 2, 2]", "[N, K]"),
    "empty": (X[:0], LABELS[:0], "x is empty, shape [0, 2]", "at least one"),
    "no features": (X[:, :0], LABELS[:3], "x is empty, shape [3, 0]", "at least one"),
    "lengths": (X, LABELS, "x has 3 rows and y has 5", "one row of y"),
    "objects": (X.astype(object), LABELS[:3], "x has dtype object", "np.float32"),
    "strings": (X, np.array(["a", "b", "c"]), "y has dtype <U1", "numbers"),
    "long double": (X.astype(np.longdouble), LABELS[:3], f"x has dtype {np.dtype(np.longdouble)}", "numbers"),
    "complex array": (X.astype(complex), LABELS[:3], "x has dtype complex128", "numbers"),
    "complex tensor": (torch.tensor(X).cfloat(), LABELS[:3], "x has dtype torch.complex64", "x.real"),
    "integer inputs": (X.astype(int), LABELS[:3], "x has dtype torch.int64", "uint8 for pixels"),
    "list": (X.tolist(), LABELS[:3], "x is a list", "np.asarray(x)"),
    "a number": (np.array(3.0), LABELS[:1], "x is a single number", "x.reshape(1, 1)"),
}
if np.dtype(np.longdouble).itemsize == 8:  # Windows and macOS on ARM
    del BAD_OWN["long double"]


@pytest.mark.parametrize(("x", "y", "seen", "fix"), BAD_OWN.values(), ids=BAD_OWN)
def test_bad_tensors_are_refused(refusal, x, y, seen, fix):
    message = refusal(lambda: data(x, y))
    assert seen in message and fix in message


# Cuts ----------------------------------------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NUMBERED = Data(torch.arange(40.0)[:, None], torch.arange(40))
CUTS = {
    "counts": (7, 3, (30, 7, 3)),
    "fractions": (0.25, 0.1, (26, 10, 4)),
    "both": (1, 0.5, (19, 1, 20)),
    "rounded": (0.07, 0.11, (33, 3, 4)),
    "one left": (20, 19, (1, 20, 19)),
    "numpy": (np.int64(7), np.float32(0.5), (13, 7, 20)),
}


@pytest.mark.parametrize(("valid", "test", "sizes"), CUTS.values(), ids=CUTS)
def test_a_cut_is_disjoint_and_covers_all(valid, test, sizes):
    parts = split(NUMBERED, valid=valid, test=test, generator=seeded())
    assert tuple(len(part.y) for part in parts) == sizes
    assert torch.equal(torch.cat([part.y for part in parts]).sort().values, NUMBERED.y)
    assert all(torch.equal(part.x[:, 0].long(), part.y) for part in parts)


def test_a_cut_is_random_and_belongs_to_its_generator():
    first, again, other = (split(NUMBERED, valid=10, test=10, generator=seeded(s)).test.y.tolist() for s in (0, 0, 1))
    assert first == again != other
    picked = torch.cat([split(NUMBERED, valid=10, test=10, generator=seeded(s)).test.y for s in range(400)])
    # Each row is in the test part of a cut with probability 1/4: Binomial(400, 1/4), sd 8.7.
    assert (picked.bincount(minlength=40) - 100).abs().max() < 5 * 8.7


BAD_CUTS = {
    "nothing left": (20, 20, "valid=20 and test=20 take 40 of 40", "at least one left"),
    "halves": (0.5, 0.5, "take 40 of 40", "ask for less"),
    "none": (0, 5, "valid is 0", "count of 1 or more"),
    "negative": (5, -1, "test is -1", "count of 1 or more"),
    "all": (1.0, 5, "valid is 1.0", "fraction in (0, 1)"),
    "fraction of nobody": (5, 0.01, "test is 0.01, of 40", "that gives one"),
    "NaN": (float("nan"), 5, "valid is nan", "fraction in (0, 1)"),
    "half an example": (2.5, 5, "valid is 2.5", "count of 1 or more"),
}


@pytest.mark.parametrize(("valid", "test", "seen", "fix"), BAD_CUTS.values(), ids=BAD_CUTS)
def test_bad_cuts_are_refused(refusal, valid, test, seen, fix):
    message = refusal(lambda: split(NUMBERED, valid=valid, test=test, generator=seeded()))
    assert seen in message and fix in message
