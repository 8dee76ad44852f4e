"""Map and reduce over independent pieces of work: in threads of this process, or wherever a caller spreads them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol, Self, TypeVar

from emtomo.compute.device import threads
from emtomo.compute.linear_algebra import one_blas_thread

OnProgress = Callable[[int], None]


class Piece(Protocol):
    """What one call works on; its length is how much work that is."""

    def __len__(self) -> int: ...

    def parts(self, n: int) -> list[Self]:
        """Return the same work as at most `n` pieces, none of them empty unless the whole is."""


class Partial(Protocol):
    """What one call gives."""

    def combine(self, other: Self) -> Self:
        """Return what both pieces give together."""


class Shared(Protocol):
    """What all pieces need; it may travel to other machines, by pickle."""

    @property
    def parallel(self) -> bool:
        """Whether several pieces may be worked on at the same time in one process."""


A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
P = TypeVar("P", bound=Piece)
R = TypeVar("R", bound=Partial)


class MapReduce(Protocol):
    """Something that carries out a map and adds up what it gives."""

    def __call__(
        self,
        work: Callable[[Any, P, OnProgress], R],
        shared: Any,
        groups: Sequence[Sequence[P]],
        on_progress: OnProgress,
    ) -> list[R]:
        """Return for every group what ``work(shared, piece, on_progress)`` of its pieces gives together.

        Parameters
        ----------
        work : callable
            A function of a module, so that it can be found on other machines; it calls `on_progress` with amounts done.
        shared : Shared
        groups : sequence of sequences of Piece
            None empty. What the pieces of a group give is combined in pairs, always in the same order, so that the sums
            do not depend on where and when they were made.
        on_progress : callable
            Called with how much more is done, from any thread.
        """


def in_threads(
    work: Callable[[Any, P, OnProgress], R],
    shared: Shared,
    groups: Sequence[Sequence[P]],
    on_progress: OnProgress,
    at_once: int | None = None,
) -> list[R]:
    """Work on the pieces in the threads of this process; see :class:`MapReduce`.

    `at_once` is how many pieces at the same time; None: one for every thread where they allow it.
    """
    pieces = [piece for group in groups for piece in group]
    side_by_side = at_once or (threads() if shared.parallel else 1)
    with one_blas_thread(), ThreadPoolExecutor(side_by_side) as pool:
        results = pool.map(lambda piece: work(shared, piece, on_progress), pieces)
        return [reduce_pairwise(islice(results, len(group)), lambda a, b: a.combine(b)) for group in groups]


def map_in_order(work: Callable[[A], B], items: Iterable[A], at_once: int) -> Iterator[B]:
    """Yield what `work` gives for every item, in their order; at most twice `at_once` results wait to be taken.

    Parameters
    ----------
    work : callable
        Gives the same whatever runs beside it.
    items : iterable
    at_once : int
        Threads.
    """
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def reduce_pairwise(items: Iterable[T], join: Callable[[T, T], T]) -> T:
    """Return all `items` combined: neighbours first, then what they gave, until one is left.

    They are combined as they come, so that of `n` of them at most about log2(n) are held at a time.
    """
    held: list[tuple[int, T]] = []  # what 2**height neighbours gave, the highest first
    for item in items:
        height = 0
        while held and held[-1][0] == height:
            item, height = join(held.pop()[1], item), height + 1
        held.append((height, item))
    total = held.pop()[1]
    while held:
        total = join(held.pop()[1], total)
    return total
