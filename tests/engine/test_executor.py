"""The executor of steps in threads: order, failure, and no sleeping."""

import threading
import time

from emtomo.engine.executor import EventStepExecutor


class Step:
    """What the executor needs of a step."""

    def __init__(self, i, work, needs=()):
        self.i, self.work, self._prerequisites, self.state = i, work, list(needs), "new"

    def getObjId(self):
        return self.i

    def _run(self):
        self.work()

    def getStatus(self):
        return self.state

    def setRunning(self):
        self.state = "running"

    def setFinished(self):
        self.state = "finished"

    def setFailed(self, message):
        self.state = "failed"

    def isNew(self):
        return self.state == "new"

    def isFinished(self):
        return self.state == "finished"

    def isRunning(self):
        return self.state == "running"

    def isFailed(self):
        return self.state == "failed"

    def isWaiting(self):
        return False

    def needsGPU(self):
        return False


def carry_out(steps, threads=2):
    executor = EventStepExecutor(None, threads, gpuList=None)
    shares = []
    executor.before_step = lambda: shares.append(threading.current_thread())
    executor.runSteps(steps, lambda s: None, lambda s: s.state == "finished", lambda: None)
    return shares


def test_steps_run_after_their_prerequisites_and_side_by_side(monkeypatch):
    order, together, slept = [], threading.Barrier(2, timeout=60), []
    monkeypatch.setattr(time, "sleep", slept.append)
    steps = [
        Step(1, lambda: order.append(1)),
        Step(2, lambda: (together.wait(), order.append(2)), [1]),
        Step(3, lambda: (together.wait(), order.append(2)), [1]),  # only side by side do both pass
        Step(4, lambda: order.append(4), [2, 3]),
    ]
    shares = carry_out(steps)
    assert order == [1, 2, 2, 4] and [s.state for s in steps] == ["finished"] * 4
    assert not slept and len(shares) == 4  # the engine's own executor sleeps 3 s a wave


def test_failures_are_reported_after_the_steps_that_were_still_running():
    def fail():
        raise ValueError("no")

    def fail_later():
        time.sleep(0.2)
        raise ValueError("no either")

    steps = [Step(1, fail), Step(2, lambda: time.sleep(0.3)), Step(3, fail_later), Step(4, lambda: None, [1])]
    reported = []
    executor = EventStepExecutor(None, 3, gpuList=None)
    executor.runSteps(steps, lambda s: None, lambda s: reported.append(s.i) or s.state == "finished", lambda: None)
    assert reported == [2, 3, 1] and steps[3].state == "new"  # the engine takes the last for the state of the run


def test_a_protocol_takes_this_executor_in_the_place_of_the_engines():
    from pyworkflow.protocol.executor import ThreadStepExecutor

    from emtomo.engine.parameters import protocol_named

    run = protocol_named("bin-tomograms")()
    run.setStepsExecutor(ThreadStepExecutor(None, 1, gpuList=None))  # the engine counts its main thread in
    assert type(run._stepsExecutor) is EventStepExecutor and run._stepsExecutor.numberOfProcs == 2


def test_after_a_failure_nothing_new_starts_and_what_runs_ends():
    def fail():
        raise ValueError("no")

    done = []
    steps = [
        Step(1, fail),
        Step(2, lambda: (time.sleep(0.3), done.append(2))),
        Step(3, lambda: done.append(3), [1]),
        Step(4, lambda: done.append(4), [2]),
    ]
    carry_out(steps)
    assert [s.state for s in steps] == ["failed", "finished", "new", "new"] and done == [2]
