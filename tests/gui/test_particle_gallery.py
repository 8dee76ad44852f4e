"""Images of particles side by side: what is known of one, left out, inverted, averaged, saved."""

import os
from pathlib import Path

import numpy as np
import pytest

from emtomo.io import mrc
from tests.engine.helpers import Bench

pytestmark = pytest.mark.gui
SMALL = {"size_x": 160, "size_y": 160, "pixel_size": 7, "per_micrograph": 8, "number": 2, "snr": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    before = Path.cwd()
    made = tmp_path_factory.mktemp("spa gui") / "a 'project'"
    bench = Bench(made)
    bench.run("simulate-micrographs", "simulate", **SMALL)
    bench.project.closeMapper()
    os.chdir(before)
    return made


def test_the_gallery_of_particles(windows, folder):
    from emtomo.viewers.windows import ViewParticles

    robot = windows(folder)
    output = robot.window.output_named(f"{robot.run_named('simulate').id}.particles")
    got = []
    robot.window.view(output, ViewParticles, got.append)
    assert robot.pump(until=lambda: got and got[0].sheet is not None, timeout=20)
    gallery = got[0]
    robot.pump(0.5)  # the window takes its place
    total = len(gallery.frame_now)
    left, top = gallery.canvas.winfo_rootx(), gallery.canvas.winfo_rooty()
    x0, y0, x1, y1 = gallery.sheet.box(1)
    robot.click_at(left + (x0 + x1) // 2, top + (y0 + y1) // 2)
    assert "Particle 2 of mic_001" in gallery.message.cget("text") and "defocus u" in gallery.message.cget("text")
    robot.key("Delete")
    assert gallery.out == {1}
    robot.click(gallery.w["invert"])
    assert gallery.out == set(range(total)) - {1}
    robot.click(gallery.w["invert"])
    robot.click(gallery.w["average"])
    assert robot.pump(until=lambda: "mean" in gallery.w, timeout=20)
    rows = gallery.frame_now.drop(index=1)
    images = [mrc.open_volume(folder / f)[k] for f, k in zip(rows["file"], rows["index"], strict=True)]
    shown = gallery.w["mean"].source
    assert shown.shape[0] == 1
    assert np.allclose(shown.data[0], np.mean(images, axis=0), atol=1e-5)
    gallery.w["mean"].close()
    gallery.canvas.focus_force()
    robot.key("ctrl+s")
    robot.finished("selected from simulate")
    made = next(o for o in robot.run_named("selected from simulate").outputs if o.name == "subset")
    assert made.kinds[0] == "SetOfParticles" and int(made.summary.split()[0]) == total - 1
    gallery.close()
