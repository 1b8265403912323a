"""Does the ladder of tests see a broken sampler? Each is broken in the ways in which samplers are known to be.

A mutant is a change of one file's text, run in a module of its own. Prints ``mutant``, then the rungs of
``tests/laws.py`` that turn red, of all the checks that name its sampler; ends with 1 if a mutant passes them all.
``--first`` stops at the first red check.
"""

import argparse
import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
laws = importlib.import_module("laws")


class Mutant(NamedTuple):
    """What is wrong, the checks that must see it, the module, and pairs of its text, ``old`` and ``new``."""

    what: str
    seen_by: str
    module: str
    changes: tuple[tuple[str, str], ...]


def _of(seen_by: str, module: str, changes: dict[str, tuple[str, str]]) -> list[Mutant]:
    return [Mutant(f"{seen_by}: {what}", seen_by, module, (pair,)) for what, pair in changes.items()]


_EULER_KICK = "        value, heat = kick(log_posterior, theta, batch, momentum.mul_(beta), h)\n"
_EULER_DRIFT = "        drift(theta, momentum, mass, h)\n"
_KICK = "        value, heat = kick(log_posterior, theta, batch, momentum, h)\n        c = math.exp(-friction * h)\n"
_DRIFT = "        drift(theta, momentum, mass, h / 2)\n"
_SGNHT_KICK = "        value, heat = kick(log_posterior, theta, batch, momentum, h)\n"
_SGNHT_DRIFT = "        theta.add_(momentum, alpha=h / 2)\n"
_SEES = "kinetic(momentum, 1.0)[:, None] - warmth"

MUTANTS = [
    *_of("sgld", "apdlab.samplers.sgld", {
        "a whole gradient for half of it": ("theta, eps / 2)", "theta, eps)"),
        "T for sqrt(T)": ("math.sqrt(eps * warmth)", "math.sqrt(eps) * warmth"),
        "no temperature": ("math.sqrt(eps * warmth)", "math.sqrt(eps)"),
        "the noise of another scale": ("math.sqrt(eps * warmth)", "math.sqrt(2 * eps * warmth)"),
        "downhill for uphill": ("theta, eps / 2)", "theta, -eps / 2)"),
        "the schedule stands still": ("eps_of(t)", "eps_of(0)"),
    }),
    *_of("sgld", "apdlab.density", {
        "missing n": ("self.n / y.shape[1] * self.likelihood", "self.likelihood"),
        "the mean for the sum": ("self.n / y.shape[1]", "1 / y.shape[1]"),
    }),
    *_of("sgld", "apdlab.priors", {
        "prior dropped": ("into.addcmul_(theta, scale, value=-times)", "pass"),
    }),
    *_of("sghmc", "apdlab.samplers.sghmc", {
        "2 T (1 - c) for T (1 - c^2)": ("(1 - c**2) * warmth", "2 * (1 - c) * warmth"),
        "T for sqrt(T)": ("math.sqrt((1 - c**2) * warmth)", "math.sqrt(1 - c**2) * warmth"),
        "friction not rescaled with the step": ("math.exp(-friction * h)", "math.exp(-friction * h_of(0))"),
        "old momentum in the position step": (_KICK + _DRIFT, _DRIFT + _KICK),
        "one half drift dropped": (_DRIFT + "        return", "        return"),
        "half a kick": (_KICK + _DRIFT, _KICK.replace(", h)", ", h / 2)") + _DRIFT),
        "noise without mass": ("sqrt((1 - c**2) * warmth), root)", "sqrt((1 - c**2) * warmth))"),
    }),
    *_of("symplectic_euler", "apdlab.samplers.sghmc", {
        "T (1 - beta^2) for 2 T (1 - beta)": ("2 * (1 - beta) * warmth", "(1 - beta**2) * warmth"),
        "T for sqrt(T)": ("math.sqrt(2 * (1 - beta) * warmth)", "math.sqrt(2 * (1 - beta)) * warmth"),
        "friction not rescaled with the step": ("euler_momentum(friction, h)", "euler_momentum(friction, h_of(0))"),
        "missing n in from_wenzel": ("h = math.sqrt(lr / n)", "h = math.sqrt(lr)"),
        "lr for h in from_wenzel": ("h = math.sqrt(lr / n)", "h = lr / n"),
        "noise without mass": ("sqrt(2 * (1 - beta) * warmth), root)", "sqrt(2 * (1 - beta) * warmth))"),
    }),
    Mutant("symplectic_euler: old momentum in the position step", "symplectic_euler", "apdlab.samplers.sghmc",
           ((_EULER_DRIFT, ""), (_EULER_KICK, _EULER_DRIFT + _EULER_KICK))),
    *_of("psgld", "apdlab.samplers.psgld", {
        "noise of G for sqrt(G)": ("gain.sqrt()", "gain"),
        "T for sqrt(T)": ("math.sqrt(eps * warmth)", "math.sqrt(eps) * warmth"),
        "noise without G": (", gain.sqrt())", ")"),
        "drift without G": ("theta.addcmul_(gain, grad", "theta.addcmul_(gain**0, grad"),
        "V never frozen": ("if t < adapt", "if True"),
        "V of the gradient, not its square": ("grad.square()", "grad.abs()"),
    }),
    *_of("sgnht", "apdlab.samplers.sgnht", {
        "the norm for its square": (_SEES, "momentum.norm(dim=1, keepdim=True) / momentum.shape[1] - warmth"),
        "the thermostat at temperature 1": (_SEES, _SEES.replace("warmth", "1.0")),
        "a thermostat that heats": ("xi.add_(", "xi.sub_("),
        "the friction for the thermostat": ("(-h * xi).exp()", "math.exp(-h * friction)"),
        "noise of the thermostat": ("warmth * friction * _heard", "warmth * xi * _heard"),
        "T for sqrt(T)": ("(warmth * friction * _heard(xi, h)).sqrt", "warmth * (friction * _heard(xi, h)).sqrt"),
        "old momentum in the position step": (_SGNHT_KICK + _SGNHT_DRIFT, _SGNHT_DRIFT + _SGNHT_KICK),
        "2 A h for (1 - c^2) A / xi": ("_heard(xi, h)).sqrt", "(2 * h + 0 * xi)).sqrt"),
    }),
    *_of("hmc", "apdlab.samplers.hmc", {
        "every move accepted": ("chance < acceptance", "chance < 2"),
        "accepted at temperature 1": ("(gain / temperature).exp()", "gain.exp()"),
        "energy without momenta": (" - (last.square() - momentum.square()).sum(-1) / 2", ""),
        "whole kicks for half": ("momentum + h / 2 * grad", "momentum + h * grad"),
        "momenta at temperature 1": ("thrown(momentum, 1.0, temperature", "thrown(momentum, 1.0, 1.0"),
        "T for sqrt(T)": ("thrown(momentum, 1.0, temperature", "thrown(momentum, 1.0, temperature**2"),
        "momenta never thrown again": ("        thrown(momentum", "        t or thrown(momentum"),
    }),
    *_of("with_mass", "apdlab.samplers.precondition", {
        "momenta by the mass, not its root": ("(new / old) ** 0.5", "(new / old)"),
        "momenta not rescaled": ("(new / old) ** 0.5", "(new / new)"),
        "momenta the other way": ("(new / old) ** 0.5", "(old / new) ** 0.5"),
    }),
    *_of("layerwise_mass", "apdlab.samplers.precondition", {
        "no root": (".add(1e-7).sqrt()", ".add(1e-7)"),
        "missing n": (" / log_posterior.n", ""),
        "the mean gradient for its square": ("[1] / log_posterior.n).square()", "[1] / log_posterior.n).abs()"),
    }),
]  # fmt: skip


def broken(mutant: Mutant) -> types.SimpleNamespace:
    """Give the names that checks use, those of the mutated module among them.

    Raises:
        ValueError: If the text that is to be changed is not in the source.
    """
    path = Path(sys.modules[mutant.module].__file__)
    source = path.read_text("utf-8")
    for old, new in mutant.changes:
        if old not in source:
            raise ValueError(f"{mutant.what}: {old.strip()!r} is not in {path.name}; wanted its present text")
        source = source.replace(old, new)
    module = types.ModuleType(mutant.module)
    exec(compile("import math\n" + source, f"mutant of {path.name}", "exec", dont_inherit=True), vars(module))
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == mutant.module}
    return types.SimpleNamespace(**(vars(laws.NAMES) | own))


def red(mutant: Mutant) -> Iterator[str]:
    """Name the checks that a mutant fails, one after the other."""
    names = broken(mutant)
    for check, call in laws.CHECKS.items():
        if check.split()[1].strip(",") != mutant.seen_by:
            continue
        try:
            call(names, 0)
        except AssertionError:
            yield check


def main() -> int:
    """Print a line a mutant."""
    parser = argparse.ArgumentParser(description="Does the ladder of tests see a broken sampler?")
    parser.add_argument("--first", action="store_true", help="stop at the first red check of each")
    first = parser.parse_args().first
    passed = 0
    for mutant in MUTANTS:
        checks = [next(red(mutant), "")] if first else list(red(mutant))
        rungs = sorted({check[:1] for check in checks} - {""})
        print(f"{mutant.what}\t{' '.join(rungs) or 'passed'}", flush=True)
        passed += not rungs
    print(f"# {len(MUTANTS)} mutants, {passed} passed")
    return int(passed > 0)


if __name__ == "__main__":
    sys.exit(main())
