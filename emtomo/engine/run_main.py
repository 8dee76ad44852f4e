"""Carry out one run: ``python -m emtomo.engine.run_main PROJECT DB RUN STDOUT STDERR``.

With ``--server SOCKET`` this process loads the protocols and forks for every run that it is asked for.
"""

import os
import sys
from pathlib import Path

import psutil
from pyworkflow.utils import LoggingConfigurator, getHostFullName

import emtomo.engine  # noqa: F401  prepares the environment
from emtomo.engine.launcher import PROCESS, install
from emtomo.engine.run_folder import check_run_folder
from emtomo.engine.run_server import serve
from emtomo.engine.state import write_json


def main(arguments: list[str]) -> None:
    """Load the run from its own database and run its steps."""
    project, database, run, stdout, stderr = arguments
    install()
    os.chdir(project)  # the paths in a project are relative to it
    folder = Path(stdout).parent.parent
    inside = folder.is_relative_to(project)  # not where the project is opened by a link: then it has its real name
    check_run_folder(project, os.path.relpath(folder, project if inside else Path.cwd()))
    # who wins a reused process id is decided by the time of the start
    said = Path(stderr).stat().st_size if Path(stderr).exists() else 0  # by earlier tries
    me = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": getHostFullName(), "stderr": said}
    write_json(Path(stdout).with_name(PROCESS), me)
    LoggingConfigurator.setUpProtocolRunLogging(stdout, stderr)
    from pyworkflow.protocol import runProtocolMain

    runProtocolMain(project, database, int(run))


if __name__ == "__main__":
    main(serve(int(sys.argv[2])) if sys.argv[1] == "--server" else sys.argv[1:])
