"""How sure a posterior is of a prediction: uncertainties of the moments of its draws.

With ``p_s`` the class probabilities of draw ``s`` and ``p`` their mean, total = aleatoric + epistemic reads
``H[p] = (1/S) sum_s H[p_s] + I``, where the mutual information ``I`` is what the draws disagree on.
"""

from torch import Tensor

from apdlab.moments import Moments, entropy


def predictive_entropy(m: Moments) -> Tensor:
    """Compute the total uncertainty ``H[p]`` of the mean prediction.

    Args:
        m: Moments of the draws.

    Returns:
        Nats, in ``[0, log C]``, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> predictive_entropy(moments(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()))
        tensor([0.6931], dtype=torch.float64)
    """
    return entropy(m.log_mean)


def expected_entropy(m: Moments) -> Tensor:
    """Compute the aleatoric uncertainty ``(1/S) sum_s H[p_s]``: what the draws agree to be unsure of.

    Args:
        m: Moments of the draws.

    Returns:
        Nats, in ``[0, log C]``, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> expected_entropy(moments(torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]).log()))
        tensor([0.6931], dtype=torch.float64)
    """
    return m.expected_entropy


def mutual_information(m: Moments) -> Tensor:
    """Compute the epistemic uncertainty ``I = H[p] - (1/S) sum_s H[p_s]``: what the draws disagree on.

    It is the difference in float64, not clipped: exactly 0 for one draw, and within rounding (about 1e-15, either sign)
    of 0 for draws that agree.

    Source: Houlsby et al. (2011), Bayesian active learning for classification and preference learning,
    https://arxiv.org/abs/1112.5745; Gal, Islam and Ghahramani (2017), https://arxiv.org/abs/1703.02910

    Args:
        m: Moments of the draws.

    Returns:
        Nats, in ``[0, log C]`` but for rounding, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> mutual_information(moments(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()))
        tensor([0.6931], dtype=torch.float64)
    """
    return predictive_entropy(m) - expected_entropy(m)


def variation_ratio(m: Moments) -> Tensor:
    """Compute the share of draws that do not vote for the class of most votes, ``1 - max_k votes_k / S``.

    Source: Freeman (1965), Elementary applied statistics.

    Args:
        m: Moments of the draws.

    Returns:
        Shares in ``[0, 1 - 1/C]``, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> variation_ratio(moments(torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]).log()))
        tensor([0.5000], dtype=torch.float64)
    """
    return 1 - m.votes.amax(-1).double() / m.draws


def model_variance(m: Moments) -> Tensor:
    """Compute the variance of the prediction, ``sum_k Var_s[p_sk] = (1/S) sum_s |p_s|^2 - |p|^2``.

    Source: Feinman et al. (2017), Detecting adversarial samples from artifacts, eq. 6,
    https://arxiv.org/abs/1703.00410

    Args:
        m: Moments of the draws.

    Returns:
        Variances in ``[0, 1 - 1/C]``, exactly 0 for one draw, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> model_variance(moments(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()))
        tensor([0.5000], dtype=torch.float64)
    """
    return m.squares.sum(-1) / m.draws


def max_probability(m: Moments) -> Tensor:
    """Score uncertainty by ``-max_k p_k``: higher is less sure, as with every other score here.

    Source: Hendrycks and Gimpel (2017), A baseline for detecting misclassified and out-of-distribution examples,
    https://arxiv.org/abs/1610.02136

    Args:
        m: Moments of the draws.

    Returns:
        Scores in ``[-1, -1/C]``, ``[N]``.

    Example:
        >>> import torch
        >>> from apdlab.moments import moments
        >>> max_probability(moments(torch.tensor([[[0.75, 0.25]], [[0.25, 0.75]]]).log()))
        tensor([-0.5000], dtype=torch.float64)
    """
    return -m.mean.amax(-1)
