"""Laws of packing: what goes in comes out, bit for bit, from a mapped file; anything else is refused by name."""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from apdlab.distill.coordinates import Coordinates
from apdlab.draws import Draws
from apdlab.networks import Network, mlp
from apdlab.store import load, pack, save, unpack
from apdlab.types import Cost

NETWORK = mlp(2, 3)


@dataclass(frozen=True)
class Leaf:
    theta: Tensor
    sizes: tuple[int, ...] = (1, 2)
    made: int = field(default=0, init=False)

    def __post_init__(self):
        object.__setattr__(self, "made", len(self.theta))


@dataclass(frozen=True)
class Tree:
    network: Network
    left: object
    right: object = None


class State(NamedTuple):
    theta: object
    step: object


KINDS = (Leaf, Tree, State, Draws, Coordinates, Cost)


def coordinates():
    shapes = (2, 9), (2, 4, 9), (2, 4), (2, 2)
    return Coordinates(*(torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in shapes))


def shared():
    theta = torch.arange(6.0)
    return State(theta, (theta, theta[1:3], theta.view(2, 3).T, torch.empty(0), torch.empty(0)))


VALUES = {
    "tensor": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
    "nothing": None,
    "numbers": (1, -2.5, True, 1e-300, 2**70, "text", None),
    "special numbers": (math.inf, -math.inf, math.nan, -0.0),
    "texts": ("", 'a "b"\n{}', "tensor", "ä"),
    "lists and dicts": [1, {"a": (torch.ones(1), [2]), "tensor": 3, "": None}, []],
    "names with dots": {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}},
    "kinds of numbers": [torch.ones(2).to(dtype) for dtype in (torch.float64, torch.bfloat16, torch.int8, torch.bool)],
    "scalar and empty": (torch.tensor(1.5), torch.zeros(0, 3)),
    "shared memory": shared(),
    "strides": torch.arange(12).view(3, 4).T,
    "named": State(torch.ones(2), State(None, (State(1, 2),))),
    "size": torch.Size([1, 2]),
    "frozen": Leaf(torch.ones(3), (2, 3)),
    "draws": Draws(NETWORK, torch.randn(5, 9, generator=torch.Generator().manual_seed(0))),
    "draws with a basis": Draws(NETWORK, torch.ones(5, 2), torch.zeros(2, 9), torch.ones(9)),
    "all of it": Tree(NETWORK, (coordinates(), Cost(3, 0.5)), Tree(NETWORK, Leaf(torch.zeros(1)))),
}


def flat(value):
    """Everything in a value, in order, with the kinds that it is in."""
    if isinstance(value, Tensor):
        return [str(value.dtype), list(value.shape), value.reshape(-1).view(torch.uint8).tolist()]
    if isinstance(value, dict):
        return ["dict", list(value), flat(list(value.values()))]
    if isinstance(value, tuple | list):
        name = "tuple" if isinstance(value, torch.Size) else type(value).__name__
        return [name, [flat(part) for part in value]]
    if isinstance(value, Network):
        return [id(value)]
    return [type(value).__name__, flat(vars(value)) if hasattr(value, "__dict__") else repr(value)]


def written(tmp_path, content):
    path = tmp_path / "value.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_is_packed_is_unpacked(tmp_path, value):
    again = unpack(written(tmp_path, pack(value)), NETWORK, KINDS)
    assert flat(again) == flat(value)


def test_tensors_of_the_caller_stay_as_they_are(tmp_path):
    value = shared()
    again = unpack(written(tmp_path, pack(value)), None, KINDS)
    again.theta[0] = 100
    assert value.theta[0] == 0 and value.theta.data_ptr() == value.step[0].data_ptr()
    assert unpack(tmp_path / "value.safetensors", None, KINDS).theta[0] == 0


def mapping_of(tensor):
    """The line of the process's memory map that a tensor lies in."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = {line: [int(word, 16) for word in line.split()[0].split("-")] for line in lines}
    return next(line for line, (low, high) in spans.items() if low <= tensor.data_ptr() < high)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory map of Linux")
def test_what_is_opened_is_mapped_not_read(tmp_path):
    path = tmp_path / "draws.safetensors"
    save(Draws(NETWORK, torch.zeros(10_000, 9)), path)
    assert str(path) in mapping_of(load(path, NETWORK).theta)


@pytest.mark.parametrize("posterior", [VALUES["draws"], VALUES["draws with a basis"]], ids=["stored", "low rank"])
def test_a_saved_posterior_gives_the_same_draws(tmp_path, posterior):
    save(posterior, tmp_path / "deep" / "draws.safetensors")
    again = load(tmp_path / "deep" / "draws.safetensors", mlp(2, 3))
    own, its = (draws.sample(3, generator=torch.Generator().manual_seed(0)).theta for draws in (posterior, again))
    assert torch.equal(own, its) and again.nbytes == posterior.nbytes


@dataclass
class Thawed:
    a: int


UNPACKABLE = {
    "function": ({"a": (1, len)}, "a.1 is of type builtins.builtin_function_or_method"),
    "object": (object(), "value is of type builtins.object"),
    "dataclass that changes": ([Thawed(1)], "0 is of type test_packing.Thawed"),
    "numbers as names": ({1: 2}, "value is of type builtins.dict"),
    "module": (Tree(NETWORK, nn.Linear(1, 1)), "left is of type torch.nn.modules.linear.Linear"),
}


@pytest.mark.parametrize(("value", "said"), UNPACKABLE.values(), ids=UNPACKABLE)
def test_what_cannot_be_packed_is_refused_by_its_place(value, said, refusal):
    message = refusal(lambda: pack(value))
    assert message.startswith(said) and "; wanted " in message


DRAWS = Draws(NETWORK, torch.zeros(5, 9))
GOOD = pack(DRAWS)


def own_format(**changes):
    return save_tensors({}, {"format": "apdlab/1", "tree": "null", **changes})


BAD = {
    "cut in the middle": (GOOD[: len(GOOD) // 2], "is cut short, damaged or no safetensors file"),
    "cut at the end": (GOOD[:-1], "is cut short, damaged or no safetensors file"),
    "cut in the header": (GOOD[:50], "is cut short, damaged or no safetensors file"),
    "longer": (GOOD + b"1", "is cut short, damaged or no safetensors file"),
    "empty": (b"", "is cut short, damaged or no safetensors file"),
    "text": (b"theta = [1, 2, 3]\n" * 10, "is cut short, damaged or no safetensors file"),
    "another program's": (save_tensors({"a": torch.ones(1)}), "was written by another program; wanted"),
    "pytorch's": (save_tensors({"a": torch.ones(1)}, {"format": "pt"}), "was written by another program; wanted"),
    "another version": (own_format(format="apdlab/2"), "is of format apdlab/2; wanted apdlab/1"),
    "no tree": (save_tensors({}, {"format": "apdlab/1"}), "is cut short, damaged or no safetensors file"),
    "tree that is no JSON": (own_format(tree="{"), "is cut short, damaged or no safetensors file"),
    "tensor that is not there": (own_format(tree='{"tensor": "a"}'), ": lacks 'a'"),
    "unknown word": (own_format(tree='{"pickle": "a"}'), ": lacks 'pickle'"),
    "unknown class": (pack(Cost(1, 2.0)), ": it holds a apdlab.types.Cost; wanted classes listed in kinds, which"),
    "another network": (
        pack(Draws(mlp(2, 4), torch.zeros(1, 12))), "1.weight is float32 [4, 2] in the file and float32 [3, 2]"),
    "deeper network": (
        pack(Draws(mlp(2, 3, 3), torch.zeros(1, 21))), "3.weight is float32 [3, 3] in the file and not there"),
    "network of other numbers": (
        pack(Draws(mlp(2, 3, dtype=torch.float64), torch.zeros(1, 9))), "1.weight is float64 [3, 2] in the file"),
    "network of other layers": (
        pack(Draws(Network(nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU())), torch.zeros(1, 9))),
        "network of the same shapes but of other layers"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_a_file_that_is_not_ours_is_refused_in_one_line_with_its_path(tmp_path, content, said, refusal):
    path = written(tmp_path, content)
    message = refusal(lambda: unpack(path, NETWORK, (Draws,)))
    assert message.startswith(str(path)) and said in message


def test_what_is_not_there_is_refused_with_its_path(tmp_path, refusal):
    assert refusal(lambda: load(tmp_path / "a", NETWORK)).startswith(f"{tmp_path / 'a'} is missing; wanted")
    assert refusal(lambda: load(tmp_path, NETWORK)).startswith(f"{tmp_path} is cut short, damaged or no safetensors")
    path = written(tmp_path, GOOD)
    assert refusal(lambda: unpack(path, None, (Draws,))).startswith(f"{path}: it holds a network; wanted the network")


def test_a_class_that_refuses_its_parts_is_named_with_the_file(tmp_path, refusal):
    path = written(tmp_path, GOOD.replace(b"[5,9]", b"[9,5]"))
    assert refusal(lambda: load(path, NETWORK)).startswith(f"{path}: codes has 5 columns; wanted the 9 weights")


def test_nothing_of_a_class_that_is_not_listed_is_made(tmp_path, refusal):
    path = written(tmp_path, pack(Tree(NETWORK, Leaf(torch.ones(1)))))
    assert "test_packing.Leaf; wanted classes listed in kinds, which are test_packing.Tree" in refusal(
        lambda: unpack(path, NETWORK, (Tree,))
    )
    assert unpack(path, NETWORK, (Tree, Leaf)).left.made == 1
