"""Short work off the window's thread: results come back through one queue that the window drains."""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from emtomo.errors import EmtomoError

EXPECTED = (EmtomoError, OSError, MemoryError)


class Mailbox:
    """Calls that wait to be made on the window's thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def put(self, call: Callable[[], object]) -> None:
        """Ask for a call on the window's thread; from any thread."""
        self._waiting.put(call)

    def deliver(self, budget: float = 0.01) -> int:
        """Make calls that wait, for at most `budget` seconds; return how many."""
        end, count = time.perf_counter() + budget, 0
        while True:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                return count
            call()
            count += 1
            if time.perf_counter() > end:
                return count


class Task:
    """One piece of work in a thread of its own; a cancelled one is never heard of again."""

    def __init__(
        self,
        mailbox: Mailbox,
        work: Callable[["Task"], Any],
        done: Callable[[Any], object],
        failed: Callable[[str], object],
    ) -> None:
        self.cancelled = False
        self.share: float | None = None  # of the work that is done, where the work says it
        self._mailbox = mailbox

        def run() -> None:
            """Carry the work out and deliver what it gave, or the sentence of what went wrong."""
            try:
                result = work(self)
            except Exception as error:  # noqa: BLE001  reported in the window, whatever it is
                self._post(failed, sentence(error))
            else:
                self._post(done, result)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    @property
    def active(self) -> bool:
        """Whether the work goes on and somebody waits for it."""
        return self.thread.is_alive() and not self.cancelled

    def report(self, share: float) -> None:
        """Note how much of the work is done, 0 to 1; called by the work itself."""
        self.share = share

    def cancel(self) -> None:
        """Forget the work; what it still does changes nothing."""
        self.cancelled = True

    def post(self, call: Callable[[Any], object], value: Any) -> None:
        """Pass something on to the window while the work goes on."""
        self._post(call, value)

    def _post(self, call: Callable[[Any], object], value: Any) -> None:
        def deliver() -> None:
            """Hand the value over unless the task was cancelled meanwhile."""
            if not self.cancelled:
                call(value)

        self._mailbox.put(deliver)


def sentence(error: BaseException) -> str:
    """Return an error as one sentence for a user; one that nobody foresaw is printed with its traceback as well."""
    if not isinstance(error, EXPECTED):
        traceback.print_exception(error)
        return f"Unexpected {type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}.".lstrip(": ")
    return str(error) or type(error).__name__
