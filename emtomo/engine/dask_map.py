"""The pieces of a map on the workers of a Dask cluster; see :mod:`emtomo.compute.map_reduce`."""

import ctypes
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from emtomo.compute.map_reduce import OnProgress, P, R, reduce_pairwise
from emtomo.engine.cluster import threads_of_worker
from emtomo.errors import EmtomoError

if TYPE_CHECKING:
    from distributed import Client, Future

_AS_WITHOUT_DASK = ((-3, 32 * 2**20), (-1, 64 * 2**20))  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD: where glibc's own end
PER_THREAD = 2  # pieces for every thread of the cluster, so that all end at about the same time


class DaskMapReduce:
    """Carry out maps on a cluster.

    With up to eight threads the pieces, and with them every bit of the result, are those of one machine; with
    more they are divided further, and sums differ by rounding.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: "Client") -> None:
        self.client = client

    def __call__(
        self,
        work: Callable[[Any, P, OnProgress], R],
        shared: Any,
        groups: Sequence[Sequence[P]],
        on_progress: OnProgress,
    ) -> list[R]:
        """See :class:`emtomo.compute.map_reduce.MapReduce`; `on_progress` is called when a piece is done."""
        from distributed import as_completed

        threads = max(1, sum(self.client.nthreads().values()))
        times = max(1, math.ceil(PER_THREAD * threads / max(1, sum(map(len, groups)))))
        remote = self.client.scatter(shared, broadcast=True, hash=False)
        lengths: dict[Any, int] = {}

        def sent(part: P) -> "Future":
            future = self.client.submit(call, work, remote, part, pure=False)
            lengths[future.key] = len(part)
            return future

        started = [[sent(part) for piece in group for part in piece.parts(times)] for group in groups]
        # added up on the workers: of many sums only one travels here
        combine = [reduce_pairwise(group, lambda a, b: self.client.submit(add, a, b, pure=False)) for group in started]
        try:
            for future in as_completed([future for group in started for future in group]):
                if future.status == "error":
                    raise _sentence(future.exception())
                on_progress(lengths[future.key])
            return list(self.client.gather(combine))
        finally:
            for future in [remote, *combine, *(future for group in started for future in group)]:
                future.release()


def call(work: Callable[[Any, P, OnProgress], R], shared: Any, piece: P) -> R:
    """Work on a piece in a worker; several of them run side by side in its threads."""
    from emtomo.compute.device import use_threads
    from emtomo.compute.linear_algebra import one_blas_thread

    keep_memory()
    use_threads(threads_of_worker())
    with one_blas_thread():
        return work(shared, piece, _nobody)


@cache
def keep_memory() -> None:
    """Let this worker's memory allocator (glibc) do as it does without Dask: keep what is soon needed again.

    Dask has its workers give memory back after every array; a third of a refinement's time would be page faults.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in _AS_WITHOUT_DASK:
        tune(parameter, value)


def add(first: R, second: R) -> R:
    """Return what two pieces give together."""
    return first.combine(second)


def _nobody(more: int) -> None:
    """Progress is reported when a piece is done."""


def _sentence(error: BaseException | None) -> BaseException:
    """Return an error that a user can act upon."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return EmtomoError(
            "Several Dask workers ended while they worked on the same particles: their memory may be too small; "
            "give them more of it, or fewer threads."
        )
    return error or EmtomoError("A piece of work on the Dask cluster ended without a result.")
