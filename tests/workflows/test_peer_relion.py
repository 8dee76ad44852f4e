"""RELION 3.1 (Debian package relion) opens what we write."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from emtomo.io import mrc

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("relion_image_handler") is None, reason="RELION is not installed"),
]


@pytest.mark.parametrize("size", [24, 25])
def test_relion_reads_the_same_numbers_from_a_volume(size, tmp_path, rng):
    volume = rng.normal(3, 2, (size, size, size)).astype(np.float32)
    mrc.write_volume(tmp_path / "a.mrc", volume, 7.5)
    done = subprocess.run(
        ["relion_image_handler", "--i", "a.mrc", "--stats"], cwd=tmp_path, capture_output=True, text=True
    )
    reported = done.stdout + done.stderr
    assert f"{size} x {size} x {size}" in reported, reported
    numbers = [float(x) for x in re.findall(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?", reported)]
    for wanted in (volume.mean(), volume.std(), volume.min(), volume.max()):
        assert min(abs(n - wanted) for n in numbers) < 1e-3 * max(1, abs(wanted)), reported
    assert min(abs(n - 7.5) for n in numbers) < 1e-3, reported


def test_a_map_survives_a_shift_by_relion(tmp_path):
    """Axes: RELION's --shift_x moves along our last axis."""
    volume = np.zeros((16, 16, 16), np.float32)
    volume[8, 6, 4] = 1.0
    mrc.write_volume(tmp_path / "a.mrc", volume, 5.0)
    subprocess.run(
        ["relion_image_handler", "--i", "a.mrc", "--o", "b.mrc", "--shift_x", "2", "--shift_y", "1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert np.unravel_index(mrc.read_volume(tmp_path / "b.mrc").argmax(), volume.shape) == (8, 7, 6)
