"""The pieces of a map on the workers of a Dask cluster; see :mod:`emtomo.compute.spread`."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from emtomo.compute.spread import P, R, Told
from emtomo.engine.cluster import threads_of_worker
from emtomo.errors import EmtomoError

if TYPE_CHECKING:
    from distributed import Client, Future

PER_THREAD = 2  # pieces for every thread of the cluster, so that all end at about the same time


class DaskSpread:
    """Carry out maps on a cluster.

    With up to eight threads the pieces, and with them every bit of the result, are those of one machine; with
    more they are divided further, and sums differ by rounding.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: "Client") -> None:
        self.client = client

    def __call__(self, work: Callable[[Any, P, Told], R], shared: Any, pieces: Sequence[P], told: Told) -> list[R]:
        """See :class:`emtomo.compute.spread.Spread`; `told` is called when a piece is done."""
        from distributed import as_completed

        threads = max(1, sum(self.client.nthreads().values()))
        times = max(1, math.ceil(PER_THREAD * threads / max(1, len(pieces))))
        remote = self.client.scatter(shared, broadcast=True, hash=False)
        groups: list[list[Future]] = []
        lengths: dict[Any, int] = {}
        for piece in pieces:
            parts = piece.parts(times)
            group = [self.client.submit(call, work, remote, part, pure=False) for part in parts]
            lengths |= {future.key: len(part) for future, part in zip(group, parts, strict=True)}
            groups.append(group)
        try:
            for future in as_completed([future for group in groups for future in group]):
                if future.status == "error":
                    raise _sentence(future.exception())
                told(lengths[future.key])
            return list(self.client.gather([self._joined(group) for group in groups]))
        finally:
            for future in [remote, *(future for group in groups for future in group)]:
                future.release()

    def _joined(self, group: list["Future"]) -> "Future":
        """Return what the parts of a piece give together, added in pairs on the workers, always in the same order."""
        while len(group) > 1:
            pairs = [group[k : k + 2] for k in range(0, len(group), 2)]
            group = [self.client.submit(add, *pair, pure=False) if len(pair) == 2 else pair[0] for pair in pairs]
        return group[0]


def call(work: Callable[[Any, P, Told], R], shared: Any, piece: P) -> R:
    """Work on a piece in a worker; several of them run side by side in its threads."""
    from threadpoolctl import threadpool_limits

    from emtomo.compute.device import use_threads

    use_threads(threads_of_worker())
    with threadpool_limits(1, "blas"):
        return work(shared, piece, _nobody)


def add(first: R, second: R) -> R:
    """Return what two pieces give together."""
    return first.joined(second)


def _nobody(more: int) -> None:
    """Progress is told when a piece is done."""


def _sentence(error: BaseException | None) -> BaseException:
    """Return an error that a user can act upon."""
    if type(error).__name__ == "KilledWorker":
        return EmtomoError(
            "Several Dask workers ended while they worked on the same particles: their memory may be too small; "
            "give them more of it, or fewer threads."
        )
    return error or EmtomoError("A piece of work on the Dask cluster ended without a result.")
