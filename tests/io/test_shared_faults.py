"""The inputs of ``../shared/data/faults`` on which emtomo was wrong, each with its right value."""

import numpy as np
import pytest

import emtomo
from emtomo.errors import FormatError
from emtomo.io import images
from emtomo.io.mdoc import read_mdoc
from tests.conftest import shared


def fault(*parts):
    return shared("faults", *parts)


def correlation(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("u8_imodflag", "float"),  # unsigned bytes: by IMOD's flag, and by what they hold
        ("u8_plain", "float"),
        ("crs321", "float"),  # axes as mapc, mapr and maps say
        ("map_zyx", "map_xyz"),
    ],
)
def test_grey_values_and_axes(name, truth):
    found, right = (emtomo.io.read_volume(fault("mrc", f"{one}.mrc")) for one in (name, truth))
    assert found.shape == right.shape
    assert correlation(found, right) > 0.999


def test_a_stack_of_volumes_is_not_one_tomogram():
    path = fault("mrc", "stack401.mrc")
    with pytest.raises(FormatError, match="one volume is needed, but it holds 2 volumes"):
        images.check_one_volume(path, images.describe(path))
    assert images.read_any(path, "1").shape == (24, 36, 40)


def test_voxels_of_unequal_sizes_are_reported():
    with pytest.raises(FormatError, match="10 × 10 × 20"):
        images.describe_volume(fault("mrc", "aniso_big.mrc"))


@pytest.mark.parametrize("name", ["pages_lzw", "single_pages", "pages_thumb", "imagej_A"])
def test_all_pages_of_a_tiff(name):
    found = emtomo.io.read_volume(fault("tif", f"{name}.tif"))
    assert found.shape == (24, 36, 40)
    assert correlation(found, emtomo.io.read_volume(fault("mrc", "float.mrc"))) > 0.99


@pytest.mark.parametrize(("name", "axis"), [("tomo5_field", 4.9), ("tomo5_title", -174.4), ("serialem", 84.8)])
def test_tilt_axes_of_mdocs(name, axis):
    assert read_mdoc(fault("mdoc", f"{name}.mdoc")).table["rotation"].to_numpy() == pytest.approx(axis)


def test_a_fourth_column_of_fractions_is_a_score():
    found = emtomo.io.read_particles(fault("text", "score4.txt"))
    assert found.columns["score"].tolist() == [0.98, 0.5] and "group" not in found.columns


def test_pixel_size_and_score_as_pytom_writes_them():
    found = emtomo.io.read_particles(fault("star", "warp277_pytom.star"))
    assert found.positions[0] * found.pixel_size[0] == pytest.approx([120, 200, 90])  # voxel (12, 20, 9) of 10 Å
    assert found.columns["score"].tolist() == [0.434, 0.3]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("star", "optics_zero.star"), "rlnImagePixelSize must be a finite number above 0"),
        (("star", "pxneg.star"), "rlnPixelSize must be a finite number above 0"),
        (("star", "px0_org.star"), "rlnPixelSize must be a finite number above 0"),
        (("text", "px0.csv"), "pixel_size must be above 0"),
        (("hostile", "ext_link.h5"), "points to another file"),
        (("hostile", "claims_4GB.zarr"), "claims 4 GB"),
        (("hostile", "stack_of_many.h5"), "claims 10.2 GB"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(parts, sentence):
    read = emtomo.io.read_volume if parts[0] == "hostile" else emtomo.io.read_particles
    with pytest.raises(FormatError, match=sentence):
        read(fault(*parts))
