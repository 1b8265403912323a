"""Random perturbations of full size: what an attack must be far stronger than."""

import torch
from torch import Tensor

from apdlab.attacks.gradient import refuse
from apdlab.attacks.norms import LINF, Norm


def noise(
    predictor: object,
    x: Tensor,
    y: Tensor,
    *,
    eps: float,
    generator: torch.Generator,
    norm: Norm = LINF,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """Perturb at random by the full size, ``x' = clip(x + eps u)`` with ``|u| = 1``, whatever the predictor.

    Args:
        predictor: Not looked at.
        x: Inputs ``[N, ...]`` inside the box.
        y: Labels ``[N]``, not looked at.
        eps: Size of the perturbation, in units of the data.
        generator: Of ``u``.
        norm: In which it is measured: a random corner for ``LINF``, uniform on the sphere for ``L2``.
        box: Smallest and largest value of the data.

    Returns:
        ``x'``, like ``x``.

    Raises:
        ValueError: If ``eps`` is below 0 or ``x`` is outside the box.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(1, 4), torch.zeros(1).long()
        >>> noise(None, x, y, eps=0.25, generator=torch.Generator().manual_seed(0)).abs()
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    refuse(x, y, eps, box)
    return (x + eps * norm.edge(x, generator)).clamp(*box)
