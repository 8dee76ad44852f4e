"""Files that other programs wrote: counts, first and last rows, and what geometry demands of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.io import dynamo, formats, imod, volumes
from emtomo.io.formats import read
from emtomo.io.particles import convert_frame
from tests.conftest import shared

# file, format, particles, refined centre of the first and of the last, tomograms, Å per voxel, z axis of the first
FILES = [
    ("av3/040_1_shape.csv", "text", 216, (291.7054, 117.2693, 64), (236.2845, 179.4682, 192), 1, None, None),
    ("av3/allmotl_sp_cl1_1.em", "motl", 8100, (3158.3415, 5229.1719, 525.6392), (1884.7349, 2949.4683, 545.6774), 265,
     None, (-0.386, 0.904, -0.182)),
    ("av3/au_1.em", "motl", 64, (229.8302, 200.8933, 178.3704), (480.4428, 617.2299, 333.607), 1, None,
     (0.623, -0.482, -0.616)),
    ("av3/motl_040csv_sp10.em", "motl", 1738, (192.0276, 160.3301, 106), (235.0884, 147.97, 64), 1, None,
     (-0.519, -0.852, 0.065)),
    ("cbox/2d_particles.cbox", "cbox", 3, (24.1877, 40.4599, 0), (36.8439, 61.4117, 0), 1, None, None),
    ("cbox/3d_particle.cbox", "cbox", 3, (24.7571, 40.2214, 50), (74.9566, 60.5629, 60), 1, None, None),
    ("cbox/ActLifeact_02885.cbox", "cbox", 223, (83.5926, 2540.4258, np.nan), (994.5532, 3727.4351, np.nan), 1, None,
     None),
    ("dynamo/b4_motl_CR_tm_topbott_clean600_1_dynamo.tbl", "dynamo", 1343, (508.0651, 549.1602, 167.6847),
     (738.9991, 88.0259, 193.0774), 70, None, (-0.575, 0.796, 0.188)),
    ("dynamo/crop.tbl", "dynamo", 4485, (781.71, 254.24, 219), (582.32, 530.91, 185), 25, None, (-0.046, 0.999, 0)),
    ("dynamo/t_complex.tbl", "dynamo", 8742, (1017.4803, 759.9383, 643.1685), (700.4253, 500.0316, 417.5361), 48, None,
     (-0.055, 0.056, 0.997)),
    ("dynamo/t_double.tbl", "dynamo", 300, (143.7978, 111.187, 165.1843), (239.2387, 29.9808, 183.625), 2, None,
     (0.076, -0.997, -0.012)),
    ("imod/imodmodel_tests/test_data/two_contour_example.mod", "imod", 25, (63.8333, 64.1667, 80), (82.5, 81.5, 59), 1,
     4.48, None),
    ("imod/imodmodel_tests/test_data/slicer_angle_example.mod", "imod", 4, (234.9216, 682.4125, 301.9547),
     (239.6953, 679.6771, 324.1161), 1, 16.1455, None),
    ("relion/bin1_1deg_500.star", "relion3.0", 2, (4052.123, 3272.708, 777.879), (1364.908, 3645.25, 368.394), 2, 1.971,
     (0.206, -0.955, -0.211)),
    ("relion/bin1_1deg_500_2.star", "relion3.0", 2, (4052.123, 3272.708, 777.879), (1364.908, 3645.25, 368.394), 2,
     1.971, (0.206, -0.955, -0.211)),
    ("relion/relion31.6opticsgroups.star", "relion3.1", 139, (2404.8235, 1081.9042, np.nan),
     (643.5736, 1789.5736, np.nan), 139, 1.035, (-0.082, -0.597, 0.798)),
    ("relion/relion5.star", "relion3.1", 17, (1739.5121, 229.5846, np.nan), (1478.5846, 253.0484, np.nan), 2, 0.89,
     (0.466, 0.375, 0.801)),
    ("relion/relion_3.0.star", "relion3.0", 3, (1028.455, 733.955, 422.955), (115.955, 930.455, 366.455), 1, 5.364,
     (-0.058, 0.855, -0.515)),
    ("relion/relion_3.1_optics.star", "relion3.1", 3, (915.6524, 1481.7334, 935.0452), (1999.0004, 991.9204, 546.8849),
     2, 2.446, (-0.123, 0.305, -0.944)),
    ("relion/relion_3.1_optics2.star", "relion3.1", 3, (915.6524, 1481.7334, 935.0452), (1998.9704, 992.1806, 547.2108),
     2, 2.446, (-0.123, 0.305, -0.944)),
    ("relion/warp2_particles_matching.star", "relion4", 1218, (354.242, 397.132, 75.828), (144.69, 1066.511, 176.932),
     5, 4.0, (0.409, 0.631, 0.66)),
    ("stopgap/class6_er_mr1_1_sg_head.star", "stopgap", 2979, (824.2121, 754.6012, 678.4676),
     (786.509, 738.9393, 645.5036), 8, None, (0.137, -0.063, 0.989)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "n", "first", "last", "tomograms", "size", "z"), FILES)
def test_files_of_other_programs(name, kind, n, first, last, tomograms, size, z):
    found = read(shared("formats", *name.split("/")))
    assert (found.format, len(found), len(set(found.tomograms))) == (kind, n, tomograms)
    assert_allclose(found.centres[0], first, atol=1e-4)
    assert_allclose(found.centres[-1], last, atol=1e-4)
    assert_allclose(found.pixel_size[0], np.nan if size is None else size, rtol=1e-4)
    if z is not None:
        assert_allclose(found.rotations[0][:, 2], z, atol=1e-3)
        assert_allclose(np.linalg.det(found.rotations), 1, atol=1e-9)


def test_a_stopgap_and_an_av3_list_of_one_program_have_the_same_rows_as_written():
    """Row by row against the numbers in the STAR file itself, read with pandas."""
    import pandas as pd

    path = shared("formats", "stopgap", "class6_er_mr1_1_sg_head.star")
    rows = pd.read_csv(path, sep=r"\s+", skiprows=21, header=None)
    found = read(path)
    assert_allclose(found.positions, rows[[5, 6, 7]].to_numpy())
    assert_allclose(found.shifts, rows[[9, 10, 11]].to_numpy())
    assert found.columns["half"].tolist() == rows[4].map({"A": 1, "B": 2}).tolist()


def neighbours_z(found, name, limit):
    """Return the median |cos| between z axes of nearest neighbours closer than `limit`."""
    from scipy.spatial import cKDTree

    mine = found.tomograms == name
    centres, z = found.centres[mine], found.rotations[mine][:, :, 2]
    distance, index = cKDTree(centres).query(centres, k=2)
    close = distance[:, 1] < limit
    return np.median(np.abs(np.sum(z[close] * z[index[close, 1]], axis=1))), close.sum()


def test_z_axes_of_a_lattice_are_nearly_parallel_to_their_neighbours():
    found = read(shared("formats", "dynamo", "crop.tbl"))
    cosine, n = neighbours_z(found, "1", 8)
    assert n > 50 and cosine > 0.98
    # the same test is not passed by the transposed rotations, i.e. the wrong sense of the angles
    found.rotations = np.swapaxes(found.rotations, 1, 2)
    assert neighbours_z(found, "1", 8)[0] < 0.95


def test_normals_of_the_shape_point_outward():
    """cryoCAT's motive list of 040_1_shape: z axes look away from the middle of the hull."""
    found = read(shared("formats", "av3", "motl_040csv_sp10.em"))
    outward = found.centres - found.centres.mean(axis=0)
    assert np.mean(np.sum(outward * found.rotations[:, :, 2], axis=1) > 0) > 0.95


def test_relion_4_turns_with_the_boxes_frame():
    """8100 particles of one program, twice: motive lists that only differ by refinement are close."""
    one, two = (read(shared("formats", "av3", f)) for f in ("allmotl_sp_cl1_1.em", "ref1.em"))
    assert_allclose(one.positions, two.positions)
    assert np.median(np.linalg.norm(one.centres - two.centres, axis=1)) < 10


def test_models_of_parts_of_a_volume_count_from_its_first_voxel():
    path = shared("formats", "imod", "correct189.mod")
    model = imod.read_chunks(path)
    assert_allclose(model.offset, [-850, 0, 950])
    whole, part = imod.read_model(path), imod.read_model(path, model.size)
    assert_allclose(part.positions - whole.positions, np.broadcast_to([-850, 0, 950], (74, 3)))
    assert (part.positions >= 0).all() and (part.positions <= model.size).all()
    assert "MINX" in whole.notes[0]


def test_models_seen_from_the_side_have_y_and_z_put_back(tmp_path):
    """IMODF_FLIPYZ (bit 16) says that y and z of all points are exchanged; IMOD's programs put them back likewise."""
    raw = bytearray(shared("formats", "imod", "correct189.mod").read_bytes())
    plain = imod.read_chunks(shared("formats", "imod", "correct189.mod"))
    raw[153] |= 1
    path = tmp_path / "flipped.mod"
    path.write_bytes(raw)
    flipped = imod.read_chunks(path)
    assert flipped.flipped and flipped.size == (507, 225, 720)
    assert_allclose(flipped.contours[0].points, plain.contours[0].points[:, [0, 2, 1]])
    assert_allclose(flipped.offset, plain.offset)
    imod.write_model(tmp_path / "ours.mod", imod.read_model(path))
    ours = (tmp_path / "ours.mod").read_bytes()
    assert not ours[153] & 1 and b"MINX" not in ours  # 3dmod would exchange y and z, and scale by 1 / pixel size
    assert_allclose(imod.read_model(tmp_path / "ours.mod").positions, imod.read_model(path).positions, atol=1e-3)


def test_complex_cells_stay_as_they_are(tmp_path):
    found = read(shared("formats", "dynamo", "t_complex.tbl"))
    cells = [c for c in found.other["daxis"] if "i" in c]
    assert "0+1.2074e-06i" in cells and "complex" in found.notes[0]
    dynamo.write_tbl(tmp_path / "b.tbl", found, dynamo.number_tomograms(found))
    again = read(tmp_path / "b.tbl")
    assert again.other["daxis"].tolist() == found.other["daxis"].tolist()
    assert again.other["eig1"].tolist() == found.other["eig1"].tolist()


def test_the_table_map_names_tomograms_and_may_have_more():
    path = shared("formats", "dynamo", "t_complex.tbl")
    names = dynamo.read_doc(shared("formats", "dynamo", "tmap_complex.doc"))
    assert len(names) == 48 and names["1"] == "tomo_ts01.mrc_15.00Apx.mrc"
    found = read(path, table_map=shared("formats", "dynamo", "tmap_complex.doc"))
    assert found.tomograms[0] == "tomo_ts01.mrc_15.00Apx.mrc"


def test_warptools_counts_in_voxels_of_its_images_and_relion_5_from_the_centre(tmp_path):
    """The tomograms are 4400 × 6000 × 1000 voxels of 0.7894 Å; positions lie within them in voxels of 4 Å only."""
    sizes = volumes.read_volumes(shared("formats", "relion", "warp2_matching_tomograms.star"))
    assert sizes["TS_17"].size == (4400, 6000, 1000) and sizes["TS_17"].pixel_size == pytest.approx(0.7894)
    found = read(shared("formats", "relion", "warp2_particles_matching.star"))
    here = convert_frame(found, "angstrom", "half", volumes=sizes).centres
    assert (np.abs(here) < np.array([4400, 6000, 1000]) * 0.7894 / 2).all()
    formats.write(tmp_path / "p.star", found, "relion5", sizes=sizes)
    again = read(tmp_path / "p.star")
    assert (again.unit, again.origin) == ("angstrom", "half")
    assert_allclose(again.centres, here, atol=1e-6)
    assert_allclose(again.rotations, found.rotations, atol=1e-9)  # angles far outside ±360 are wrapped
    assert again.optics["rlnTomoTiltSeriesPixelSize"].iloc[0] == pytest.approx(0.7894)


def test_relion_4_gz(tmp_path):
    import gzip

    path = tmp_path / "p.star"
    path.write_bytes(gzip.decompress(shared("formats", "relion", "relion_4.0.star.gz").read_bytes()))
    found = read(path)
    assert (found.format, len(found), len(set(found.tomograms))) == ("relion4", 1746, 13)
    assert_allclose(found.positions[0], [1700, 428, 944])
    assert_allclose(found.shifts[0], [-1.260416, -2.364176, -3.783296], atol=1e-5)
    assert found.tags.premultiplied is True
