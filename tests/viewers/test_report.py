"""Pictures and the drawing of the workflow, without a project where that is enough."""

import re
from pathlib import Path

import numpy as np
import pytest

from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.viewers import graph
from emtomo.viewers.pictures import picture_of_file, picture_of_output
from emtomo.viewers.report import write_report
from emtomo.viewers.sections import montage, slab, three_sections
from tests.engine.helpers import Bench


class Run:
    """What the drawing needs of a run."""

    def __init__(self, i, label, parents=()):
        self.i, self.label, self.parents = i, label, set(parents)

    def getObjId(self):
        return self.i

    def getObjLabel(self):
        return self.label

    def getStatus(self):
        return "finished"


def test_each_run_stands_below_all_it_takes_from(monkeypatch):
    monkeypatch.setattr(graph, "parents_of", lambda run: run.parents)
    runs = [Run(4, "d", [1, 3]), Run(1, "a"), Run(3, "c", [2]), Run(2, 'b <&> "quoted"', [1])]
    svg = graph.workflow_svg(runs)
    assert svg.count("<rect") == 4
    assert svg.count("<path") == 3 + 3 + 2  # three short edges; a to d in three pieces and two lanes
    assert "b &lt;&amp;&gt;" in svg and "<&>" not in svg
    boxes = [tuple(map(float, m)) for m in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', svg)]
    assert len({y for _, y in boxes}) == 4


def test_sections_are_central_and_slabs_are_means(rng):
    volume = rng.normal(size=(5, 6, 7))
    xy, xz, yz = three_sections(volume)
    np.testing.assert_allclose(xy, volume[2], rtol=1e-6)
    np.testing.assert_allclose(xz, volume[:, 3], rtol=1e-6)
    np.testing.assert_allclose(yz, volume[:, :, 3], rtol=1e-6)
    np.testing.assert_allclose(slab(volume, 0, 2, 3), volume[1:4].mean(axis=0), rtol=1e-5)
    assert montage([xy] * 5, 3).shape == (2 * 7 - 1, 3 * 8 - 1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 9)])
def test_any_volume_gives_a_picture(shape, tmp_path):
    mrc.write_volume(tmp_path / "a.mrc", np.zeros(shape), 2.0)
    picture_of_file(tmp_path / "a.mrc", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.workflow
def test_failed_runs_and_empty_sets_are_reported_in_the_report(tmp_path):
    bench = Bench(tmp_path / "p")
    small = {"size_x": 64, "size_y": 64, "size_z": 32, "vesicles": 0, "soluble_proteins": 0}
    run = bench.run("simulate-tomograms", "sim", **small)
    with pytest.raises(EmtomoError, match="empty set"):
        picture_of_output(run, "truth", tmp_path / "a.png")
    bench.fails("import-coordinates", "wrong", tomograms="sim.tomograms", files="/no/such file")
    report = Path(tmp_path / "r.html")
    write_report(bench.project, report, notes=["A <note>."])
    text = report.read_text(encoding="utf8")
    assert "there is nothing to draw" in text and "A &lt;note&gt;." in text
    assert "No file in /no/such file" in text
