"""The verb that tells what is there and what to do about what is not."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from emtomo.cli.output import result
from emtomo.errors import EmtomoError, one_line
from emtomo.wording import count_text

_PACKAGES = (
    "scipion-pyworkflow",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "mrcfile",
    "starfile",
    "matplotlib",
    "ttkbootstrap",
)
_OPTIONAL = {
    ("pyvista",): "3D view: pip install 'emtomo[view3d]'; all other windows work without it",
    ("torch",): "neural picking: pip install 'emtomo[nn]'",
    ("cupy-cuda12x", "cupy-cuda13x"): "GPU: pip install 'emtomo[cuda12]' or 'emtomo[cuda13]' (needs an NVIDIA GPU)",
    ("distributed",): "several machines: pip install 'emtomo[scale]'",
}


def doctor(
    project: Annotated[Path | None, typer.Argument(metavar="[PROJECT]", help="A project to look through.")] = None,
) -> None:
    """Report versions, threads, GPU, display and queue of this machine, or what is damaged in a project."""
    lines = list(findings() if project is None else project_findings(project))
    for line in lines:
        result(line)
    if project is not None and any(line.startswith("--") for line in lines):
        raise typer.Exit(1)


def project_findings(project: Path) -> Iterator[str]:
    """Yield one line for each run of a project; ``--`` marks what is damaged, and says how to mend it."""
    from emtomo.engine.damage import damage_of_run, mend
    from emtomo.engine.project import EmtomoProject, error_of

    opened = EmtomoProject.open(project)
    if Path(opened.path, "settings.sqlite.damaged").exists():
        yield "--  settings.sqlite was damaged and put aside as settings.sqlite.damaged: delete it"
    for run in opened.runs_now():
        name = f"{run.strId()} {one_line(run.getObjLabel())}"
        if not hasattr(run, "outputs"):
            yield f"--  {name}: its protocol is not known to this version of emtomo"
        elif damage_of_run(run):
            yield f"--  {name}: {one_line('; '.join(damage_of_run(run)))}: {mend(run)}"
        elif run.isFailed():
            yield f"--  {name}: failed: {one_line(error_of(run)).rstrip('.')}: emtomo resume goes on with it"
        else:
            yield f"ok  {name}: {run.getStatus()}"


def findings() -> Iterator[str]:
    """Yield one line for each thing looked at; ``--`` marks what is missing."""
    from emtomo.version import __version__

    yield f"ok  emtomo {__version__}, Python {platform.python_version()} ({sys.executable})"
    for name in _PACKAGES:
        yield f"ok  {name} {_version(name)}" if _version(name) else f"--  {name} is missing: reinstall emtomo"
    for names, advice in _OPTIONAL.items():
        name = next((one for one in names if _version(one)), "")
        yield f"ok  {name} {_version(name)}" if name else f"--  {' or '.join(names)}: {advice}"
    yield from _threads()
    from emtomo.compute.device import cuda_available

    if cuda_available():
        from numba import cuda

        yield f"ok  GPU {cuda.get_current_device().name}"
    else:
        yield "--  no CUDA device: everything runs on the CPU"
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    yield (f"ok  display {display}" if display else "--  no display: no windows; emtomo view --png and report work")
    if _version("pyvista"):
        from emtomo.gui.core.opengl import opengl

        try:
            opengl()
            yield "ok  OpenGL draws: the 3D view works"
        except EmtomoError as error:
            yield f"--  {error}"
    yield from _queue()


def _queue() -> Iterator[str]:
    """Yield whether runs can be jobs of a queue: its commands, and a hosts.conf that describes it."""
    command = next((q for q in ("sbatch", "qsub", "bsub") if shutil.which(q)), None)
    hosts = Path(os.environ["SCIPION_HOSTS"])
    names = [line.partition("=")[2].strip() for line in _lines(hosts) if line.startswith("NAME")]
    if names:
        yield (
            f"ok  queue {names[0]} of {hosts}"
            if command
            else f"--  {hosts} describes {names[0]}; no sbatch, qsub, bsub"
        )
    elif command:
        yield f"--  queue command {command}, but no ~/.config/emtomo/hosts.conf describes the queue (docs/clusters.md)"
    else:
        yield "--  no queue (sbatch, qsub, bsub): runs use this machine"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf8", errors="replace").split("\n") if path.is_file() else []


def _threads() -> Iterator[str]:
    import numba
    from threadpoolctl import threadpool_info

    import emtomo.compute.kernels  # noqa: F401  loads the threading library
    from emtomo.compute.device import cores

    yield f"ok  {count_text(cores(), 'core')}"
    _touch_all(numba.config.NUMBA_NUM_THREADS)
    layer = numba.threading_layer()
    if layer == "workqueue":
        yield "--  numba threads by workqueue: install libgomp1 (apt) so that steps can run at the same time"
    else:
        yield f"ok  numba threads by {layer}"
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            yield f"ok  BLAS {pool['internal_api']} {pool['version']}, {count_text(pool['num_threads'], 'thread')}"


def _touch_all(n: int) -> None:
    """Run a parallel loop, so that numba starts its threads."""
    import numpy as np

    from emtomo.compute.kernels.diffusion_cpu import gradient_sums_cpu

    gradient_sums_cpu(np.zeros((n, 3, 3), np.float32), 1, np.zeros(n))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command."""
    app.command()(doctor)
