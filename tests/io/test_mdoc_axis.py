"""The tilt axis and the dose of mdocs, wherever the program wrote them."""

import pytest
from numpy.testing import assert_allclose

from emtomo.io.mdoc import read_mdoc

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
