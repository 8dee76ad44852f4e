"""Every format to itself and to every other, there and back: positions, shifts, orientations, columns, tags."""

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError
from emtomo.io import formats
from emtomo.io.formats import FORMATS, WRITTEN, read, write
from emtomo.io.particles import concatenate, convert_frame
from emtomo.io.recognise import recognise
from tests.io.seeds import SIZES, particles

POSITIONED = tuple(kind for kind in WRITTEN if kind != "eman-list")
ORIENTED = tuple(kind for kind in POSITIONED if "rotation" in FORMATS[kind].holds)
FLOAT32 = {"motl", "imod"}
SAME = {"warp": "relion3.0"}


def there(kind, given, folder):
    """Write and read back; several files are joined, numbers named by the table map."""
    folder.mkdir(exist_ok=True, parents=True)
    name = given.tomograms[0] if len(set(given.tomograms)) == 1 else "several"
    path = folder / f"{name}{'_info.json' if kind == 'eman' else FORMATS[kind].suffix}"
    if FORMATS[kind].one_tomogram and name == "several":
        path = folder / name
    files = write(path, given, kind, sizes=SIZES)
    maps = [f for f in files if f.suffix == ".doc"]
    parts = []
    for file in files:
        if file in maps:
            continue
        assert recognise(file) == SAME.get(kind, kind)
        part = read(file, table_map=maps[0] if maps else None, sizes=SIZES)
        if not part.tomograms.any():
            part.tomograms = np.full(len(part), file.stem if file != path else given.tomograms[0], object)
        parts.append(part)
    return concatenate(parts)


def centres(given):
    """Return refined centres in Å from the corner, in the order of tomograms and places."""
    here = convert_frame(given, "angstrom", "corner", volumes=SIZES, pixel_size=None)
    return here.centres


def partners(a, b, tolerance):
    """Return for every place in `a` the index of the same one in `b`, each once."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(b).query(a)
    assert len(a) == len(b) and len(set(index)) == len(a)
    assert distance.max(initial=0) < tolerance
    return index


def compare(first, second, kinds):
    """Compare centres, and orientations where all formats on the way have them, whatever the order."""
    index = partners(centres(first), centres(second), 4e-3 if FLOAT32 & set(kinds) else 4e-5)
    if first.rotations is None or second.rotations is None:
        assert not set(kinds) <= set(ORIENTED)
    elif set(kinds) <= set(ORIENTED):
        assert_allclose(first.rotations, second.rotations[index], atol=1e-5)
    elif set(kinds) <= {*ORIENTED, "imod"}:  # a model has the z axis only
        assert_allclose(first.rotations[:, :, 2], second.rotations[index][:, :, 2], atol=1e-4)


def with_pixels(given):
    given.pixel_size = np.full(len(given), 10.0)
    return given


@pytest.mark.parametrize(("one", "other"), list(itertools.product(POSITIONED, repeat=2)))
def test_every_pair_of_formats_keeps_places_and_orientations(one, other, tmp_path):
    given = particles(8, seed=zlib.crc32(f"{one} {other}".encode()) % 1000)
    first = with_pixels(there(one, given, tmp_path / "one"))
    compare(given, first, [one])
    second = with_pixels(there(other, first, tmp_path / "other"))
    compare(first, second, [one, other])
    back = with_pixels(there(one, second, tmp_path / "back"))
    compare(first, back, [one, other])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(POSITIONED),
    n=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    far=st.sampled_from([1.0, 1e-3, 1e4]),
    tomograms=st.integers(1, 2),
)
def test_any_particles_come_back_from_any_format(tmp_path_factory, kind, n, seed, far, tomograms):
    given = particles(n, seed, tomograms=tomograms)
    given.positions = (given.positions - 100) * far  # also negative and far away
    back = with_pixels(there(kind, given, tmp_path_factory.mktemp("any")))
    tolerance = (2e-6 if kind in FLOAT32 else 1e-8) * max(1.0, 200 * far) * 10 + 2e-5
    partners(centres(given), centres(back), tolerance)


@pytest.mark.parametrize("kind", POSITIONED)
def test_columns_and_tags_that_a_format_holds_come_back_and_the_others_are_reported(kind, tmp_path):
    given = particles(6, tomograms=1)
    reported = formats.list_losses(given, kind)
    back = there(kind, given, tmp_path)
    holds = FORMATS[kind].holds - ({"class_number"} if kind == "scipion" else set())
    order = np.argsort(given.columns["group"], kind="stable") if kind == "imod" else np.arange(6)
    for name, values in given.columns.items():
        if name in holds:
            assert_allclose(back.columns[name], values[order], atol=1e-6, err_msg=name)
        else:
            assert formats.WORDS[name] in reported
    if "tags" in holds:
        expected = given.tags.as_dict()
        got = {name: value for name, value in back.tags.as_dict().items() if name not in ("centre", "half")}
        assert got == expected
        assert got["hand"] == -1 and got["white"] is True and got["weights"] == "ctf_squared"
    else:
        assert "tags" in reported
    if "shift" in holds:
        a, b = given.shifts, convert_frame(with_pixels(back), "voxel", "corner", volumes=SIZES).shifts
        assert_allclose(a, b, atol=1e-5)
    elif kind != "imod":
        assert any("shifts" in word for word in reported)


def test_poses_without_places_go_through_emans_list(tmp_path):
    given = particles(5, tomograms=1)
    path = write(tmp_path / "parms.json", given, "eman-list")[0]
    back = read(path)
    assert back.format == "eman-list" and np.isnan(back.positions).all()
    assert_allclose(back.rotations, given.rotations, atol=1e-8)
    assert_allclose(back.shifts, given.shifts, atol=1e-8)
    assert_allclose(back.columns["score"], given.columns["score"])
    with pytest.raises(EmtomoError, match="no positions"):
        write(tmp_path / "x.tbl", back, "dynamo")


@pytest.mark.parametrize("kind", ["relion3.1", "relion4", "relion5"])
def test_columns_that_emtomo_does_not_understand_stay(kind, tmp_path):
    source = tmp_path / "a.star"
    source.write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnOpticsGroupName\n_rlnImagePixelSize\n_rlnMagMat00\n"
        "_rlnTomoTiltSeriesPixelSize\n1 og1 10.0 1.0012345 10.0\n\ndata_particles\n\nloop_\n_rlnTomoName\n"
        "_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnOpticsGroup\n_rlnNormCorrection\n"
        "_rlnTomoVisibleFrames\n_myOwn\nTS_01 1 2 3 1 0.987654321 [1,0,1] abc\nTS_01 4 5 6 1 1.5 [1,1,1] def\n"
    )
    given = read(source)
    write(tmp_path / "b.star", given, kind, sizes=SIZES)
    back = read(tmp_path / "b.star")
    for name in ("rlnNormCorrection", "rlnTomoVisibleFrames", "myOwn"):
        assert back.other[name].tolist() == given.other[name].tolist()
    assert back.optics is not None and back.optics["rlnMagMat00"].tolist() == [1.0012345]


@pytest.mark.parametrize("kind", ["relion4", "relion5"])
def test_frames_of_relions_boxes_stay(kind, tmp_path):
    given = particles(5)
    given.frames = particles(5, seed=9).rotations
    back = there(kind, given, tmp_path)
    assert_allclose(back.frames, given.frames, atol=1e-8)
    assert_allclose(back.rotations, given.rotations, atol=1e-8)
    compare(given, with_pixels(back), [kind])
