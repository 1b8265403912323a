"""Laws of reading code: an edit is seen wherever it may matter, moving and commenting is not, and loops end."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from stored_runs import bayes
from torch import nn

from apdlab.networks import mlp
from apdlab.store import fingerprint


def written(source, name="f", **names):
    """What a notebook holds after a cell with this source."""
    namespace = {"__name__": "__main__", "torch": torch, "nn": nn, "F": nn.functional, **names}
    exec(compile(source, "cell", "exec"), namespace)
    return namespace[name]


def module(body="return self.layer(x)", **more):
    source = f"""
class Own(nn.Module):
    scale = {more.get("scale", 2.0)}
    def __init__(self):
        super().__init__()
        self.layer, self.act, self._hidden = nn.Linear(2, 3), self.squash, {more.get("hidden", 5)}
    def squash(self, x):
        return helper(x) * self.scale
    def forward(self, x):
        {body}
def helper(x):
    return x {more.get("sign", "+")} 1
"""
    return written(source, "Own")()


def cell(body, **names):
    return written(f"def f(x, k=1, *, m=2):\n    {body}", **names)


def closing(value):
    def inner(x):
        return x * value

    return inner


def counted(body):
    """A function that reads a helper that calls itself."""
    return written(f"def g(x):\n    return g(x - 1) if x else {body}\ndef f(x):\n    return g(x)")


def library(source):
    """A module of a project, not of an installed library."""
    helpers = ModuleType("helpers")
    exec(source, vars(helpers))
    return helpers


DIFFER = {
    "closed over in a test": (closing(1), closing(2)),
    "closed over in what is closed over": (closing(closing(1)), closing(closing(2))),
    "body": (cell("return x + k"), cell("return x - k")),
    "constant": (cell("return x + 1"), cell("return x + 2")),
    "name that is read": (cell("return F.relu(x)"), cell("return F.gelu(x)")),
    "inner function": (cell("return (lambda y: y + 1)(x)"), cell("return (lambda y: y + 2)(x)")),
    "set in the code": (cell("return x in {1, 2}"), cell("return x in {1, 3}")),
    "default": (written("def f(x, k=1): pass"), written("def f(x, k=2): pass")),
    "default by name": (written("def f(*, k=1): pass"), written("def f(*, k=2): pass")),
    "global number": (cell("return x * c", c=1), cell("return x * c", c=2)),
    "global tensor": (cell("return x * c", c=torch.ones(1)), cell("return x * c", c=torch.zeros(1))),
    "global function": (cell("return c(x)", c=cell("return x")), cell("return c(x)", c=cell("return -x"))),
    "global of an inner function": (cell("return lambda: c", c=1), cell("return lambda: c", c=2)),
    "global network": (cell("return c(x)", c=mlp(2, 3)), cell("return c(x)", c=mlp(2, 4))),
    "recursion": (counted("0"), counted("1")),
    "decorated": [written(f"@torch.no_grad()\ndef f(x):\n    return x + {k}") for k in (1, 2)],
    "decorators": [written(f"@torch.set_grad_enabled({k})\ndef f(x):\n    return x") for k in (True, False)],
    "global of a module": [cell("return h.f(x)", h=library(f"def f(x): return x + {k}")) for k in (1, 2)],
    "number of a module": [cell("return x + h.c", h=library(f"c = {k}")) for k in (1, 2)],
    "forward": (module(), module("return self.layer(-x)")),
    "class constant": (module(), module(scale=3.0)),
    "private setting": (module(), module(hidden=6)),
    "helper of a method": (module(), module(sign="-")),
}  # fmt: skip

SAME = {
    "closures": (closing(torch.ones(2)), closing(torch.ones(2))),
    "lines and comments": (cell("return x"), cell("# more\n\n    return x")),
    "globals that are not read": (cell("return x", c=1), cell("return x", c=2)),
    "attributes named like globals": (cell("return x.c", c=1), cell("return x.c", c=2)),
    "modules": (module(), module()),
    "decorated": (written("@torch.no_grad()\ndef f(x): pass"), written("@torch.no_grad()\ndef f(x): pass")),
    "what else is in a module": [cell("return h.f(x)", h=library(f"def f(x): return x\nc = {k}")) for k in (1, 2)],
    "libraries": (cell("return os.sep", os=os), cell("return os.sep", os=os)),
}  # fmt: skip


@pytest.mark.parametrize("pair", DIFFER.values(), ids=DIFFER)
def test_an_edit_gives_another_fingerprint(pair):
    assert fingerprint(pair[0]) != fingerprint(pair[1])


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_what_does_the_same_has_one_fingerprint(pair):
    assert fingerprint(pair[0]) == fingerprint(pair[1])


def mixed():
    return [bayes(), module(), cell('return x in {"a", "b", "c", "d"}'), counted("1"), closing(closing(1.0))]


def test_another_process_finds_the_same_hash():
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)}
    code = "from test_bytecode import *; print(fingerprint(mixed()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == fingerprint(mixed())


def loop_through_a_closure():
    def f():
        return f

    return f


def loop_of_two():
    def f():
        return g

    def g():
        return f

    return [f, g]


def loop_through_a_module():
    layer = nn.Linear(1, 1)
    layer.hook = layer.extra_repr
    return layer


def loop_through_a_list():
    own = [1]
    own.append(own)
    return own


def not_yet_filled():
    seen = []

    def f():
        return later

    seen.append(fingerprint(f))
    later = 1
    return (seen[0], later)


LOOPS = [loop_through_a_closure, loop_of_two, loop_through_a_module, loop_through_a_list, not_yet_filled, module]


@pytest.mark.parametrize("make", LOOPS)
def test_what_holds_itself_is_read_once(make):
    assert fingerprint(make()) == fingerprint(make())
