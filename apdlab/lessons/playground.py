"""What the playground asks."""

from apdlab.exercises import Exercise
from apdlab.playground import exact, read
from apdlab.targets import gaussian


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
