"""Real cryo-ET data: two microtubules of 13 and 14 protofilaments (hanjinliu/cylindra), from points to averages."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from emtomo.io import mrc
from emtomo.viewers.pictures import picture_of_output
from tests.conftest import shared
from tests.engine.helpers import Bench

pytestmark = [pytest.mark.workflow]

PIXEL = 10.52
REPEAT = 81.2 / PIXEL  # tubulin dimer, in voxels
# straight axis by hand (data README): x, z at y, and dx/dy; voxels; twist in degrees per voxel
TUBES = {13: ("13pf_MT.tif", 51.7, 17.4, 103, -0.317, 0.0), 14: ("14pf_MT.tif", 46.1, 22.7, 68, -0.291, 0.04)}


def axis_points(protofilaments, rows, rng):
    """Six clicks along the axis, each off by a quarter of a voxel."""
    _, x, z, y, slope, _ = TUBES[protofilaments]
    at = np.linspace(14, rows - 15, 6)
    return np.stack([x + slope * (at - y), at, np.full(6, z)], axis=1) + rng.normal(0, 0.25, (6, 3))


def azimuthal_power(average):
    """Power of the azimuthal harmonics of the wall (radius 9 to 13), about the centre of the wall."""
    half = average.shape[0] // 2
    plane = average[half - 8 : half + 9].mean(axis=0)
    phi = np.deg2rad(np.arange(360))

    def ring(radius, dy, dx):
        at = [half + dy + radius * np.sin(phi), half + dx + radius * np.cos(phi)]
        return map_coordinates(plane, at, order=1)

    # the centre of the wall, found from its density alone, whatever its harmonics
    shifts = [(a, b) for a in np.arange(-1.5, 1.6, 0.25) for b in np.arange(-1.5, 1.6, 0.25)]
    centre = max(shifts, key=lambda s: sum(ring(r, *s).mean() for r in (10.5, 11.0, 11.5)) - ring(5.0, *s).mean())
    profile = np.sum([ring(r, *centre) for r in np.arange(9, 13.1, 0.5)], axis=0)
    return np.abs(np.fft.rfft(profile))


@pytest.mark.parametrize("protofilaments", TUBES)
@pytest.mark.parametrize("seed", [0, 1])
def test_azimuthal_power_of_the_average_counts_the_protofilaments(protofilaments, seed, tmp_path):
    name, *_, twist = TUBES[protofilaments]
    path = shared("microtubule", name)
    bench = Bench(tmp_path / "p")
    run = bench.run("import-tomograms", "import", files=path, pixel_size=PIXEL)
    rows = run.tomograms.shape(run.tomograms.tomogram_ids()[0])[1]
    points = axis_points(protofilaments, rows, np.random.default_rng(seed))
    file = tmp_path / "points.csv"
    file.write_text("x,y,z\n" + "\n".join(",".join(f"{v:.2f}" for v in p) for p in points))
    bench.run("pick-vectorial", "pick", tomograms="import.tomograms", points=file, model="filament_torsion",
              unit="voxel", box_size=32)  # fmt: skip
    run = bench.run("model-workflow", "model", meshes="pick.meshes", cropping=REPEAT, step_angle=twist * REPEAT)
    steps = np.linalg.norm(np.diff(run.coordinates.positions(), axis=0), axis=1)
    assert np.allclose(steps, 81.2, rtol=0.01)  # extraction follows the tubulin repeat
    bench.run("extract-subtomograms", "extract", coordinates="model.coordinates", box_size=32, border="pad",
              normalize="none", invert="no", tomograms="import.tomograms")  # fmt: skip
    run = bench.run("apply-alignment", "average", subtomograms="extract.subtomograms", wedge="no")
    picture_of_output(run, "average", tmp_path / "average.png")
    power = azimuthal_power(mrc.read_volume(run.average.file.get()))
    harmonics = np.arange(8, 22)
    assert harmonics[np.argmax(power[8:22])] == protofilaments, power[8:22].round(1)
