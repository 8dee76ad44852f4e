"""Conversions as a user meets them: recognised, matched by name, losses reported; cases that go wrong elsewhere."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.io import savemat

from emtomo.errors import EmtomoError
from emtomo.io import containers, eman, formats, images, mrc, volumes
from emtomo.io.convert import convert_particles, downgrade
from emtomo.io.convert_images import convert_image
from emtomo.io.dynamo import ListedVolume, read_vll, write_vll
from emtomo.io.formats import read
from emtomo.io.matfile import read_matlab
from emtomo.io.names import tomostar
from emtomo.io.particles import ParticleList, VolumeGeometry, convert_frame, relion_centre
from emtomo.io.poses import from_relion
from emtomo.io.recognise import recognise
from emtomo.io.star import read_blocks
from tests.io.seeds import BINARY, SIZES, TEXT_LISTS, TEXT_PARTICLES, particles, write_seed


def save(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("kind", [*TEXT_PARTICLES, *BINARY, *TEXT_LISTS])
def test_every_format_is_recognised_by_content(kind, tmp_path):
    path = write_seed(kind, tmp_path)
    assert recognise(path) == {"warp": "relion3.0"}.get(kind, kind)
    if kind not in ("box", "doc", "vll", "motl"):  # plain numbers, words and EM images need their ending
        renamed = path.rename(path.with_name(f"{path.stem}.unknown"))
        assert recognise(renamed) == {"warp": "relion3.0"}.get(kind, kind)


def test_a_conversion_says_what_it_recognised_wrote_and_lost(tmp_path):
    path = write_seed("dynamo", tmp_path)
    done = convert_particles(path, tmp_path / "p.star", table_map=path.with_suffix(".doc"))
    assert done.lines[0] == "Recognised Dynamo table: 6 particles in 2 tomograms, 10 Å per voxel."
    assert "Written: 6 particles with orientations as RELION 3.1." in done.lines
    assert "columns of its own" in done.lines[-1]
    assert read(tmp_path / "p.star").tomograms.tolist() == ["TS_01", "TS_02"] * 3
    done = convert_particles(tmp_path / "p.star", tmp_path / "models", to="imod")
    assert [p.name for p in done.files] == ["TS_01.mod", "TS_02.mod"]
    assert "rotations about the z axis" in done.lines[-1]
    back = convert_particles(tmp_path / "models", tmp_path / "q.csv")
    assert "from 2 files: 6 particles in 2 tomograms" in back.lines[0]


def test_names_match_by_their_stem_and_unmatched_ones_of_both_sides_are_reported(tmp_path):
    path = save(tmp_path, "p.csv", "tomogram,x,y,z\na/TS_01.mrc_15.00Apx.mrc,1,2,3\nTS_9.mrc.tomostar,4,5,6\n")
    for name in ("TS_01_7.90Apx.mrc", "TS_02.mrc"):
        mrc.write_volume(tmp_path / name, np.zeros((20, 30, 40), np.float32), 7.9)
    folder = tmp_path / "tomograms"
    folder.mkdir()
    for name in ("TS_01_7.90Apx.mrc", "TS_02.mrc"):
        (tmp_path / name).rename(folder / name)
    done = convert_particles(path, tmp_path / "o.star", tomograms=folder, pixel_size=7.9)
    assert "No tomogram for TS_9.mrc.tomostar." in done.lines
    assert "No particles for TS_02." in done.lines
    only = save(tmp_path, "q.csv", "tomogram,x,y,z\nnobody,1,2,3\n")
    with pytest.raises(EmtomoError, match="No name of a tomogram matches: the particles name nobody, .* TS_01, TS_02"):
        convert_particles(only, tmp_path / "o.star", tomograms=folder)
    assert not (tmp_path / "o2.star").exists()


def test_warps_names():
    given = ["a/b/TS_01.mrc_15.00Apx.mrc", "TS_01_7.90Apx.mrc", "TS_01.mrc.tomostar", "TS_01.rec", "TS_01"]
    expected = ["TS_01.mrc.tomostar", "TS_01.tomostar", "TS_01.mrc.tomostar", "TS_01.tomostar", "TS_01.tomostar"]
    assert [tomostar(name) for name in given] == expected


# --- places: units, origins, sizes ---


def test_relion_5_counts_from_half_the_size_and_we_from_the_middle_voxel():
    assert relion_centre(np.array([4000, 4001, 7])).tolist() == [2000, 2000.5, 3.5]
    given = ParticleList(np.array(["a"], object), np.array([[10.0, 10, 3]]), np.zeros((1, 3)))
    sizes = {"a": VolumeGeometry((20, 21, 7), 2.0)}
    assert_allclose(convert_frame(given, "angstrom", "half", volumes=sizes).positions, [[0, -1, -1]])
    assert_allclose(convert_frame(given, "angstrom", "centre", volumes=sizes).positions, [[0, 0, 0]])
    back = convert_frame(convert_frame(given, "angstrom", "half", volumes=sizes), "voxel", "corner", volumes=sizes)
    assert_allclose(back.positions, given.positions)


def test_fractions_of_the_tomogram(tmp_path):
    path = save(tmp_path, "n.star", "data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
                "_rlnCoordinateZ\nTS_01 0.5 0.25 0.1\nTS_01 0.25 0.5 0.2\n")  # fmt: skip
    found = read(path)
    assert found.unit == "fraction" and "fractions" in found.notes[0]
    here = convert_frame(found, "voxel", "corner", volumes=SIZES)
    assert_allclose(here.positions, [[256, 120, 20], [128, 240, 40]])
    with pytest.raises(EmtomoError, match="without the size of the tomogram"):
        convert_frame(found, "voxel", "corner")


def test_what_is_not_known_is_asked_for(tmp_path):
    path = save(tmp_path, "p.csv", "1 2 3\n4 5 6\n")
    with pytest.raises(EmtomoError, match="needs the pixel size of the positions"):
        convert_particles(path, tmp_path / "p.star", to="relion3.1")
    with pytest.raises(EmtomoError, match="without the size of the tomogram"):
        convert_particles(path, tmp_path / "p.star", to="relion5", pixel_size=5.0)
    with pytest.raises(EmtomoError, match="name does not say the format"):
        convert_particles(path, tmp_path / "p.dat")
    with pytest.raises(EmtomoError, match="cannot be written; formats that can are relion5, relion4"):
        convert_particles(path, tmp_path / "p.cbox", to="cbox")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.csv"]


def test_one_tomogram_is_that_of_positions_without_name(tmp_path):
    path = save(tmp_path, "p.csv", "1 2 3\n4 5 6\n")
    mrc.write_volume(tmp_path / "TS_7.mrc", np.zeros((20, 30, 41), np.float32), 5.0)
    convert_particles(path, tmp_path / "p.star", to="relion5", tomograms=tmp_path / "TS_7.mrc")
    found = read(tmp_path / "p.star")
    assert found.tomograms.tolist() == ["TS_7", "TS_7"]
    assert_allclose(found.positions, (np.array([[1, 2, 3], [4, 5, 6]]) - [20.5, 15, 10]) * 5)


def test_programs_that_count_from_one(tmp_path):
    path = write_seed("dynamo", tmp_path)
    before = read(path).positions
    done = convert_particles(path, tmp_path / "p.csv", origin_offset=1)
    assert_allclose(read(tmp_path / "p.csv").positions, before - 1)
    assert "1 was taken off every position." in done.lines


def test_tomograms_as_relions_optimisation_set(tmp_path):
    path = write_seed("optimisation-set", tmp_path)
    sizes = volumes.read_volumes(path)
    assert sizes["TS_01"] == VolumeGeometry((400, 380, 160), 2.0)
    assert len(read(path)) == 6
    particle_file, tomogram_file = volumes.read_optimisation_set(path)
    assert (particle_file.name, tomogram_file.name) == ("p.star", "t.star")


def test_an_optimisation_set_is_written_for_relion_5(tmp_path):
    write_seed("optimisation-set", tmp_path)
    given = formats.write(tmp_path / "given.star", particles(tomograms=1), "relion3.1")[0]
    target = tmp_path / "run_optimisation_set.star"
    done = convert_particles(given, target, tomograms=tmp_path / "t.star")
    assert [p.name for p in done.files] == ["run_optimisation_set.star", "run_particles.star"]
    again = read(target)
    assert again.format == "relion5" and len(again) == 6
    assert volumes.read_volumes(target)["TS_01"].size == (400, 380, 160)
    with pytest.raises(EmtomoError, match=r"names a tomograms.star"):
        convert_particles(given, target)


# --- frames of EMAN, models, lists ---


def test_both_frames_of_eman(tmp_path):
    centred = save(tmp_path, "a__x_info.json", '{"apix_unbin": 2.5, "boxes_3d": [[10, -20, 5, "manual", 0.5, 1], '
                   '[10, -20, 5]], "class_list": {"1": {"name": "ribo"}, "0": "old"}}')  # fmt: skip
    found = read(centred)
    assert (found.unit, found.origin, found.pixel_size[0]) == ("voxel", "centre", 2.5)
    assert found.tomograms.tolist() == ["a", "a"]
    assert found.columns["label"].tolist() == ["ribo", "old"] and found.columns["score"].tolist() == [0.5, 0.0]
    # boxer: px = v apix_unbin / apix_tomo + n // 2
    here = convert_frame(found, "voxel", "corner", pixel_size=10.0, volumes={"a": VolumeGeometry((101, 80, 40), 10.0)})
    assert_allclose(here.positions[0], [2.5 + 50, -5 + 40, 1.25 + 20])
    corner = save(tmp_path, "b_info.json", '{"boxes_3d": [[10, 20, 5]]}')
    assert read(corner).origin == "corner" and "No apix_unbin" in read(corner).notes[0]


def test_an_info_file_of_eman_keeps_what_else_stands_in_it(tmp_path):
    path = save(tmp_path, "TS_01_info.json", '{"boxes_3d": [[1, 2, 3]], "defocus": [3.5], "tlt_file": "a.hdf"}')
    eman.write_info(path, particles(3, tomograms=1))
    text = path.read_text()
    assert '"defocus"' in text and '"tlt_file"' in text and len(read(path)) == 3


def test_volume_lists_of_dynamo(tmp_path):
    path = write_seed("vll", tmp_path)
    found = read_vll(path)
    assert [v.path for v in found] == ["/data/TS_01.mrc", "/data/TS_02.mrc"]
    assert found[0].values == {"index": "1", "ytilt": "-60 60", "table": "crop.tbl"}
    write_vll(tmp_path / "b.vll", [*found, ListedVolume("/data/a b.mrc", {"model": "m.omd"})])
    assert read_vll(tmp_path / "b.vll")[:2] == found
    assert read_vll(tmp_path / "b.vll")[2] == ListedVolume("/data/a b.mrc", {"model": "m.omd"})


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_are_read_as_scipy_reads_them(compressed, tmp_path):
    given = {"a": np.arange(12.0).reshape(3, 4), "s": {"t": "text", "n": np.int16([[1, 2]]), "in": {"x": 5.0}},
             "c": np.array([[1.0, "two"]], object), "l": np.array([{"k": 1.0}, {"k": 2.0}])}  # fmt: skip
    savemat(tmp_path / "a.mat", given, do_compression=compressed)
    found = read_matlab(tmp_path / "a.mat")
    assert_allclose(found["a"], given["a"])
    assert found["s"]["t"] == "text" and found["s"]["n"].tolist() == [[1, 2]] and found["s"]["in"]["x"] == 5
    assert found["c"][1] == "two" and [r["k"].item() for r in found["l"]] == [1, 2]


def test_catalogues_of_dynamo(tmp_path):
    folder = tmp_path / "cat" / "tomograms"
    for k in (1, 12):
        (folder / f"volume_{k}" / "models").mkdir(parents=True)
    model = write_seed("dynamo-model", tmp_path)
    (folder / "volume_12" / "models" / "m.omd").write_bytes(model.read_bytes())
    formats.write(folder / "volume_1" / "crop.tbl", particles(3, tomograms=1), "dynamo")
    found = read(tmp_path / "cat")
    assert found.format == "dynamo-catalogue" and found.tomograms.tolist() == ["1"] * 3 + ["12"] * 6
    assert_allclose(found.positions[3:], particles().positions)
    assert np.isfinite(found.rotations[:3]).all() and np.isnan(found.rotations[3:]).all()
    done = convert_particles(tmp_path / "cat", tmp_path / "c.csv")
    assert "Recognised Dynamo catalogue: 9 particles in 2 tomograms" in done.lines[0]
    savemat(tmp_path / "o.omd", {"name": "a model", "cells": np.array([[1, "x"]], object)})
    objects = tmp_path / "o.omd"
    with pytest.raises(EmtomoError, match="In MATLAB: m = dread"):
        read(objects)


def test_downgrade_takes_each_optics_groups_own_pixel_size(tmp_path):
    path = save(tmp_path, "p.star", "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n1 2.0\n2 4.0\n\n"
                "data_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
                "_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n"
                "_rlnOpticsGroup\nA 10 10 10 1 2 3 8 8 8 1\nB 10 10 10 1 2 3 8 8 8 2\n")  # fmt: skip
    downgrade(path)
    table = next(iter(read_blocks(tmp_path / "p_rln3.0.star").values()))
    assert list(table) == ["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnAngleRot",
                           "rlnAngleTilt", "rlnAnglePsi"]  # fmt: skip
    assert table["rlnCoordinateX"].tolist() == [6.0, 8.0]
    other = write_seed("dynamo", tmp_path)
    with pytest.raises(EmtomoError, match="not of RELION"):
        downgrade(other)


def test_relion_3_1_counts_in_voxels_of_the_tomogram_not_of_scaled_boxes(tmp_path):
    path = save(tmp_path, "p.star", "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnMicrographOriginalPixelSize\n"
                "_rlnImagePixelSize\n1 2.0 8.0\n\ndata_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n"
                "_rlnCoordinateY\n_rlnCoordinateZ\n_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n"
                "_rlnOpticsGroup\nA 100 200 300 4 0 -4 1\n")  # fmt: skip
    found = read(path)
    assert found.pixel_size.tolist() == [2.0]
    assert_allclose(found.centres, [[98, 200, 302]])
    for kind in ("relion3.0", "relion3.1", "relion4"):
        convert_particles(path, tmp_path / "q.star", to=kind)
        again = read(tmp_path / "q.star")
        assert_allclose(again.centres * again.pixel_size[:, None], [[196, 400, 604]])
        if kind == "relion3.1":
            assert again.optics["rlnImagePixelSize"].tolist() == [8.0] and again.pixel_size.tolist() == [2.0]


# --- edges of STAR ---


def test_blocks_in_any_order_comments_brackets_negative_and_huge_angles(tmp_path):
    path = save(tmp_path, "p.star", "# version 30001\r\ndata_particles\r\n\r\nloop_\r\n_rlnTomoName #1\r\n"
                "_rlnCoordinateX #2\r\n_rlnCoordinateY #3\r\n_rlnCoordinateZ #4\r\n_rlnAngleRot\r\n_rlnAngleTilt\r\n"
                "_rlnAnglePsi\r\n_rlnOpticsGroup\r\n_rlnTomoVisibleFrames\r\n# a comment\r\n"
                "'TS one' -1.5 2 3 3867.465 -30 10742.958 1 [1,0,1]\r\n\r\n\r\ndata_optics\r\n_rlnOpticsGroup 1\r\n"
                "_rlnTomoTiltSeriesPixelSize 2.5\r\n")  # fmt: skip
    found = read(path)
    assert found.tomograms.tolist() == ["TS one"] and found.positions[0, 0] == -1.5
    assert found.pixel_size.tolist() == [2.5]
    assert_allclose(found.rotations, from_relion([[3867.465 - 3600, -30, 10742.958 - 10800]]), atol=1e-9)
    assert found.other["rlnTomoVisibleFrames"].tolist() == ["[1,0,1]"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n4 5\n", "line 8: a row needs 3"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3\n\n4 5 x\n", "line 9: .*got 'x'"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 3 4\n", "line 7: a row needs 3"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateX\n1 2\n", "same name"),
        ("data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n", "no particle"),
        ("data_\n\nloop_\n_rlnImageName\na\n", "no block has rlnCoordinateX"),
        ("hello\n", "not a STAR file"),
    ],
)
def test_each_fault_of_a_star_file_names_the_line(text, message, tmp_path):
    path = save(tmp_path, "p.star", text)
    with pytest.raises(EmtomoError, match=message) as caught:
        read(path, "relion3.0")
    assert str(path) in str(caught.value)


def test_what_is_no_file_of_particles_is_reported(tmp_path):
    with pytest.raises(EmtomoError, match="cannot be read"):
        read(tmp_path / "nothing.star")
    mrc.write_volume(tmp_path / "a.mrc", np.zeros((4, 4, 4), np.float32), 1.0)
    with pytest.raises(EmtomoError, match="holds no particles"):
        read(tmp_path / "a.mrc")
    with pytest.raises(EmtomoError, match="binary file of no kind"):
        read(save(tmp_path, "b.dat", bytes(range(256))))
    with pytest.raises(EmtomoError, match="neither an OME-Zarr"):
        read(tmp_path)


def test_single_particles_have_no_z_and_go_only_where_none_is_needed(tmp_path):
    path = save(tmp_path, "p.star", "data_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
                "_rlnAnglePsi\nm.mrc 10 20 30\n")  # fmt: skip
    found = read(path)
    assert found.flat
    convert_particles(path, tmp_path / "q.star", to="relion3.0")
    again = read(tmp_path / "q.star")
    assert again.flat and "rlnCoordinateZ" not in next(iter(read_blocks(tmp_path / "q.star").values()))
    for kind in ("dynamo", "relion5", "imod"):
        with pytest.raises(EmtomoError, match="these have no z"):
            formats.write(tmp_path / "x", found, kind, sizes=SIZES)


# --- images ---


@pytest.mark.parametrize("shape", [(7, 10, 13), (1, 6, 5), (130, 4, 9)])
def test_images_go_round_every_format(shape, tmp_path):
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mrc.write_volume(tmp_path / "a.mrc", data, 5.5)
    names = ["a.mrc", "b.tif", "c.zarr", "d.mrc"]
    for one, other in zip(names, names[1:], strict=False):
        done = convert_image(tmp_path / one, tmp_path / other)
        assert "5.5 Å per voxel" in done.lines[0]
        assert np.array_equal(images.read_any(tmp_path / other), data)
        assert images.describe(tmp_path / other).pixel_size == pytest.approx(5.5)
    assert recognise(tmp_path / "c.zarr") == "zarr"


def test_ome_zarr_is_what_the_specification_asks(tmp_path):
    import json

    containers.write_zarr(tmp_path / "a.zarr", np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8), 10.0)
    (scales,) = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())["multiscales"]
    assert scales["version"] == "0.4" and [a["name"] for a in scales["axes"]] == ["z", "y", "x"]
    assert [d["coordinateTransformations"][0]["scale"] for d in scales["datasets"]] == [
        [10.0] * 3,
        [20.0] * 3,
        [40.0] * 3,
    ]
    import zarr

    coarse = zarr.open_group(tmp_path / "a.zarr", mode="r")["1"][...]
    assert coarse.shape == (2, 3, 4)
    assert coarse[0, 0, 0] == pytest.approx(np.mean([0, 1, 8, 9, 48, 49, 56, 57]))


def test_stacks_of_eman(tmp_path):
    import h5py

    data = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    with h5py.File(tmp_path / "e.hdf", "w") as file:
        for k in range(2):
            group = file.create_group(f"MDF/images/{k}")
            group["image"] = data + k
            group.attrs["EMAN.apix_x"] = 4.0
    assert images.describe(tmp_path / "e.hdf").pixel_size == 4.0
    assert np.array_equal(containers.read_hdf(tmp_path / "e.hdf", "2")[0], data + 1)
    with pytest.raises(EmtomoError, match="no volume '5'"):
        containers.read_hdf(tmp_path / "e.hdf", "5")
    with h5py.File(tmp_path / "p.hdf", "w") as file:
        file["data"] = data
    assert np.array_equal(images.read_any(tmp_path / "p.hdf"), data)


def test_images_that_cannot_be_are_reported(tmp_path):
    save(tmp_path, "a.hdf", b"\x89HDF\r\n\x1a\n" + bytes(50))
    with pytest.raises(EmtomoError, match="not an HDF5 file"):
        images.describe(tmp_path / "a.hdf")
    (tmp_path / "z.zarr").mkdir()
    save(tmp_path / "z.zarr", ".zgroup", '{"zarr_format": 2}')
    with pytest.raises(EmtomoError, match="not an OME-Zarr"):
        images.describe(tmp_path / "z.zarr")
    mrc.write_volume(tmp_path / "a.mrc", np.zeros((4, 4, 4), np.float32), 0.0)
    with pytest.raises(EmtomoError, match="OME-Zarr needs"):
        convert_image(tmp_path / "a.mrc", tmp_path / "b.zarr")
    with pytest.raises(EmtomoError, match="images are written as"):
        convert_image(tmp_path / "a.mrc", tmp_path / "b.png")


# --- nothing is lost, nothing is guessed ---


def test_what_is_asked_wrongly_is_reported(tmp_path):
    path = save(tmp_path, "p.csv", "1 2 3 10 20 30\n")
    with pytest.raises(EmtomoError, match="Angles in text are one of normals, relion"):
        read(path, angles="bad")
    with pytest.raises(EmtomoError, match="no format 'nonsense'; the formats are optimisation-set, .*relion3.0"):
        read(path, "nonsense")


def test_particles_without_orientation_among_others_are_reported(tmp_path):
    given = particles(4, tomograms=1)
    given.rotations[1] = np.nan
    assert formats.unoriented_message(given) == ["1 of 4 particles has no orientation; angles of zero stand for it."]
    assert formats.unoriented_message(particles(4)) == []


def test_a_folder_that_is_no_zarr_is_not_replaced(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    keep = save(tmp_path / "a.zarr", "mine.txt", "keep me")
    with pytest.raises(EmtomoError, match="not replaced"):
        containers.write_zarr(tmp_path / "a.zarr", np.zeros((4, 4, 4), np.float32), 1.0)
    assert keep.read_text() == "keep me"
    containers.write_zarr(tmp_path / "b.zarr", np.zeros((4, 4, 4), np.float32), 1.0)
    containers.write_zarr(tmp_path / "b.zarr", np.ones((4, 4, 4), np.float32), 1.0)
    assert containers.read_zarr(tmp_path / "b.zarr")[0].min() == 1
