"""Subtomograms in STAR files, written by us and by others."""

import numpy as np
import pandas as pd
import pytest

from emtomo.compute.rotations import angle_between, random_rotations
from emtomo.errors import FormatError
from emtomo.io import mrc
from emtomo.io.particles_star import read_subtomograms, write_particles
from emtomo.io.star import read_blocks, write_blocks
from emtomo.io.weights import read_weights


def written(folder, n=6, **changes):
    for i in range(n):
        mrc.write_volume(folder / f"part {i}.mrc", np.zeros((8, 8, 8), np.float32), 5.0)
    mrc.write_volume(folder / "ctf.mrc", np.ones((8, 8, 8), np.float32), 5.0)
    rng = np.random.default_rng(1)
    rotations = random_rotations(n, 3)
    frame = pd.DataFrame(
        {
            "tomogram_id": ["TS_1"] * n,
            "file": [str(folder / f"part {i}.mrc") for i in range(n)],
            "index": 0,
            "ctf_file": str(folder / "ctf.mrc"),
            "half": [1, 2] * (n // 2),
            **{f"coordinate_{a}": rng.uniform(0, 100, n) for a in "xyz"},
            **{f"shift_{a}": rng.normal(size=n) for a in "xyz"},
        }
    )
    path = folder / "particles.star"
    write_particles(path, frame.assign(**changes), rotations, 5.0, 8, optics={"voltage": 200.0})
    return path, frame, rotations


def test_what_is_written_is_read_back(tmp_path):
    path, frame, rotations = written(tmp_path)
    table = read_subtomograms(path)
    found = table.particles
    assert angle_between(found.rotations, rotations).max() < 1e-4
    assert found.shift_unit == "angstrom"
    assert np.allclose(found.shifts, frame[["shift_x", "shift_y", "shift_z"]], atol=1e-5)
    assert np.allclose(found.positions, frame[["coordinate_x", "coordinate_y", "coordinate_z"]], atol=1e-5)
    assert table.files.tolist() == frame["file"].tolist()
    assert found.columns["half"].tolist() == frame["half"].tolist()
    assert (table.pixel_size, found.tags.premultiplied, table.optics["voltage"]) == (5.0, False, 200.0)
    assert set(table.ctf_files) == {str(tmp_path / "ctf.mrc")}


def test_angles_are_relions_matrix(tmp_path):
    """RELION's Euler_angles2matrix, written out: x_particle = A x_reference."""
    path, _, _ = written(tmp_path)
    text = path.read_text().split("data_particles")[1]
    labels = [line.split()[0] for line in text.splitlines() if line.startswith("_rln")]
    names = [f"_rlnAngle{a}" for a in ("Rot", "Tilt", "Psi")]
    row = next(line for line in text.splitlines() if ".mrc" in line)
    parts = row.replace('"', "'").split("'")
    cells = [c for k, p in enumerate(parts) for c in ([p] if k % 2 else p.split())]
    a, b, c = (np.deg2rad(float(cells[labels.index(name)])) for name in names)
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    matrix = [
        [cc * cb * ca - sc * sa, cc * cb * sa + sc * ca, -cc * sb],
        [-sc * cb * ca - cc * sa, -sc * cb * sa + cc * ca, sc * sb],
        [sb * ca, sb * sa, cb],
    ]
    assert np.allclose(matrix, read_subtomograms(path).particles.rotations[0], atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("_rlnImageName", "_rlnOtherName", "no block has rlnImageName"),
        ("part 0", "lost 0", "row 1: the file .*lost 0.mrc is missing"),
    ],
)
def test_faults_are_reported_with_file_and_row(tmp_path, old, new, reported):
    path, _, _ = written(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(FormatError, match=reported):
        read_subtomograms(path)


def test_numbers_pixel_sizes_and_dimensions_are_checked(tmp_path):
    path, _, _ = written(tmp_path)
    good = path.read_text()
    with pytest.raises(FormatError, match="nothing.star"):
        read_subtomograms(tmp_path / "nothing.star")
    lines = good.splitlines()
    k = next(i for i, line in enumerate(lines) if line.startswith("opticsGroup1"))
    cells = lines[k].split("\t")
    word = [*lines[:k], "\t".join([*cells[:5], "wide", *cells[6:]]), *lines[k + 1 :]]
    path.write_text("\n".join(word))
    with pytest.raises(FormatError, match="rlnImagePixelSize must be a finite number above 0"):
        read_subtomograms(path)
    path.write_text(good)
    blocks = read_blocks(path)
    other = blocks["optics"].assign(rlnOpticsGroup=2, rlnImagePixelSize=7.0)
    blocks["optics"] = pd.concat([blocks["optics"], other], ignore_index=True)
    blocks["particles"]["rlnOpticsGroup"] = [1, 2] * 3
    write_blocks(path, blocks)
    with pytest.raises(FormatError, match=r"several pixel sizes \(5, 7 Å\)"):
        read_subtomograms(path)
    flat = [*lines[:k], "\t".join([*cells[:7], "2", *cells[8:]]), *lines[k + 1 :]]
    path.write_text("\n".join(flat))
    with pytest.raises(FormatError, match="subtomograms are 3D boxes"):
        read_subtomograms(path)


def test_names_with_quotes_are_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot hold names with quotes or line breaks: .*it's.mrc"):
        written(tmp_path, file="it's.mrc")


def test_weights_are_read_in_every_layout(tmp_path, rng):
    for n in (8, 9):
        full = np.fft.fftfreq(n)
        k = np.sqrt(full[:, None, None] ** 2 + 2 * full[None, :, None] ** 2 + 3 * full[None, None, :] ** 2)
        half = np.ascontiguousarray(k[:, :, : n // 2 + 1]).astype(np.float32)
        layouts = {"cube": np.fft.fftshift(k), "half": half, "two": np.concatenate([half, half + 5])}
        for name, data in layouts.items():
            mrc.write_volume(tmp_path / f"{name}.mrc", data.astype(np.float32), 1.0)
            assert np.allclose(read_weights(tmp_path / f"{name}.mrc", n), half, atol=1e-6), (n, name)
    mrc.write_volume(tmp_path / "odd.mrc", np.zeros((4, 8, 8), np.float32), 1.0)
    with pytest.raises(FormatError, match="weights of boxes of 8 voxels must be 8×8×8, 5×8×8 or 5×8×16, got 8×8×4"):
        read_weights(tmp_path / "odd.mrc", 8)
    bad = np.ones((8, 8, 8), np.float32)
    bad[1, 1, 1] = np.nan
    with pytest.warns(RuntimeWarning):
        mrc.write_volume(tmp_path / "nan.mrc", bad, 1.0)
    with pytest.raises(FormatError, match="no numbers"):
        read_weights(tmp_path / "nan.mrc", 8)
