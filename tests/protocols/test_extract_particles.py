"""extract-particles: positions, pixel sizes, re-extraction, what is left out, and RELION's own particles."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.engine.parameters import protocol_named
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates2D, SetOfMicrographs, coordinates_2d_frame
from tests.engine.helpers import Bench

PIXEL, NAMES = 2.0, ("mic one", "mic 'b'", "empty")
SIZE = {NAMES[0]: (120, 150), NAMES[1]: (101, 133), NAMES[2]: (64, 64)}  # y, x


def images_of(particles):
    frame = particles.frame()
    stacks = {file: mrc.open_volume(file) for file in frame["file"].unique()}
    return np.stack([stacks[f][k] for f, k in zip(frame["file"], frame["index"], strict=True)]), frame


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with micrographs of noise, one of them without picks, and with picks at fractions of a pixel."""
    made = Bench(tmp_path_factory.mktemp("extract") / "p")
    source = made.project.new_run(protocol_named("simulate-micrographs"), "source")
    made.project.saveProtocol(source)
    folder = Path(source.getWorkingDir())
    (folder / "extra").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for name, (rows_y, columns) in SIZE.items():
        file = folder / "extra" / f"{name}.mrc"
        y, x = np.indices((rows_y, columns))
        image = rng.normal(100, 5, (rows_y, columns)) + 0.1 * x - 0.2 * y
        if name == NAMES[1]:
            image[10:14, 100] = np.nan
        mrc.write_volume(file, image[None].astype(np.float32), PIXEL)
        rows.append({"micrograph_id": name, "file": str(file), "size_x": columns, "size_y": rows_y})
    frame = pd.DataFrame(rows).assign(defocus_u=[12000.0, np.nan, np.nan], defocus_v=[11000.0, np.nan, np.nan])
    micrographs = SetOfMicrographs.create(folder / "micrographs.sqlite", pixel_size=PIXEL, voltage=200.0)
    micrographs.extend(frame)
    picks = SetOfCoordinates2D.create(folder / "truth.sqlite", pixel_size=PIXEL, box_size=33)
    picks.extend(coordinates_2d_frame(NAMES[0], [[100.7, 90.2], [180, 121], [2, 2]], score=[3, 2, 1]))
    picks.extend(coordinates_2d_frame(NAMES[1], [[100.0, 90.0], [200, 36]]))
    picks.extend(coordinates_2d_frame("not here", [[1.0, 1.0]]))
    source._register(None, micrographs=micrographs, truth=picks)
    source.setStatus("finished")
    made.project._storeProtocol(source)
    made.project.mapper.commit()
    return made


def extract(bench, label, **given):
    given = {"coordinates": "source.truth", "micrographs": "source.micrographs", **given}
    return bench.run("extract-particles", label, **given)


def test_boxes_are_where_the_picks_are(bench):
    run = extract(bench, "plain", box_size=32, normalize="no", invert="no")
    images, frame = images_of(run.particles)
    assert frame["particle_id"].tolist() == [1, 2, 3] and frame["score"].tolist() == [3, 2, 0]
    assert run.particles.pixel_size.get() == PIXEL and not run.particles.white.get()
    assert run.particles.voltage.get() == 200.0
    micrograph = mrc.open_volume(run.input_micrographs.get().frame()["file"].iloc[0])[0]
    assert_allclose(images[0], micrograph[45 - 16 : 45 + 16, 50 - 16 : 50 + 16])
    assert_allclose(images[1], micrograph[61 - 16 : 61 + 16, 90 - 16 : 90 + 16])
    assert_allclose(frame[["x", "y"]].iloc[:2], [[100, 90], [180, 122]])
    assert_allclose(frame[["shift_x", "shift_y"]].iloc[:2], [[0.7, 0.2], [0, -1]])
    assert frame["defocus_u"].iloc[0] == 12000 and np.isnan(frame["defocus_u"].iloc[2])


def test_what_is_left_out_is_counted_and_listed(bench):
    run = extract(bench, "remarks", box_size=32)
    said = " ".join(run._remarks())
    assert "1 particle was left out: the box does not fit into the micrograph" in said
    assert "1 particle was left out: the box holds pixels that are no numbers" in said
    assert "1 of 3 micrographs has no picks (empty)" in said
    assert "No micrograph for the particles of not here" in said
    assert "The CTF of 1 micrograph is not known (mic 'b')" in said
    listed = pd.read_csv(run._getExtraPath("left_out.csv"))
    assert listed["micrograph_id"].tolist() == [NAMES[0], NAMES[1]]
    assert_allclose(listed[["x", "y"]], [[2, 2], [200, 36]])


def test_the_box_of_the_coordinates_is_made_even(bench):
    assert extract(bench, "usual").particles.box_size.get() == 32  # 33 of the picks, rounded to even


def test_edges_are_repeated_if_asked(bench):
    run = extract(bench, "pad", box_size=32, border="pad", normalize="no")
    assert len(run.particles.frame()) == 4


def test_two_sizes_have_the_same_particles(bench):
    run = extract(bench, "two", box_size=48, rescale=16, second_box_size=60, second_rescale=50)
    small, large = run.particles, run.second_particles
    assert small.pixel_size.get() == PIXEL * 48 / 16 and large.pixel_size.get() == PIXEL * 60 / 50
    assert (small.box_size.get(), large.box_size.get()) == (16, 50)
    a, b = small.frame(), large.frame()
    assert len(a) and a["particle_id"].tolist() == b["particle_id"].tolist()
    assert_allclose(a[["x", "y", "shift_x", "shift_y"]], b[["x", "y", "shift_x", "shift_y"]])
    images, _ = images_of(small)
    y, x = np.indices((16, 16)) - 8
    outside = np.hypot(x, y) > 6  # 0.75 × 48 / 2 / 3
    assert_allclose(images[:, outside].mean(axis=1), 0, atol=1e-4)
    assert_allclose(images[:, outside].std(axis=1), 1, atol=1e-3)
    assert mrc.read_header(a["file"].iloc[0]).pixel_size == pytest.approx(6.0)


@pytest.mark.parametrize("point", [None, (3.0, -2.0, 5.0)])
def test_particles_are_cut_again_at_their_refined_centres(bench, point):
    """A particle of another pixel size and pose: the point of the reference is at the centre, the rest is kept."""
    label = f"again {point is not None}"
    first = extract(bench, f"first {label}", box_size=32, rescale=16)
    given = dict(zip(("recenter_x", "recenter_y", "recenter_z"), point or (), strict=False))
    given |= {"coordinates": f"first {label}.particles", "box_size": 40, "recenter": point is not None}
    again = bench.add("extract-particles", label, **given)
    source = first.particles
    turn = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    moved = source.frame()
    moved["shift_x"] += 3.3
    for k, name in enumerate(f"r{i}{j}" for i in "123" for j in "123"):
        moved[name] = turn.ravel()[k]
    other = type(source).create(source.getFileName())
    other.copy_fields(source)
    other.extend(moved)
    other.write()
    bench.go(again)
    frame = bench.project.getProtocol(again).particles.frame()
    shown = (turn @ np.array(point or (0, 0, 0)))[:2] * source.pixel_size.get()
    wanted = moved[["x", "y"]].to_numpy() + moved[["shift_x", "shift_y"]].to_numpy() + shown
    assert_allclose(frame[["x", "y"]].to_numpy() + frame[["shift_x", "shift_y"]].to_numpy(), wanted, atol=1e-6)
    assert_allclose(frame["x"] / PIXEL, np.rint(frame["x"] / PIXEL), atol=1e-9)
    assert (np.abs(frame[["shift_x", "shift_y"]]) <= PIXEL / 2 + 1e-9).all().all()
    assert frame["particle_id"].tolist() == moved["particle_id"].tolist()
    assert_allclose(frame["r12"], -1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"box_size": 31}, "Particle box size must be even, got 31"),
        ({"box_size": 32, "rescale": 15}, "Re-scaled size must be even, got 15"),
        ({"box_size": 32, "second_box_size": 41}, "Particle box size must be even, got 41"),
        ({"box_size": 32, "background_diameter": 40}, "must not exceed the box of 32"),
    ],
)
def test_wrong_sizes_are_one_sentence(bench, given, sentence):
    i = bench.add("extract-particles", f"bad {len(str(given))}", coordinates="source.truth", **given)
    assert sentence in " ".join(bench.project.getProtocol(i).validate())


def test_a_box_that_fits_nowhere_fails_with_a_sentence(bench):
    i = bench.add("extract-particles", "too large", coordinates="source.truth", box_size=140)
    assert bench.go(i)[i] == "failed"
    assert "No box of 140 pixels fits into a micrograph" in bench.project.getProtocol(i).getErrorMessage()


def without_nyquist(images):
    """Return images without the Nyquist frequency, of which RELION keeps one side whole where we keep half of each."""
    n = images.shape[-1]
    spectrum = np.fft.rfft2(images)
    spectrum[:, n // 2], spectrum[:, :, n // 2] = 0, 0
    return np.fft.irfft2(spectrum, (n, n))


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed")
@pytest.mark.parametrize("rescale", [0, 24, 32])
def test_relion_cuts_the_same_particles(bench, tmp_path, rescale):
    """relion_preprocess 3.1.3: the same boxes, inverted, rescaled and normalised."""
    run = extract(bench, f"relion {rescale}", box_size=48, rescale=rescale, border="pad")
    images, frame = images_of(run.particles)
    frame = frame[frame["micrograph_id"] == NAMES[0]]
    micrograph = run.input_micrographs.get().frame()["file"].iloc[0]
    shutil.copy(micrograph, tmp_path / "a.mrc")
    (tmp_path / "mics.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroupName #1\n_rlnOpticsGroup #2\n_rlnMicrographOriginalPixelSize #3\n"
        "_rlnVoltage #4\n_rlnSphericalAberration #5\n_rlnAmplitudeContrast #6\n_rlnMicrographPixelSize #7\n"
        "a 1 2.0 200 2.7 0.1 2.0\n\ndata_micrographs\n\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\na.mrc 1\n\n"
    )
    picks = frame[["x", "y"]].to_numpy() / PIXEL  # RELION cuts fractions of a pixel off
    rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in picks)
    head = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"
    (tmp_path / "a_pick.star").write_text(head + rows + "\n")
    final = rescale or 48
    command = ["relion_preprocess", "--i", "mics.star", "--coord_dir", "./", "--coord_suffix", "_pick.star"]
    command += ["--part_dir", "Particles/", "--part_star", "out.star", "--extract", "--extract_size", "48", "--norm"]
    command += ["--bg_radius", str(0.75 * final / 2), "--invert_contrast"]
    command += ["--scale", str(rescale)] if rescale else []
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    theirs = mrc.open_volume(next((tmp_path / "Particles").rglob("*.mrcs")))
    assert theirs.shape == images[: len(frame)].shape
    for mine, other in zip(without_nyquist(images), without_nyquist(theirs), strict=False):
        assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > 0.99999
        assert mine.std() == pytest.approx(other.std(), rel=0.02)  # the background's deviation has that frequency
