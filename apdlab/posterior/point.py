"""Point estimates: draws with ``S = 1``, whose mutual information is exactly 0."""

from torch import Tensor

from apdlab.draws import Draws
from apdlab.networks import Network


def point(network: Network, theta: Tensor) -> Draws:
    """View one network as a posterior without spread.

    Args:
        network: The network.
        theta: Its weights ``[D]``.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> len(point(mlp(2, 3), torch.zeros(9)))
        1
    """
    return Draws(network, theta[None])


def mean_of_weights(draws: Draws) -> Draws:
    """Collapse draws to the mean of their weights: ``(1/S) sum_s theta_s``.

    It may keep the accuracy of the draws; it keeps nothing of their disagreement. What a comparison of posteriors
    cannot tell from the real thing by accuracy and NLL, it must tell by mutual information.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> mean_of_weights(Draws(mlp(2, 3), torch.arange(18.0).view(2, 9))).theta[0, :3]
        tensor([4.5000, 5.5000, 6.5000])
    """
    return point(draws.network, draws.theta.mean(0))
