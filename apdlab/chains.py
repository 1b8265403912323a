"""Markov chains of weights: ordered, correlated, what diagnostics read before anyone calls them draws."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from apdlab.draws import Draws
from apdlab.networks import Network
from apdlab.types import is_count, refuse_module


@dataclass(frozen=True)
class Chains:
    """Holds the kept states of ``C`` chains, ``T`` each.

    Attributes:
        network: The network that the weights belong to.
        theta: Weights ``[C, T, D]``.
        steps: After which step each state was kept, ``[T]``.
        log_posterior: The sampler's (minibatch) log posterior just before those steps, ``[C, T]``.
        measures: What else the sampler saw then, e.g. its temperatures, each ``[C, T]``, under its name in ``Info``.

    Raises:
        ValueError: If the shapes do not fit together or to the network.

    Example:
        >>> import torch
        >>> from apdlab.networks import mlp
        >>> chains = Chains(mlp(2, 3), torch.zeros(4, 100, 9), torch.arange(100), torch.zeros(4, 100))
        >>> early, late = chains.split(0.75)
        >>> early.theta.shape, late.theta.shape, len(chains.thin(50))
        (torch.Size([4, 75, 9]), torch.Size([4, 25, 9]), 50)
    """

    network: Network
    theta: Tensor
    steps: Tensor
    log_posterior: Tensor
    measures: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_module(self.network)
        lead, size = self.theta.shape[:2], self.network.size
        if self.theta.ndim != 3 or self.theta.shape[-1] != size or 0 in lead:
            raise ValueError(f"theta has shape {tuple(self.theta.shape)}; wanted [C, T, {size}], C and T 1 or more")
        if self.steps.shape != lead[1:]:
            raise ValueError(f"steps has shape {tuple(self.steps.shape)}; wanted {tuple(lead[1:])}, one number a state")
        for name, values in {"log_posterior": self.log_posterior, **self.measures}.items():
            if values.shape != lead:
                raise ValueError(f"{name} has shape {tuple(values.shape)}; wanted {tuple(lead)}")

    def __len__(self) -> int:
        return len(self.theta)

    def __iter__(self) -> Iterator["Chains"]:
        """Walk through the chains, one at a time."""
        return (self[c : c + 1] for c in range(len(self)))

    def __getitem__(self, chains: slice | list[int]) -> "Chains":
        """Select whole chains."""
        measures = {name: values[chains] for name, values in self.measures.items()}
        return replace(self, theta=self.theta[chains], log_posterior=self.log_posterior[chains], measures=measures)

    def split(self, fraction: float) -> tuple["Chains", "Chains"]:
        """Cut every chain in an early and a late block, the early one with this fraction of the kept states.

        A contiguous block held out is a test; every fifth draw would only test interpolation.

        Raises:
            ValueError: If a block would be empty.
        """
        kept = self.theta.shape[1]
        cut = round(fraction * kept) if 0 < fraction < 1 else 0
        if not 0 < cut < kept:
            raise ValueError(f"fraction is {fraction} of {kept} states; wanted one that leaves a state on each side")
        return self._between(slice(0, cut)), self._between(slice(cut, None))

    def hold_out(self, every: int) -> tuple["Chains", "Chains"]:
        """Take every ``every``-th state out: the others, and those.

        States held out between those that stay test interpolation only, of a chain that has not mixed; :meth:`split`
        cuts off a block.

        Raises:
            ValueError: If a part would be empty.
        """
        kept = self.theta.shape[1]
        if not is_count(every, kept) or every == 1:
            raise ValueError(f"every is {every} of {kept} states; wanted 2 to {kept}, so that some stay and some go")
        out = torch.arange(kept, device=self.theta.device) % every == every // 2
        return self._between(~out), self._between(out)

    def thin(self, n: int | None = None) -> Draws:
        """Forget chain and order: ``n`` draws evenly spaced over all chains, or all of them.

        Raises:
            ValueError: If fewer than ``n`` states were kept.
        """
        pooled = Draws(self.network, self.theta.flatten(0, 1))
        return pooled if n is None else pooled.thin(n)

    def _between(self, times: slice | Tensor) -> "Chains":
        steps = self.steps[times.to(self.steps.device) if isinstance(times, Tensor) else times]
        measures = {name: values[:, times] for name, values in self.measures.items()}
        return Chains(self.network, self.theta[:, times], steps, self.log_posterior[:, times], measures)
