"""A million coordinates with rotations in and out of a set, against pyworkflow's item-by-item API."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import machine, row

from emtomo.compute.rotations import random_rotations
from emtomo.objects import SetOfCoordinates3D, coordinates_frame

N, CHUNK, ITEMS = 1_000_000, 100_000, 20_000
COLUMNS = ["tomogram_id", "x", "y", "z", "score"]


def main() -> None:
    rng = np.random.default_rng(0)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bulk.sqlite"
        start, made = time.perf_counter(), SetOfCoordinates3D.create(path, pixel_size=10.0, box_size=32)
        making = 0.0
        for k in range(0, N, CHUNK):
            before = time.perf_counter()
            positions, rotations = rng.normal(0, 1000, (CHUNK, 3)), random_rotations(CHUNK, k)
            frame = coordinates_frame("TS_01", positions, rotations, score=rng.random(CHUNK), picker="me")
            making += time.perf_counter() - before
            made.extend(frame)
        made.write()
        write = time.perf_counter() - start - making
        start = time.perf_counter()
        read = SetOfCoordinates3D.open(path).frame(COLUMNS)
        read_time = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert len(read) == N
        slow_write, slow_read = item_by_item(Path(folder) / "items.sqlite")
        row("write 1,000,000 coordinates with rotations", f"{write:.2f} s", "<= 6 s")
        row("read 5 columns of them", f"{read_time:.2f} s", "<= 3 s")
        row("peak memory", f"{memory:.0f} MB", "< 800 MB")
        row("writing, pyworkflow item by item / ours", f"{slow_write / (write / N):.0f} x", ">= 12 x")
        row("reading, pyworkflow item by item / ours", f"{slow_read / (read_time / N):.0f} x", ">= 7 x")


def item_by_item(path: Path) -> tuple[float, float]:
    """Return seconds an item for writing and reading through the engine's own API."""
    item = SetOfCoordinates3D.ITEM_TYPE(tomogram_id="TS_01", x=1.0, y=2.0, z=3.0, score=0.5, picker="me")
    made = SetOfCoordinates3D(filename=str(path))
    start = time.perf_counter()
    for k in range(ITEMS):
        item.setObjId(None)
        item.x.set(float(k))
        made.append(item)
    made._getMapper().commit()
    write = time.perf_counter() - start
    start = time.perf_counter()
    total = sum(one.x.get() for one in made.iterItems())
    read = time.perf_counter() - start
    made.close()
    assert total == ITEMS * (ITEMS - 1) / 2
    return write / ITEMS, read / ITEMS


if __name__ == "__main__":
    main()
