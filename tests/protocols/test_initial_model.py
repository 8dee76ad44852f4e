"""initial-model in a project: shrink, aligned particles, bad input."""

import numpy as np
import pytest

from emtomo.compute.fourier.filters import ball
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.refinement.reconstruct import reconstruct
from emtomo.io import mrc
from emtomo.objects.particle_poses import poses_of
from emtomo.objects.particle_source import particles_of
from tests.compute.refinement.data import PIXEL, blobs, particles
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
TRUTH = blobs(36)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project with 30 subtomograms of unknown orientation, and one of a single one."""
    folder = tmp_path_factory.mktemp("initial")
    _, _, boxes = particles(TRUTH, 30, 1.5)
    tomogram = boxes.reshape(5, 6, 36, 36, 36).transpose(2, 0, 3, 1, 4).reshape(36, 180, 216)
    mrc.write_volume(folder / "grid.mrc", -tomogram, PIXEL)
    places = [f"{18 + 36 * x},{18 + 36 * y},18" for y in range(5) for x in range(6)]
    made = Bench(folder / "a project")
    made.run("import-tomograms", "grid", files=folder, pattern="*.mrc", pixel_size=PIXEL)
    for name, some in (("boxes", places), ("one", places[:1])):
        (folder / f"{name}.csv").write_text("x,y,z\n" + "\n".join(some) + "\n", encoding="utf8")
        made.run("import-coordinates", f"{name} at", tomograms="grid.tomograms", files=folder / f"{name}.csv")
        made.run("extract-subtomograms", name, coordinates=f"{name} at.coordinates", box_size=36)
    return made


OPTIONS = {"subtomograms": "boxes.subtomograms", "filter_to": 60, "iterations": 2, "mask_diameter": 300}


def test_the_model_and_its_particles_belong_together(bench):
    run = bench.run("initial-model", "model", **OPTIONS)
    assert run.average.box_size.get() == 36 and run.average.particles.get() == 30
    assert any("30 of 30 particles were in a batch" in line for line in run._summary())
    frame = run.subtomograms.frame()
    poses = poses_of(frame, PIXEL, 1)
    again = reconstruct(particles_of(run.subtomograms, frame), poses).average
    model = mrc.read_volume(run.average.file.get())
    assert fourier_shell_correlation(again * ball(36, 14, 3), model)[5] > 0.9
    changes = np.loadtxt(run._getExtraPath("changes.csv"), delimiter=",", skiprows=1)
    assert len(changes) == 20 and changes[-5:, 1].mean() < changes[:5, 1].mean()


def test_shrunk_boxes_give_a_smaller_model_and_poses_in_ångström(bench):
    run = bench.run("initial-model", "half", **OPTIONS, shrink=2, batches=4)
    assert run.average.box_size.get() == 18 and run.average.pixel_size.get() == 2 * PIXEL
    frame = run.subtomograms.frame()
    assert run.subtomograms.pixel_size.get() == PIXEL
    average = reconstruct(particles_of(run.subtomograms, frame), poses_of(frame, PIXEL, 1)).average
    assert float((average * ball(36, 12, 3)).std()) > 1.5 * float(average[:4].std())


def test_aligned_particles_are_left_out_if_not_wanted(bench):
    run = bench.run("initial-model", "few", **OPTIONS, batches=2, batch_size=3, return_aligned="no")
    assert run.average.particles.get() == 12 and not hasattr(run, "subtomograms")


def test_several_seeds_are_compared_and_the_likeliest_is_kept(bench):
    run = bench.run("initial-model", "seeds", **OPTIONS, shrink=2, batches=1, batch_size=6, seeds=2,
                    number_of_classes=2, non_negative="yes", return_aligned="no", symmetry="C2")  # fmt: skip
    said = " ".join(run._summary())
    assert "log likelihood" in said and "mean FSC" in said and "Shares of the classes" in said
    assert "with its copies under C2" in said and run.average.symmetry.get() == "C2"
    assert mrc.read_volume(run.average.file.get()).min() >= 0


def test_bad_input_is_reported(bench):
    def errors(label, **parameters):
        return " ".join(bench.project.find(str(bench.add("initial-model", label, **parameters))).validate())

    assert "36 voxels shrunk by 4 have 9" in errors("small", **OPTIONS, shrink=4)
    assert "cannot be divided by the shrink factor 5" in errors("odd", **OPTIONS, shrink=5)
    single = errors("single", **{**OPTIONS, "subtomograms": "one.subtomograms"}, number_of_classes=3)
    assert "at least two particles" in single and "classes (3) must not be above that of the particles (1)" in single
    assert "Filter to must be at least 40 Å" in errors("fine", **{**OPTIONS, "filter_to": 30}, shrink=2)
    assert "Symmetry must be" in errors("group", **OPTIONS, symmetry="Q")
    assert "device must be" in errors("device", **OPTIONS, device="x")
