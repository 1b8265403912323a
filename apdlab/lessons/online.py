"""What the notebook on distillation while the chains run asks."""

import math

from apdlab.exercises import Exercise


def _fault_of_length(draws: int | None, held: int, size: int, chains: int) -> str | None:
    if draws is None:
        return "put a number of draws in place of None"
    least = math.ceil(held / (4 * size * chains))
    if draws == least:
        return None
    return "so many stored draws weigh less than what was held" if draws < least else "fewer would do"


WORTH_IT = Exercise(
    question=(
        "Distillation while the chains run pays in memory as soon as the draws, had they been stored, would weigh as "
        "much as everything that it held. **From how many draws of each chain on** is that so, in single precision? "
        "`held` is the most that was held, in bytes; there are `chains` chains of `network.size` weights."
    ),
    hint="A weight has four bytes. Round up.",
    answer=(
        "`math.ceil(held / (4 * network.size * chains))`. It hardly depends on the network: buffer, coordinates and "
        "running mean are each so many networks, `capacity + directions + 2` of them, while coordinates are still "
        "looked for; the pair in training is small beside them. Only a buffer of codes, behind coordinates that "
        "are fixed for good, weighs less."
    ),
    fault=_fault_of_length,
)
