"""What the notebooks ask, with hints, answers and checks."""

import math
import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from apdlab.exercises import Exercise
from apdlab.metrics import expected_entropy, mutual_information, risk_coverage
from apdlab.moments import Moments
from apdlab.playground import exact, read
from apdlab.samplers import laws
from apdlab.targets import gaussian


def _most_ambiguous(m: Moments) -> int:
    agreed = mutual_information(m) <= mutual_information(m).median()
    return int(torch.where(agreed, expected_entropy(m), -torch.inf).argmax())


def _fault(number: int | None, m: Moments) -> str | None:
    if number is None:
        return "put the number of the digit in place of None"
    if not mutual_information(m)[number] <= mutual_information(m).median():
        return "on that digit the draws disagree more than on most: look among those with less mutual information"
    if number != _most_ambiguous(m):
        return "the draws agree on that digit, but there is one of which they are less sure"
    return None


AGREED_DOUBT = Exercise(
    question=(
        "Two kinds of doubt: of the half of the test digits with the **smallest mutual information** (the draws "
        "agree), find the one with the **largest expected entropy** (each draw is unsure for itself). "
        "`m_sgld` holds the moments; `mutual_information` and `expected_entropy` read them."
    ),
    hint="`mi <= mi.median()` selects the half, `torch.where(selected, entropy, -torch.inf).argmax()` its largest.",
    answer=(
        "```python\nmi, aleatoric = mutual_information(m_sgld), expected_entropy(m_sgld)\n"
        "int(torch.where(mi <= mi.median(), aleatoric, -torch.inf).argmax())\n```\n"
        "No further draw would settle this digit: every network of the posterior sees the same two readings in it. "
        "A label would teach little; active learning by mutual information passes it by."
    ),
    fault=_fault,
)


_MEASURES = ("accuracy", "nll", "brier", "ece", "mutual_information")


def _sight(measure: str, rows: Sequence[dict]) -> float:
    """How many standard deviations, over repeats of SGLD, the mean of the weights is off."""
    sgld, mean = ([row[measure] for row in rows if row["method"] == method] for method in ("sgld", "mean"))
    gap = abs(statistics.fmean(mean) - statistics.fmean(sgld))
    return gap / spread if (spread := statistics.stdev(sgld)) else math.inf if gap else 0.0


def _fault_of_measure(measure: str | None, rows: Sequence[dict]) -> str | None:
    if measure is None:
        return "put the name of a column in place of None"
    if measure not in _MEASURES:
        return f"that is none of {', '.join(_MEASURES)}"
    best = min(_MEASURES, key=lambda other: _sight(other, rows))
    return None if measure == best else "there is a measure that sees even less: gap over standard deviation"


BLIND_MEASURE = Exercise(
    question=(
        "A posterior that has collapsed to the mean of its weights knows nothing of its own doubt. **Which measure is "
        "blindest to that**: of `accuracy`, `nll`, `brier`, `ece` and `mutual_information`, on which is `mean` nearest "
        "to `sgld`, in standard deviations over the repeats of `sgld` (all networks together)? `table` holds the rows."
    ),
    hint="`frame = pd.DataFrame(table)`; then `frame[frame.method == 'sgld'][measure]` has a mean and a `std()`.",
    answer=(
        "```python\nby = pd.DataFrame(table).groupby('method')[list_of_measures]\n"
        "((by.mean().loc['mean'] - by.mean().loc['sgld']).abs() / by.std().loc['sgld']).idxmin()\n```\n"
        "What can only be seen with the labels of a thousand test images hides a collapse in the noise between "
        "repeats. Mutual information needs no labels, and is exactly 0 for a single network."
    ),
    fault=_fault_of_measure,
)


def _largest_share(doubt: Tensor, right: Tensor) -> float:
    coverage, risk = risk_coverage(doubt, right)
    return max((c for c, r in zip(coverage.tolist(), risk.tolist(), strict=True) if r <= risk[-1] / 2), default=0.0)


def _fault_of_share(share: float | None, doubt: Tensor, right: Tensor) -> str | None:
    if share is None:
        return "put a share between 0 and 1 in place of None"
    best = _largest_share(doubt, right)
    if abs(share - best) <= 0.005:
        return None
    return "more can be answered" if share < best else "with that many answered, more than half of the error is left"


ANSWERED_SHARE = Exercise(
    question=(
        "Answer the test inputs in the order of growing doubt, and stop. **What is the largest share that can be "
        "answered with at most half the error rate of answering all?** `doubt` holds the mutual information of each "
        "test input, `right` whether the draws together predicted its label. To within half a percent."
    ),
    hint="`from apdlab.metrics import risk_coverage`: it gives share and error rate at every threshold.",
    answer=(
        "```python\nfrom apdlab.metrics import risk_coverage\ncurve = risk_coverage(doubt, right)\n"
        "curve.coverage[curve.risk <= curve.risk[-1] / 2].max().item()\n```\n"
        "Found on the test labels, this share is a little too good to be true. To use a threshold, choose it on the "
        "validation part and report on the test part what it does there."
    ),
    fault=_fault_of_share,
)


def _fault_of_state(state: str | None) -> str | None:
    if state is None:
        return "put a string in place of None, e.g. the one below the picture"
    settings = read(state)
    if (settings.target, settings.sampler) != ("gaussian", "sgld"):
        return f"that is {settings.sampler} on {settings.target}; the question is of sgld on gaussian"
    if (settings.noise, settings.temperature) != (0, 1):
        return "the gradient has noise or the temperature is not 1: leave both, only the step may be to blame"
    ratio = float(exact(settings, gaussian()).variance[0])
    return None if 1.2 <= ratio <= 1.3 else f"there the variance of weight 1 is {ratio:.3f} of the posterior's"


WIDER_BY_A_QUARTER = Exercise(
    question=(
        "SGLD widens what it draws by its step alone. **Find the state** of `sgld` on `gaussian`, with noise 0 and "
        "temperature 1, whose draws of weight 1 have 1.2 to 1.3 times the posterior's variance. "
        "Give the string below the picture."
    ),
    hint=(
        "In a direction of precision $k$ the variance is $1/(k(1 - h^2k/4))$. Here the directions have "
        "$k = 1/1.8$ and $k = 1/0.2$: which of them suffers first?"
    ),
    answer=(
        "```python\n[h for h in np.arange(0.05, 0.9, 0.01) if 1.2 <= float(exact(Settings(sampler='sgld', "
        "step_size=h), gaussian()).variance[0]) <= 1.3]\n```\n"
        "Steps from 0.69 to 0.74 do: the narrow direction, $k = 5$, is by then two to three times too wide, and at "
        "$h = 2/\\sqrt5 = 0.89$ it has no law at all. The other one is off by 8 % at most. A single step size is a "
        "compromise between a posterior's narrowest and widest directions, and a network has thousands of both."
    ),
    fault=_fault_of_state,
)


def _fault_of_step(step_size: float | None, friction: float, precision: float, noise: float) -> str | None:
    if step_size is None:
        return "put a step size in place of None"
    heat = precision * laws.sghmc(float(step_size), friction, precision, gradient_noise=noise).variance - 1
    return None if abs(heat - 0.05) <= 0.001 else f"with that step weights are {100 * heat:.1f} % too hot"


HOT_BY_A_TWENTIETH = Exercise(
    question=(
        "**Which step size `h` makes the weights 5 % too hot**, by the law of SGHMC (BAOAB) in directions that only "
        "the prior holds? The friction and the precision are those above; `calmer` is the measured variance of a "
        "coordinate of the gradient. To within a tenth of a percent of the temperature."
    ),
    hint="`laws.sghmc(h, friction, p.precision, gradient_noise=calmer).variance * p.precision` is that temperature.",
    answer=(
        "```python\nfrom scipy.optimize import brentq\nk = p.precision\n"
        "brentq(lambda h: laws.sghmc(h, friction, k, gradient_noise=calmer).variance * k - 1.05, 1e-9, 1.99 / k**0.5)"
        "\n```\n"
        "While `friction * h` is small the excess is `h * noise / (2 * friction)`, and a direction of the prior needs "
        "`friction / (precision * h)` steps to forget: their product is `noise / (2 * precision)`, whatever `h` and "
        "the friction are. Only less noise buys both: a larger minibatch, or a mass where the gradients are large."
    ),
    fault=_fault_of_step,
)


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
