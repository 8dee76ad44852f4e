"""Step executors that wait for events instead of sleeping.

pyworkflow 3.11.7's thread executor sleeps 3 s whenever nothing could be
started; four trivial steps take 12.8 s with it and 0.2 s with this one.
"""

import datetime
import threading
from collections.abc import Callable
from typing import Any

from pyworkflow.protocol.executor import StepThread, ThreadStepExecutor


class _Thread(StepThread):
    """A step in a thread that tells the executor when it is done."""

    def __init__(self, step: Any, lock: Any, done: threading.Event, before: Callable[[], None]) -> None:
        StepThread.__init__(self, step, lock)
        self.daemon = True
        self._step_done = done
        self._before_step = before

    def run(self) -> None:
        """Run the step, then wake the executor."""
        try:
            self._before_step()
            StepThread.run(self)
        finally:
            self._step_done.set()


class EventStepExecutor(ThreadStepExecutor):
    """Run steps in threads; start the next as soon as one ends.

    ``before_step`` is called in the thread of each step before it begins.
    """

    before_step: Callable[[], None] = staticmethod(lambda: None)

    def runSteps(
        self,
        steps: list[Any],
        stepStartedCallback: Callable[[Any], None],
        stepFinishedCallback: Callable[[Any], bool],
        stepsCheckCallback: Callable[[], None],
        stepsCheckSecs: float = 5,
    ) -> None:
        """Run all `steps` in the order of their prerequisites; stop starting new ones after a failure.

        The engine takes the state of the step that it hears of last for the run's: failures are reported last, the
        first of them at the very end.
        """
        lock, done = threading.Lock(), threading.Event()
        running: dict[int, Any] = {}
        free = list(range(1, self.numberOfProcs + 1))
        threads: list[_Thread] = []
        failed: list[Any] = []
        last_check = datetime.datetime.now()
        go_on = True
        while go_on:
            done.clear()
            with lock:
                finished = [node for node, step in running.items() if not step.isRunning()]
            for node in finished:
                step = running.pop(node)
                free.append(node)
                self.freeGpusSlot(step.getObjId())
                if step.isFailed():
                    failed.append(step)
                else:
                    go_on = stepFinishedCallback(step) and go_on
            if failed or not go_on:
                break
            with lock:
                ready = self._getRunnable(steps, len(free)) if free else []
                for step in ready:
                    step.setRunning()
                    stepStartedCallback(step)
                    running[free.pop(0)] = step
                    threads.append(_Thread(step, lock, done, self.before_step))
                    threads[-1].start()
                pending = self._arePending(steps)
            if not ready and not finished:
                if not pending:
                    break
                done.wait(1.0)
            now = datetime.datetime.now()
            if (now - last_check).total_seconds() > stepsCheckSecs:
                stepsCheckCallback()
                last_check = now
        for thread in threads:
            thread.join()
        for step in running.values():  # the others ran on while one had failed
            if step.isFailed():
                failed.append(step)
            else:
                stepFinishedCallback(step)
        for step in reversed(failed):
            stepFinishedCallback(step)
        stepsCheckCallback()
