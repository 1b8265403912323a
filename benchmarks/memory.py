"""By how much does a call raise the peak of its process's memory? To be asked in a fresh one, see ``alone``."""

import ctypes
import gc
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

UNIT = 1 if sys.platform == "darwin" else 2**10  # bytes that ru_maxrss counts in


def highest() -> float:
    """Give the peak of this process so far, in MiB."""
    if sys.platform == "linux":  # where ru_maxrss begins with the peak of the process that started this one
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 2**10
    import resource  # which Windows lacks

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 2**20


def raised(call: Callable[[], object], device: str = "cpu") -> float:
    """Measure by how many MiB a call raises the peak, of the process or of the device.

    On Linux what was freed is handed back first, and the peak forgotten: both would hide a smaller one.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    gc.collect()
    if sys.platform == "linux":
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    before = highest()
    call()
    return highest() - before


def alone(call: Callable, *given: Any) -> Any:
    """Call a function in a fresh process, which has no memory but its own."""
    with get_context("spawn").Pool(1) as fresh:
        return fresh.apply(call, given)


def here(call: Callable, *given: Any) -> Any:
    """Call a function in this process, in the place of ``alone`` where a toy is to be quick."""
    return call(*given)
