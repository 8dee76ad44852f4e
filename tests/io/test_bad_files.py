"""Damaged copies of every format: a table or one sentence, in little memory, and nothing carried out.

Every run of the suite damages other copies; a failure names its copy, which goes to :data:`FOUND` and is tried for
ever. ``make fuzz`` tries many. Time is bounded by what a test may cost (``tests/conftest.py``).
"""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.io.convert_tilts import read_tilts
from emtomo.io.formats import read
from emtomo.io.images import read_any
from tests.io.mutations import damaged_binary, damaged_text
from tests.io.seeds import BINARY, IMAGES, TEXT_LISTS, TEXT_PARTICLES, TEXT_TILTS, reader_of, write_image, write_seed
from tests.io.seeds_2d import IMAGE_LISTS, list_reader, write_list

COPIES = int(os.environ.get("EMTOMO_DAMAGED_COPIES", "150"))
MEGABYTES = 500
KINDS = [*TEXT_PARTICLES, *TEXT_TILTS, *TEXT_LISTS, *IMAGE_LISTS, *BINARY, *IMAGES]
# "kind/seed/copy" of every copy that once ended in something else than a table or a sentence
FOUND = [
    "hdf/962107733/102",
    "scipion-tilts/1724334468/70",
    "dynamo-model/1033086177/70",
    "particles-2d/1196532746/130",
    "particles-2d/2015790863/95",
]


def check(path, reader):
    """Read one file; anything but a result or one sentence with the file's name fails."""
    try:
        reader(path)
    except EmtomoError as error:
        assert path.name in str(error) or str(path.parent) in str(error), str(error)
        assert "\n" not in str(error).strip() and len(str(error)) < 1000, str(error)


def forget_peak():
    """Begin to count the largest memory of this process anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Return the largest memory since then, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def readers_of(kind):
    """Return the readers that a user's file meets: the one of its format, and the one that looks at the content."""
    if kind in IMAGES:
        return [lambda path: np.asarray(read_any(path)).sum(), read]
    if kind in IMAGE_LISTS:
        return [list_reader(kind)]
    if kind in TEXT_LISTS:
        return [reader_of(kind)]
    return [reader_of(kind), read_tilts if kind in (*TEXT_TILTS, "scipion-tilts") else read]


def attack(kind, folder, copies):
    """Read copies of a good file that are damaged as their names say."""
    writer = write_image if kind in IMAGES else write_list if kind in IMAGE_LISTS else write_seed
    path = writer(kind, folder)
    good, readers = path.read_bytes(), readers_of(kind)
    damage = damaged_binary if kind in (*BINARY, *IMAGES) else damaged_text
    readers[0](path)
    forget_peak()
    before = peak()
    for copy in copies:
        bad = damage(good, random.Random(copy))
        path.write_bytes(bad)
        try:
            for reader in readers:
                check(path, reader)
        except BaseException:
            print(f"damaged copy {copy}: {bad[:300]!r}")
            raise
    assert peak() - before < MEGABYTES


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_a_result_or_a_sentence(kind, tmp_path, changing_seed):
    found = [copy for copy in FOUND if copy.startswith(f"{kind}/")]
    attack(kind, tmp_path, [*found, *(f"{kind}/{changing_seed}/{k}" for k in range(COPIES))])


def test_a_peak_of_memory_is_seen():
    forget_peak()
    before = peak()
    np.ones((64, 2**20), np.uint8)
    assert 60 < peak() - before < 100
