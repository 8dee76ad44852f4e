"""Damaged copies of every format: a table or one sentence, quickly, in little memory, and nothing carried out."""

import random
import resource
import time

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.io.convert_tilts import read_tilts
from emtomo.io.formats import read
from emtomo.io.images import read_any
from tests.io.mutations import damaged_binary, damaged_text
from tests.io.seeds import BINARY, IMAGES, TEXT_LISTS, TEXT_PARTICLES, TEXT_TILTS, reader_of, write_image, write_seed

TEXT_COPIES, BINARY_COPIES = 2000, 500
SECONDS, MEGABYTES = 2.0, 500


def check(path, reader):
    """Read one file; anything but a result or one sentence with the file's name fails."""
    started = time.perf_counter()
    try:
        reader(path)
    except EmtomoError as error:
        assert path.name in str(error) or str(path.parent) in str(error), str(error)
        assert "\n" not in str(error).strip() and len(str(error)) < 1000, str(error)
    assert time.perf_counter() - started < SECONDS


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def attack(kind, folder, copies, damaged):
    path = write_seed(kind, folder)
    good, reader = path.read_bytes(), reader_of(kind)
    reader(path)
    before, rng = peak(), random.Random(kind)
    for k in range(copies):
        bad = damaged(good, rng)
        path.write_bytes(bad)
        try:
            check(path, reader)
            if k % 10 == 0 and kind not in TEXT_LISTS:  # by content, as a user's file is met
                check(path, read if kind not in (*TEXT_TILTS, "scipion-tilts") else read_tilts)
        except BaseException:
            print(f"copy {k}: {bad[:2000]!r}")
            raise
    assert peak() - before < MEGABYTES


@pytest.mark.parametrize("kind", [*TEXT_PARTICLES, *TEXT_TILTS, *TEXT_LISTS])
def test_damaged_text_ends_in_a_table_or_a_sentence(kind, tmp_path):
    attack(kind, tmp_path, TEXT_COPIES, damaged_text)


@pytest.mark.parametrize("kind", IMAGES)
def test_damaged_images_end_in_voxels_or_a_sentence(kind, tmp_path):
    path = write_image(kind, tmp_path)
    good, rng, before = path.read_bytes(), random.Random(kind), peak()
    assert read_any(path).shape == (5, 6, 7)
    for _ in range(BINARY_COPIES):
        path.write_bytes(damaged_binary(good, rng))
        check(path, lambda p: np.asarray(read_any(p)).sum())
        check(path, read)
    assert peak() - before < MEGABYTES


@pytest.mark.parametrize("kind", BINARY)
def test_damaged_binary_files_end_in_a_table_or_a_sentence(kind, tmp_path):
    attack(kind, tmp_path, BINARY_COPIES, damaged_binary)
