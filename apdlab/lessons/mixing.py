"""What the notebook on samplers that mix asks."""

from apdlab.exercises import Exercise
from apdlab.samplers import laws


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
        "the friction are. Only less noise buys both, with a larger minibatch; a mass trades one for the other, "
        "layer by layer."
    ),
    fault=_fault_of_step,
)
