"""The one thread that owns the project: the window sends requests and is notified of changes.

pyworkflow's project belongs to one thread, and any look at its databases may take longer than a window may stand
still; so all of it happens here. What comes back are plain rows (:mod:`emtomo.gui.core.runs`).
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emtomo.engine.project import EmtomoProject
from emtomo.gui.core.background import EXPECTED, Mailbox, sentence
from emtomo.gui.core.gc_pause import forget_runs, pause_gc
from emtomo.gui.core.run_actions import reap
from emtomo.gui.core.runs import Run, Watched, snapshot

FAST, SLOW, FULL = 0.5, 2.0, 4.0
GONE = (
    "The project folder {folder} is gone: it was moved, renamed or deleted. Nothing is written until it is back; "
    "points that you picked are in its folder Picking."
)
Work = Callable[[EmtomoProject], Any]


class ProjectService:
    """Opens a project and works on it in a thread of its own.

    Parameters
    ----------
    folder : Path
        A project, or a new or empty folder, which becomes one.
    mailbox : Mailbox
        Through which everything comes back to the window's thread.
    changed : callable
        Called with all runs, by number, whenever one of them has changed.
    failed : callable
        Called with a sentence if the project cannot be opened or looked at.
    gone : callable, optional
        Called with a sentence, once, when the folder is no longer where it was.
    """

    def __init__(
        self,
        folder: Path,
        mailbox: Mailbox,
        changed: Callable[[dict[int, Run]], object],
        failed: Callable[[str], object],
        gone: Callable[[str], object] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.mailbox = mailbox
        self._changed, self._failed = changed, failed
        self._work: queue.Queue[tuple[Work, Callable[[Any], object], Callable[[str], object]] | None] = queue.Queue()
        self._watched = Watched()
        self._runs: dict[int, Run] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._last = 0.0
        self._last_failure = ""
        self._gone, self._was_gone = gone or failed, False
        self.share: float | None = None  # of the runs that were read, when the project is opened
        self._opened = False
        self.thread = threading.Thread(target=self._run, name="project", daemon=True)

    @property
    def active(self) -> bool:
        """Whether the project is still being opened."""
        return self.thread.is_alive() and not self._opened

    def open(self) -> None:
        """Begin; the first rows come through the mailbox."""
        self.thread.start()

    def ask(
        self, work: Work, done: Callable[[Any], object] = lambda _: None, failed: Callable[[str], object] | None = None
    ) -> None:
        """Do something with the project; `done` is called with the result, `failed` with one sentence."""
        self._work.put((work, done, failed or self._failed))

    def refresh(self) -> None:
        """Look at all runs now."""
        self.ask(lambda project: self._look(project, force=True))

    def close(self, wait: float = 10.0) -> None:
        """End the thread after what it was asked; runs go on."""
        self._work.put(None)
        if self.thread.is_alive():
            self.thread.join(wait)

    # --- in the thread ---

    def _run(self) -> None:
        try:
            exists = (self.folder / EmtomoProject.getDbName()).exists()
            project = EmtomoProject.open(self.folder) if exists else EmtomoProject.start(self.folder)
        except EXPECTED as error:
            self._post(self._failed, sentence(error))
            return
        self._look(project, force=True)
        self._opened = True
        while True:
            try:
                item = self._work.get(timeout=FAST if self._any_active() else SLOW)
            except queue.Empty:
                self._look(project)
                continue
            if item is None:
                break
            self._do(project, *item)
        with contextlib.suppress(Exception):
            project.closeMapper()

    def _do(
        self, project: EmtomoProject, work: Work, done: Callable[[Any], object], failed: Callable[[str], object]
    ) -> None:
        if not self.there():
            if failed != self._failed:  # a form, say, that waits for the answer
                self._post(failed, GONE.format(folder=self.folder))
            self._was_gone = False
            self._report_gone()
            return
        try:
            with pause_gc():
                result = work(project)
        except Exception as error:  # noqa: BLE001  reported in the window, whatever it is
            self._post(failed, sentence(error))
        else:
            self._post(done, result)
        self._look(project)

    def _look(self, project: EmtomoProject, *, force: bool = False) -> None:
        """Tell the window of runs that are no longer what they were; cheap when no file has changed."""
        reap()
        if not self.there():
            self._report_gone()
            return
        force, self._was_gone = force or self._was_gone, False  # the window hears that the folder is back
        stamps = self._stamp()
        now = time.monotonic()
        if not force and stamps == self._stamps and not (self._any_active() and now - self._last > FULL):
            return
        try:
            with pause_gc():
                runs = snapshot(project, self._watched, self._report)
                forget_runs(project)
        except Exception as error:  # noqa: BLE001  a look that fails is tried again
            message = sentence(error)
            if message != self._last_failure:
                self._post(self._failed, message)
            self._last_failure = message
            return
        self._last_failure, self._last = "", now
        if force or runs != self._runs:
            self._runs = runs
            self._post(self._changed, dict(runs))
        self._stamps = self._stamp()

    def _report(self, share: float) -> None:
        self.share = share

    def there(self) -> bool:
        """Return whether the project is still where it was opened; else a write would begin a new one."""
        return (self.folder / EmtomoProject.getDbName()).exists()

    def _report_gone(self) -> None:
        if not self._was_gone:
            self._was_gone = True
            self._post(self._gone, GONE.format(folder=self.folder))

    def _stamp(self) -> dict[str, tuple[int, int]]:
        """Return time and size of the files that change when a run does."""
        paths = [self.folder / EmtomoProject.getDbName(), self.folder / "Logs" / "scheduled.json"]
        for run in self._runs.values():
            if run.active:
                here = self.folder / run.folder
                paths += [here / "logs" / "run.db", here / "logs" / "progress.json", here / "extra" / "metrics.csv"]
        found = {}
        for path in paths:
            with contextlib.suppress(OSError):
                message = path.stat()
                found[str(path)] = (message.st_mtime_ns, message.st_size)
        return found

    def _any_active(self) -> bool:
        return any(run.active for run in self._runs.values())

    def _post(self, call: Callable[[Any], object], value: Any) -> None:
        self.mailbox.put(lambda: call(value))
