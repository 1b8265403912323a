"""What the notebook on cold posteriors asks."""

from collections.abc import Sequence

from apdlab.exercises import Exercise


def _fault_of_temperature(temperature: float | None, checks: Sequence[dict]) -> str | None:
    if temperature is None:
        return "put a temperature in place of None"
    coldest = min((row for row in checks if row["condition"] == "minibatches"), key=lambda row: row["temperature"])
    real = coldest["temperature"] * coldest["kinetic"]
    if abs(temperature - real) <= 0.02 * real:
        return None
    if abs(temperature - coldest["kinetic"]) <= 0.02 * coldest["kinetic"]:
        return "that is the share of the temperature asked for: multiply"
    return "it is too warm" if temperature > real else "it is too cold"


REAL_TEMPERATURE = Exercise(
    question=(
        "The coldest run with `minibatches` was asked to be at the smallest temperature of `few`. **At which "
        "temperature were its momenta?** To within two percent. `checks` holds the diagnostics of every run."
    ),
    hint="`diagnostics.loc['minibatches'].kinetic`: is that a temperature, or a share of one?",
    answer=(
        "```python\nkinetic = diagnostics.loc['minibatches'].kinetic\n"
        "float(kinetic.index.min() * kinetic[kinetic.index.min()])\n```\n"
        "The noise of minibatches heats by an amount that does not fall with $T$, so the colder a chain is meant to "
        "be, the further it is from that. A curve over *asked* temperatures that is flat on its cold side may be "
        "a curve over one and the same real temperature."
    ),
    fault=_fault_of_temperature,
)
