"""What all tests share: data of other programs, workers side by side, and a limit for what one test may cost."""

import gzip
import os
import random
import shutil
import sys
from pathlib import Path

if not Path("/dev/nvidia0").exists():
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores; threads that wait must leave them to the others
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import pytest
from numba.core import event
from xdist.scheduler import LoadScopeScheduling

# PyTorch loads Triton where it is installed; its LLVM and that of Mesa, with which the 3D view draws, crash together
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CPU_SECONDS = float(os.environ.get("EMTOMO_TEST_CPU", "5"))  # of an unmarked test
COSTLY = {"slow", "workflow", "peer", "gui"}
SEED = "EMTOMO_TEST_SEED"
# tests that share a display, daemons or a costly project stay in one worker, one after the other; the longest start
# first. All other files are groups of their own.
GROUPS = {
    "gui": ("gui/test_",),
    "clusters": ("engine/test_slurm", "engine/test_dask", "engine/test_queues"),
}
FIRST = ("gui", "clusters", "workflows/", "engine/", "protocols/", "gui/core/", "compute/")


def shared(*parts: str) -> Path:
    """Return a file of the shared data; skip the test, with the reason, where it is missing."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def unpack_phantom(folder: Path) -> Path:
    """Return the peer-made phantom tomogram, unpacked under a name with a space and a quote."""
    path = folder / "tomo 001 'rec'.mrc"
    with gzip.open(shared("phantom_tomogram", "tomo_001_rec_snr0.5.mrc.gz")) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12345)


@pytest.fixture
def changing_seed() -> int:
    """A seed that is another one in every run of the suite; its head and every failure say it."""
    return int(os.environ[SEED])


@pytest.fixture(autouse=True)
def stay_here():
    """A project changes the working directory; a test must not change it for the next."""
    before = Path.cwd()
    yield
    os.chdir(before)


# --- workers ---


def pytest_configure(config):
    """Draw the changing seed before workers start, who inherit it."""
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(2**31)))


def pytest_report_header(config):
    return f"changing seed: {SEED}={os.environ[SEED]}"


def group_of(test: str) -> str:
    """Return which tests the one of this id must share a worker with: those of its file at least."""
    name = test.split("::")[0].removeprefix("tests/")
    return next((group for group, starts in GROUPS.items() if name.startswith(starts)), name)


class GroupScheduling(LoadScopeScheduling):
    """Give a worker one group after the other."""

    def _split_scope(self, nodeid):
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""
    order = len(FIRST)

    def place(item) -> int:
        return next((k for k, start in enumerate(FIRST) if group_of(item.nodeid).startswith(start)), order)

    items.sort(key=place)


# --- balance of the workers: windows are answered in time, and a long group must not begin last ---

_BEGUN: list[str] = []  # the first test of this worker


def _give_way(test: str) -> None:
    """Let the worker that begins with the windows, which wait for seconds at most, go before the others."""
    if _BEGUN or "PYTEST_XDIST_WORKER" not in os.environ:
        return
    _BEGUN.append(test)
    if group_of(test) != "gui":
        os.nice(5)


_SECONDS: dict[str, float] = {}  # of a group of tests
_ENDED: dict[str, float] = {}  # when a worker's last test ended


def pytest_runtest_logreport(report):
    if hasattr(report, "node"):  # of a worker
        group = group_of(report.nodeid)
        _SECONDS[group] = _SECONDS.get(group, 0.0) + report.duration
        _ENDED[report.node.gateway.id] = report.stop


def pytest_terminal_summary(terminalreporter):
    if not _ENDED:
        return
    terminalreporter.section("longest groups")
    for group, seconds in sorted(_SECONDS.items(), key=lambda item: -item[1])[:12]:
        terminalreporter.write_line(f"{seconds:7.1f}s {group}")
    ends = ", ".join(f"{max(_ENDED.values()) - end:.0f}" for end in sorted(_ENDED.values()))
    terminalreporter.write_line(f"workers ended so many seconds before the last: {ends}")


# --- what a test costs ---


_COMPILING = event.TimingListener()
event.register("numba:compile", _COMPILING)


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, without numba's compiler."""
    launcher = sys.modules.get("emtomo.engine.launcher")
    if launcher is not None:
        launcher.reap()  # runs of an earlier test count there
    used = os.times()
    compiling = _COMPILING.duration if _COMPILING.done else 0.0
    return used.user + used.system + used.children_user + used.children_system - compiling


class _Cost:
    """Processor time of one test, without the fixtures that others share with it."""

    def __init__(self) -> None:
        self.start, self.shared = cpu_seconds(), 0.0

    def seconds(self) -> float:
        return cpu_seconds() - self.start - self.shared


_COST = pytest.StashKey[_Cost]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    _give_way(item.nodeid)
    item.stash[_COST] = _Cost()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    before = cpu_seconds()
    result = yield
    if fixturedef.scope != "function" and hasattr(request, "_pyfuncitem"):
        request._pyfuncitem.stash[_COST].shared += cpu_seconds() - before
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail an unmarked test that costs too much: a suite of twelve minutes has room for 1500 cheap ones."""
    report = yield
    if call.when == "call" and report.passed and not COSTLY & {mark.name for mark in item.iter_markers()}:
        used = item.stash[_COST].seconds()
        if used > CPU_SECONDS:
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} took {used:.1f} s of processor time, more than {CPU_SECONDS:g}: make it smaller, share "
                f"a fixture, or mark it ({', '.join(sorted(COSTLY))}) and say why."
            )
    return report
