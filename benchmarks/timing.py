"""How benchmarks measure: warm up, repeat, quote the median and the best."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def seconds(work: Callable[[], object], repeats: int = 7) -> tuple[float, float]:
    """Return median and best wall time of `work` after one run that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), min(taken)


def processor_seconds(work: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Return median and least processor time of `work`, all threads together, after one run that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken), min(taken)


def machine() -> str:
    """Return the processor, its cores in use and the load."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf8") as stream:
            name = next(line.split(":")[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


def row(what: str, value: str, law: str = "") -> None:
    """Print one line of a table."""
    print(f"| {what} | {value} | {law} |")
