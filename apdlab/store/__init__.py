"""Results that survive a power cut and are found again by the hash of what made them."""

from pathlib import Path

import torch

from apdlab.draws import Posterior
from apdlab.files import write_whole
from apdlab.networks import Network
from apdlab.store.fingerprint import describe, fingerprint
from apdlab.store.folder import KINDS, Store
from apdlab.store.packing import pack, unpack

__all__ = ["KINDS", "Store", "describe", "fingerprint", "load", "pack", "save", "unpack"]


def save(posterior: Posterior, path: str | Path) -> None:
    """Write a posterior as one safetensors file, without its network.

    Args:
        posterior: A frozen dataclass of tensors, as every posterior here is.
        path: The file, e.g. ``Path("apd.safetensors")``.

    Raises:
        ValueError: If it holds what cannot be stored: names the place.

    Example:
        >>> import tempfile
        >>> from apdlab.draws import Draws
        >>> from apdlab.networks import mlp
        >>> path = Path(tempfile.mkdtemp()) / "draws.safetensors"
        >>> save(Draws(mlp(2, 3), torch.zeros(10, 9)), path)
        >>> len(load(path, mlp(2, 3)))
        10
    """
    write_whole(Path(path), pack(posterior))


def load(
    path: str | Path, network: Network, *, kinds: tuple[type, ...] = KINDS, device: torch.device | str = "cpu"
) -> Posterior:
    """Open a posterior that ``save`` wrote; on the CPU it is memory-mapped.

    Args:
        path: The file.
        network: A network of the same architecture; its weights do not matter.
        kinds: The classes that may be made again: those of the package, and yours beside them.
        device: Where its tensors shall be.

    Raises:
        ValueError: In one line that names the file, if it is missing, damaged, of another program or version, or
            belongs to another network.
    """
    return unpack(Path(path), network, kinds, device)
