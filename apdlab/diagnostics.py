"""Have the chains mixed, and how many independent draws are they worth: R-hat and ESS of many quantities at once.

Definitions follow Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and
localization: an improved R-hat for assessing convergence of MCMC, https://arxiv.org/abs/1903.08008.
Every function takes ``values [C, T, ...]`` (chains, draws, quantities), cuts each chain in two halves, and answers
``[...]`` in float64.

A quantity that never moves has nothing to diagnose: it gets NaN, not the ESS of independent draws.
"""

import math
from collections.abc import Callable

import torch
from scipy.fft import next_fast_len
from torch import Tensor

CHUNK = 2**19  # values worked on at a time: temporaries stay near 200 MB, however many quantities there are


def r_hat(values: Tensor) -> Tensor:
    """Compute rank-normalised split R-hat, the larger of that of location (bulk) and that of scale (folded).

    ``R-hat = sqrt((n - 1) / n + Var[chain means] / mean[chain variances])`` of the normal scores of the ranks, where
    ``n`` is half a chain. Below 1.01 the chains look alike; a single chain is judged by its halves.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``.

    Returns:
        R-hat of each quantity, ``[...]``; NaN for a constant, and infinite or huge for chains that are frozen apart.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> bool((r_hat(draws) < 1.01).all()), bool((r_hat(draws + torch.arange(4)[:, None, None]) > 1.1).all())
        (True, True)
    """
    return _each(_r_hat, values)


def ess_bulk(values: Tensor) -> Tensor:
    """Compute the bulk effective sample size: that of the normal scores of the ranks.

    ``ESS = C T / tau``, with ``tau = 1 + 2 sum_t rho_t`` cut by Geyer's initial monotone sequence and at least
    ``1 / log10(C T)``, so that antithetic chains may be worth more than their length.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``.

    Returns:
        Effective draws of each quantity, ``[...]``; NaN for a constant.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> bool((ess_bulk(draws) > 1500).all()), bool((ess_bulk(draws.cumsum(1)) < 40).all())
        (True, True)
    """
    return _each(lambda chunk: _ess(_normal_scores(_split(chunk))), values)


def ess_tail(values: Tensor) -> Tensor:
    """Compute the tail effective sample size: the smaller one of the indicators of the 5% and the 95% quantile.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``.

    Returns:
        Effective draws of each quantity, ``[...]``; NaN for a constant.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> bool((ess_tail(draws) > 1000).all())
        True
    """
    return _each(_ess_tail, values)


def ess_mean(values: Tensor) -> Tensor:
    """Compute the effective sample size for the mean: of the values themselves, without ranks.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``; the variance should be finite.

    Returns:
        Effective draws of each quantity, ``[...]``; NaN for a constant.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> bool((ess_mean(draws) > 1500).all())
        True
    """
    return _each(lambda chunk: _ess(_split(chunk)), values)


def mcse_mean(values: Tensor) -> Tensor:
    """Compute the Monte Carlo standard error of the mean, ``sd / sqrt(ess_mean)``.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``; the variance should be finite.

    Returns:
        Standard errors in the units of the values, ``[...]``; NaN for a constant.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> bool((mcse_mean(draws) < 1.2 / 2000**0.5).all())
        True
    """
    return _each(lambda chunk: chunk.flatten(1).std(-1) / _ess(_split(chunk)).sqrt(), values)


def summary(values: Tensor, name: str) -> dict[str, str | int | float]:
    """Sum up R-hat and bulk ESS over all quantities: one row of a table.

    Args:
        values: Draws of each quantity, ``[C, T, ...]``.
        name: What they are, e.g. ``"weights"``.

    Returns:
        ``name``, how many ``quantities`` and how many of them ``constant`` (left out of the rest; NaN if all are), and
        ``r_hat_median``, ``r_hat_90``, ``r_hat_max``, ``ess_bulk_median``, ``ess_bulk_min``.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, no values, or values that are not finite.

    Example:
        >>> import torch
        >>> draws = torch.randn(4, 500, 3, generator=torch.Generator().manual_seed(0))
        >>> row = summary(draws, "weights")
        >>> row["quantities"], row["constant"], row["r_hat_max"] < 1.01
        (3, 0, True)
    """
    scale, size = r_hat(values).flatten(), ess_bulk(values).flatten()

    def at(statistic: Tensor, level: float) -> float:
        # An observed value, as R-hat may be infinite and then cannot be interpolated.
        return statistic.nanquantile(level, interpolation="nearest").item()

    return {
        "name": name,
        "quantities": len(scale),
        "constant": int(scale.isnan().sum()),
        "r_hat_median": at(scale, 0.5),
        "r_hat_90": at(scale, 0.9),
        "r_hat_max": at(scale, 1.0),
        "ess_bulk_median": at(size, 0.5),
        "ess_bulk_min": at(size, 0.0),
    }


def walk_correlation(components: Tensor) -> Tensor:
    """Correlate principal components with the cosines of time that a random walk has: ``|cor(y_m, cos pi m t)|``.

    Near 1 the chain only walks, and the few directions its draws lie in are a mark of its length (Antognini and
    Sohl-Dickstein, 2018, PCA of high dimensional random walks, https://arxiv.org/abs/1806.08805).

    Args:
        components: Along each chain, leading one first, ``[C, T, k]``.

    Returns:
        ``[C, k]``, 0 to 1.

    Example:
        >>> import torch
        >>> walk_correlation(torch.cos(torch.pi * (torch.arange(100) + 0.5) / 100)[None, :, None])
        tensor([[1.0000]], dtype=torch.float64)
    """
    _, length, k = components.shape
    time = (torch.arange(length, device=components.device, dtype=torch.float64) + 0.5) / length
    waves = torch.cos(math.pi * torch.arange(1, k + 1, device=time.device) * time[:, None])
    centred = components.double() - components.double().mean(1, keepdim=True)
    return ((centred * waves).sum(1) / (centred.norm(dim=1) * waves.norm(dim=0))).abs()


def _each(statistic: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a statistic of ``[Q, C, T]`` to chunks of the quantities of ``[C, T, ...]``."""
    if values.ndim < 2 or values.numel() == 0:
        raise ValueError(
            f"values has shape {tuple(values.shape)}; wanted [C, T, ...], none of them 0; one chain is [1, T]"
        )
    if values.shape[1] < 4:
        raise ValueError(
            f"values has {values.shape[1]} draws a chain; wanted 4 or more on axis 1; run longer or thin less"
        )
    chains, draws, *shape = values.shape
    chunks = values.reshape(chains, draws, -1).split(max(1, CHUNK // (chains * draws)), dim=-1)
    return torch.cat([_or_nan(statistic, chunk.permute(2, 0, 1).double().contiguous()) for chunk in chunks]).view(shape)


def _or_nan(statistic: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    low, high = values.flatten(1).aminmax(dim=-1)
    if not (low.isfinite() & high.isfinite()).all():
        raise ValueError("values holds NaN or infinity; wanted finite draws; drop the chains that diverged")
    return statistic(values).where(low < high, math.nan)


def _split(values: Tensor) -> Tensor:
    """Cut ``[Q, C, T]`` into first and last halves, ``[Q, 2 C, T // 2]``; the middle of an odd chain is left out."""
    half = values.shape[-1] // 2
    return torch.cat([values[..., :half], values[..., -half:]], dim=1)


def _normal_scores(values: Tensor) -> Tensor:
    """Replace values by the normal quantiles of their ranks over all chains; equal values share their mean rank."""
    ordered, order = values.flatten(1).sort(-1)
    size = ordered.shape[-1]
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = is_new.flatten().nonzero().squeeze(1)
    ties = is_new.flatten().cumsum(0) - 1  # one number for each run of equal values
    rank = first % size + (ties.bincount().double() + 1) / 2
    scores = torch.special.ndtri((rank - 3 / 8) / (size + 1 / 4))[ties].view_as(ordered)
    return torch.empty_like(scores).scatter_(-1, order, scores).view_as(values)


def _r_hat(values: Tensor) -> Tensor:
    halves = _split(values)
    flat = halves.flatten(1)
    median = (flat.median(-1).values - (-flat).median(-1).values) / 2  # of the two middle ones: their number is even
    folded = (halves - median[:, None, None]).abs()
    return torch.fmax(_plain_r_hat(_normal_scores(halves)), _plain_r_hat(_normal_scores(folded)))


def _plain_r_hat(values: Tensor) -> Tensor:
    draws = values.shape[-1]
    return ((draws - 1) / draws + values.mean(-1).var(-1) / values.var(-1).mean(-1)).sqrt()


def _ess_tail(values: Tensor) -> Tensor:
    ordered = values.flatten(1).sort(-1).values
    sizes = [_ess(_split((values <= _quantile(ordered, level)[:, None, None]).double())) for level in (0.05, 0.95)]
    return torch.minimum(*sizes)


def _quantile(ordered: Tensor, level: float) -> Tensor:
    """Interpolate between the order statistics ``[Q, N]`` (type 7 of R).

    The order of the sums is ArviZ's: on a draw or among equal draws, rounding decides which of them are in the tail.
    """
    position = ordered.shape[-1] * level + (1 - level) - 1
    index = math.floor(position)
    weight = position - index
    return (1 - weight) * ordered[:, index] + weight * ordered[:, index + 1]


def _ess(values: Tensor) -> Tensor:
    chains, draws = values.shape[1:]
    covariance = _autocovariance(values)
    within = covariance[:, :1] * draws / (draws - 1)
    total = covariance[:, :1] + values.mean(-1).var(-1, keepdim=True)
    rho = 1 - (within - covariance) / total
    rho[:, 0] = 1
    size = chains * draws
    time = _autocorrelation_time(rho).clamp(min=1 / math.log10(size))
    low, high = values.flatten(1).aminmax(dim=-1)
    return (size / time).where(low < high, size)  # an indicator can be constant where its quantity is not


def _autocovariance(values: Tensor) -> Tensor:
    """Average over chains the autocovariance ``[Q, T]`` of ``[Q, C, T]`` at each lag, divided by ``T``."""
    draws = values.shape[-1]
    length = next_fast_len(2 * draws, real=True)
    spectrum = torch.fft.rfft(values - values.mean(-1, keepdim=True), n=length)
    power = torch.view_as_real(spectrum).square().sum(-1).mean(1)
    return torch.fft.irfft(power, n=length)[:, :draws] / draws


def _autocorrelation_time(rho: Tensor) -> Tensor:
    """Sum autocorrelations ``[Q, T]`` by Geyer's initial monotone sequence, ``tau = 1 + 2 sum_t rho_t``.

    Pairs of an even and the next odd lag are summed while positive, none larger than those before it. The even half of
    the pair that ends the sequence counts once, unless it is negative.
    """
    last = max(0, (rho.shape[1] - 3) // 2)
    pairs = rho[:, : 2 * last + 2].unflatten(1, (-1, 2))
    sums = pairs.sum(-1)
    positive = (sums[:, :last] > 0).cumprod(-1)
    end = positive.sum(-1, keepdim=True)
    even, total = (side.gather(1, end).squeeze(1) for side in (pairs[..., 0], sums))
    return 2 * (sums.cummin(-1).values[:, :last] * positive).sum(-1) - 1 + even.where((even > 0) | (total >= 0), 0)
