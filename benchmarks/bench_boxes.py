"""Cutting 10,000 boxes into a file, turning boxes, and binning a large tomogram in bounded memory."""

import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.extraction import ExtractOptions, extract, order_of_place
from emtomo.compute.fourier.resampling import bin_volume
from emtomo.compute.rotations import random_rotations
from emtomo.io import mrc

COUNT, BOX = 10_000, 32


def main() -> None:
    print(machine())
    in_memory_and_to_disk()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.mrc"
        wave = np.sin(np.arange(1000) * 0.01 * np.arange(300)[:, None]).astype(np.float32)
        mrc.write_volume(path, np.broadcast_to(wave[:, None], (300, 1000, 1000)), 5.0)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            taken, memory = pool.apply(large_binning, (str(path),))
    row("binning 1000×1000×300 by 2 from a file", f"{taken:.1f} s, peak {memory:.1f} GB", "<= 4 GB")


def in_memory_and_to_disk() -> None:
    """Compare cutting with copying and with writing as many bytes; time the turning of boxes."""
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(300, 480, 480)).astype(np.float32)
    starts = rng.integers(0, 260, (COUNT, 3))
    out = np.empty((COUNT, BOX, BOX, BOX), np.float32)
    target = np.empty_like(out)
    plain = ExtractOptions(box_size=BOX, normalize="none")
    full = ExtractOptions(box_size=BOX)
    copy, _ = seconds(lambda: np.copyto(target, out), 5)
    cut, _ = seconds(lambda: extract(volume, starts, plain, out), 5)
    normal, _ = seconds(lambda: extract(volume, starts, full, out), 5)
    size = out.nbytes / 1e9
    row(f"copying {COUNT} boxes of {BOX}³ in memory", f"{size / copy:.1f} GB/s")
    row("cutting them, in memory", f"{size / cut:.1f} GB/s = {copy / cut:.0%} of copying", ">= 90 % (of memory)")
    row("cutting and normalising them, in memory", f"{size / normal:.1f} GB/s")
    to_disk(volume, starts, full, out)
    boxes, rotations = out[:1000], random_rotations(1000, 1)
    for cubic in (False, True):
        turn, _ = seconds(lambda c=cubic: rotate_boxes(boxes, rotations, np.zeros((1000, 3)), cubic=c), 3)
        row(f"turning 1000 boxes of {BOX}³, {'cubic' if cubic else 'linear'}", f"{turn:.2f} s")


def to_disk(volume: np.ndarray, starts: np.ndarray, options: ExtractOptions, boxes: np.ndarray) -> None:
    """Compare the extraction into an MRC stack with plainly writing as many bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.mrc"

        def plainly() -> None:
            with path.open("wb") as stream:
                stream.write(boxes.data)
                os.fsync(stream.fileno())

        def cutting() -> None:
            with mrc.StackWriter(path, boxes.shape, 10.0, 512) as stack:
                order = order_of_place(starts, BOX)
                for first in range(0, COUNT, 512):
                    part = starts[order[first : first + 512]]
                    extract(volume, part, options, stack.batch(len(part)))
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())

        write, _ = seconds(plainly, 3)
        cut, _ = seconds(cutting, 3)
    size = boxes.nbytes / 1e9
    row("writing as many bytes to disk", f"{size / write:.2f} GB/s")
    row("cutting, normalising and writing the stack", f"{size / cut:.2f} GB/s = {write / cut:.0%}", ">= 90 % (of disk)")


def large_binning(path: str) -> tuple[float, float]:
    """Return seconds and peak memory (GB) of binning a tomogram of 1.2 GB, in a process of its own."""
    start = time.perf_counter()
    binned = bin_volume(mrc.open_volume(path), 2.0)
    taken = time.perf_counter() - start
    assert binned.shape == (150, 500, 500)
    return taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
