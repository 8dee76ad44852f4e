"""Where to compute: threads of this machine, or a CUDA device."""

import os
import re
from typing import Any

from emtomo.errors import EmtomoError

_threads = 0
# what queues tell a job of its cores: SLURM, Grid Engine, PBS
_ALLOTTED = ("SLURM_CPUS_PER_TASK", "NSLOTS", "NCPUS")


def cores() -> int:
    """Return the number of processor cores that this process may use: those allotted to it, inside a job of a queue."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allotted = [
        int(text) for text in (os.environ.get(name, "") for name in _ALLOTTED) if text.isdigit() and int(text) > 0
    ]
    return min(here, *allotted) if allotted else here


def use_threads(threads: int = 0, steps: int = 1) -> int:
    """Set how many threads a computation takes and return the number.

    Parameters
    ----------
    threads : int
        Threads for the whole process; 0 takes all cores.
    steps : int
        Computations that run at the same time; each gets its share.
    """
    import numba

    global _threads
    _threads = max(1, (threads or cores()) // max(1, steps))
    numba.set_num_threads(min(_threads, numba.config.NUMBA_NUM_THREADS))  # of the thread that calls this
    return _threads


def threads() -> int:
    """Return how many threads a computation takes."""
    return _threads or cores()


def cuda_available() -> bool:
    """Return whether a CUDA device (or numba's simulator) can run kernels."""
    try:
        from numba import cuda

        return bool(cuda.is_available())
    except (ImportError, RuntimeError, OSError):
        return False


def check_device(device: str) -> str:
    """Return `device` if it can be used.

    Raises
    ------
    EmtomoError
        If it is neither ``cpu``, ``cuda`` nor ``cuda:N``, or there is no such GPU.
    """
    if device == "cpu":
        return device
    if not isinstance(device, str) or not re.fullmatch(r"cuda(:\d+)?", device):
        raise EmtomoError(f"device must be cpu, cuda or cuda:N, got {device!r}.")
    if not cuda_available():
        raise EmtomoError("A CUDA device was asked for, but none is usable here; choose the device cpu.")
    return device


def select_cuda(device: str) -> Any:
    """Make `device` the current CUDA device and return numba's ``cuda`` module."""
    from numba import cuda

    cuda.select_device(int(device.partition(":")[2] or 0))
    return cuda


def is_simulated() -> bool:
    """Return whether CUDA kernels run in numba's simulator, which takes numpy's arrays."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def device_arrays(device: str) -> Any:
    """Make `device` the current CUDA device and return CuPy, whose arrays kernels take; numpy in the simulator.

    Raises
    ------
    EmtomoError
        If CuPy is not installed.
    """
    number = int(device.partition(":")[2] or 0)
    select_cuda(device)
    if is_simulated():
        import numpy

        return numpy
    try:
        import cupy
    except ImportError:
        raise EmtomoError(
            "This needs CuPy on a GPU: pip install 'emtomo[cuda12]' or 'emtomo[cuda13]', as the driver is."
        ) from None
    cupy.cuda.Device(number).use()
    return cupy
