"""Carry out a step: ``python -m emtomo.engine.step_main PROJECT DB RUN STEP ARGUMENTS PULSE THREADS PARENT``.

PARENT is the process of the worker: one that ended while this one began must be missed as well.
"""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

import emtomo.engine  # noqa: F401  prepares the environment
from emtomo.engine.launcher import install
from emtomo.engine.remote_steps import FAILED

LOOK_SECONDS = 5.0
SILENT_SECONDS = 120.0  # without a beat; files of other machines may be seen a minute late


def watch(pulse: Path, parent: int) -> None:
    """End this process when its worker or its run does: nobody waits for the result any more."""
    seen, since = 0, time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        now = pulse.stat().st_mtime_ns if pulse.exists() else seen
        if now != seen:
            seen, since = now, time.monotonic()
        if os.getppid() != parent or time.monotonic() - since > SILENT_SECONDS:
            os._exit(1)


def main(arguments: list[str]) -> None:
    """Load the run from its own database and call the step; a failure is reported in the last line of the output."""
    project, database, run, step, values, pulse, threads, parent = arguments
    install()
    os.chdir(project)  # the paths in a project are relative to it
    threading.Thread(target=watch, args=(Path(pulse), int(parent)), daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    from pyworkflow.protocol.protocol import getProtocolFromDb

    from emtomo.compute.device import use_threads
    from emtomo.engine.protocol import EmtomoProtocol

    protocol = getProtocolFromDb(project, database, int(run))
    use_threads(int(threads))
    try:
        if not isinstance(protocol, EmtomoProtocol) or step not in type(protocol).STEPS_APART:
            raise ValueError(f"{type(protocol).__name__} has no step {step} that is carried out elsewhere.")
        protocol.elsewhere = True
        getattr(protocol, step)(*json.loads(values))
    except Exception as error:  # whatever it is, the run that waits must hear it
        logging.exception("The step failed.")
        sys.stdout.write(f"\n{' '.join(str(error).split()) or type(error).__name__}\n")
        sys.exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
