"""The tilt axis and the dose of mdocs, wherever the program wrote them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import FormatError
from emtomo.io.ctf_files import read_ctffind, read_wedges
from emtomo.io.imod_tilts import read_aln
from emtomo.io.mdoc import read_mdoc
from emtomo.io.recognise import recognise
from emtomo.io.relion_tilts import read_tomograms
from emtomo.io.warp import read_xml

CTFFIND = (
    "# Output from CTFFind version 4.1.8\n# Pixel size: 1.5 Angstroms ; acceleration voltage: 300.0 keV ; "
    "spherical aberration: 2.70 mm ; amplitude contrast: 0.07\n1.0 14477.8 13500.0 75.0 0.0 0.001 12.1\n"
)
ALN = (
    "# AreTomo Alignment / Priims bprmMn\n# RawSize = 2032 2032 3\n# DarkFrame = 1 0 -3.0\n# SEC ROT GMAG TX\n"
    "1 -12.6 1.0 24.7 -2.6 1.0 1.0 1.0 0.0 0.0\n2 -12.6 1.0 3.4 -8.5 1.0 1.0 1.0 0.0 3.0\n"
    "# Local Alignment\n0 0 -558.4 -802.0 -100.0 24.4 1.0\n"
)
TOMOGRAMS = (
    "data_global\n\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n\nTS_01 {}\n\n"
    "data_TS_01\n\nloop_\n_rlnTomoXTilt\n_rlnTomoYTilt\n_rlnTomoZRot\n0 3 85\n"
)
HEAD = "PixelSpacing = 2.0\nVoltage = 300\nImageFile = TS_01.mrc\n"


def save(folder, head, *lines):
    images = "".join(
        f"\n[ZValue = {k}]\nTiltAngle = {angle}\nExposureDose = 3.0\n{lines[k] if lines else ''}\n"
        for k, angle in enumerate((0.0, 3.0, -3.0))
    )
    path = folder / "TS_01.mdoc"
    path.write_text(HEAD + head + images)
    return path


@pytest.mark.parametrize(
    ("head", "axis"),
    [
        ("TiltAxisAngle = 4.9\n", 4.9),
        ("\n[T =   TiltAxisAngle = -174.40  Binning = 1  SpotSize = 5]\n", -174.4),
        ("\n[T =     Tilt axis angle = 84.8, binning = 1  spot = 5  camera = 1]\n", 84.8),
        ("\n[T = Tilt Axis Angle = 95, bin = 1]\n", 95.0),
        ("\n[T\t=\tTilt axis angle = 84.8, binning = 1]\n", 84.8),
    ],
)
def test_the_axis_is_found(head, axis, tmp_path):
    tilts = read_mdoc(save(tmp_path, head))
    assert_allclose(tilts.column("rotation"), axis)
    assert not tilts.notes


def test_every_image_may_have_an_axis(tmp_path):
    lines = [f"TiltAxisAngle = {a}" for a in (85.0, 85.1, 84.9)]
    assert_allclose(read_mdoc(save(tmp_path, "", *lines)).column("rotation"), [85.0, 85.1, 84.9])


def test_without_an_axis_there_is_a_sentence(tmp_path):
    tilts = read_mdoc(save(tmp_path, ""))
    assert "rotation" not in tilts.table
    assert tilts.notes == ["The file does not say the angle of the tilt axis."]


def test_the_dose_before_an_image_may_be_recorded(tmp_path):
    lines = [f"PriorRecordDose = {d}" for d in (10.0, 13.5, 17.0)]
    assert_allclose(read_mdoc(save(tmp_path, "", *lines)).column("dose"), [10.0, 13.5, 17.0])
    assert_allclose(read_mdoc(save(tmp_path, "")).column("dose"), [0, 3, 6])


@pytest.mark.parametrize("word", ["abc", "0", "-2", "nan", "1.2.3"])
def test_pixel_sizes_that_are_no_numbers_are_said(word, tmp_path):
    path = save(tmp_path, "TiltAxisAngle = 4.9\n")
    path.write_text(path.read_text().replace("PixelSpacing = 2.0", f"PixelSpacing = {word}"))
    assert f"above 0, got '{word}': it is taken as unknown" in read_mdoc(path).notes[0]
    ctffind = tmp_path / "a.txt"
    ctffind.write_text(CTFFIND.replace("1.5 Angstroms", f"{word} Angstroms"))
    assert f"above 0, got '{word}': it is taken as unknown" in read_ctffind(ctffind).notes[0]
    assert read_ctffind(ctffind).optics == {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.07}
    parameters = f'<Param Name="PixelSize" Value="{word}"/><Param Name="Voltage" Value="{word}"/>'
    (tmp_path / "a.xml").write_text(
        '<TiltSeries VolumeDimensionsAngstrom="40, 36, 24"><Angles>0\n3</Angles><CTF>'
        + parameters
        + "</CTF></TiltSeries>"
    )
    tilts = read_xml(tmp_path / "a.xml")
    assert np.isnan(tilts.pixel_size) and not tilts.optics and tilts.volume_size is None
    for name in ("PixelSize", "Voltage"):
        assert f"{name} must be a number above 0, got '{word}': it is taken as unknown." in tilts.notes
    (tmp_path / "a.star").write_text(TOMOGRAMS.format(word))
    with pytest.raises(FormatError, match="a.star, line 7: rlnTomoTiltSeriesPixelSize must be"):
        read_tomograms(tmp_path / "a.star")
    (tmp_path / "w.star").write_text(f"data_\n\nloop_\n_tomo_num\n_tilt_angle\n_pixelsize\n1 0 {word}\n")
    with pytest.raises(FormatError, match="pixelsize must be"):
        read_wedges(tmp_path / "w.star")


@pytest.mark.parametrize("space", [" ", "\t"])
def test_headers_of_ctffind_and_aretomo_may_have_tabs(space, tmp_path):
    (tmp_path / "a.txt").write_text(CTFFIND.replace(" ", space))
    assert recognise(tmp_path / "a.txt") == "ctffind"
    assert read_ctffind(tmp_path / "a.txt").pixel_size == 1.5
    (tmp_path / "a.aln").write_text(ALN.replace(" ", space))
    assert recognise(tmp_path / "a.aln") == "aln"
    tilts = read_aln(tmp_path / "a.aln")
    assert_allclose(tilts.column("angle"), [-3.0, 0.0, 3.0])
    assert_allclose(tilts.column("excluded"), [1, 0, 0])
