"""What the notebook on anomaly detection asks."""

from torch import Tensor

from apdlab.exercises import Exercise
from apdlab.ood import detection


def _fault_of_scale(scale: float | None, inside: Tensor, outside: Tensor) -> str | None:
    if scale is None:
        return "put a number in place of None"
    dark, bright = (x.abs().flatten(1).mean(1) for x in (inside, float(scale) * outside))
    area = detection(dark, bright)["auroc"].item()
    return None if abs(area - 0.5) <= 0.01 else f"at that scale the mean of |x| has an AUROC of {area:.3f}"


BLIND_BRIGHTNESS = Exercise(
    question=(
        "A detector that only looks at the mean of `|x|` knows nothing of digits. **By which positive number must the "
        "images of `sets['gaussian']` be multiplied for it to be blind**, an AUROC of 1/2 to within .01? The images "
        "inside are `inside.x`."
    ),
    hint="`brightness = lambda x: x.abs().flatten(1).mean(1)`, then `detection(brightness(a), brightness(b))['auroc']`",
    answer=(
        "```python\nfrom scipy.optimize import bisect\n"
        "dark, bright = (x.abs().flatten(1).mean(1) for x in (inside.x, sets['gaussian']))\n"
        "bisect(lambda s: detection(dark, s * bright)['auroc'].item() - 0.5, 0.01, 100)\n```\n"
        "Below that scale the detector prefers the digits, above it the noise, and a little above it finds all of it. "
        "A detector that is compared with the data's own scale on one side only is paid for this, whatever else it "
        "knows; at the scale found here it must know more."
    ),
    fault=_fault_of_scale,
)
