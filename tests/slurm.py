"""A SLURM of our own for tests: one node, this machine, everything in one folder, nothing under /etc."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
CONFIG = """
ClusterName=emtomo
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=20000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Starts and stops the daemons; :attr:`environment` is what the commands need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def missing() -> str:
        """Return why there can be none here, empty if there can."""
        lacking = [name for name in PROGRAMS if not shutil.which(name)]
        if lacking:
            return f"SLURM is not installed (no {', '.join(lacking)}): apt-get install slurm-wlm munge"
        return "" if os.geteuid() == 0 else "SLURM's daemons need root"

    def start(self) -> None:
        """Start key service, controller and node, and wait until the node takes jobs."""
        self.folder.chmod(0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        text = CONFIG.format(
            folder=self.folder, host=host, controller=_free_port(), node=_free_port(), cores=os.cpu_count()
        )
        (self.folder / "slurm.conf").write_text(text, encoding="utf8")
        munge = [f"--{name}={self.folder}/munge.{end}" for name, end in (
            ("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"),
        )]  # fmt: skip
        self._start("munged", "--foreground", "--force", *munge)
        self._until(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D", "-c", "-N", host)
        self._until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"), "the node")

    def run(self, *command: str) -> str:
        """Return what a command of SLURM says."""
        done = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        return done.stdout + done.stderr

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons."""
        self.run("scancel", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(30)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as out:
            environment = {**os.environ, **self.environment}
            self._daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))

    def _until(self, ready, what: str) -> None:
        for _ in range(300):
            if ready():
                return
            time.sleep(0.1)
        reported = {path.name: path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.out")}
        raise RuntimeError(f"{what} did not come up: {reported}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
