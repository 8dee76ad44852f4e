"""pick-log and match-template-2d on micrographs: picks, what is searched again and what not, and bad input."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.io import mrc
from emtomo.objects import SetOfClasses2D, SetOfMicrographs
from tests.compute.picking.truth import compare
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
SIM = {"size_x": 360, "size_y": 340, "pixel_size": 6, "per_micrograph": 12, "number": 3, "snr": 0.4, "seed": 3}
BLOBS = {"micrographs": "sim.micrographs", "min_diameter": 110, "max_diameter": 170}
TEMPLATES = {"micrographs": "sim.micrographs", "volume": "sim.volume", "symmetry": "D7", "angular_step": 15}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("pick 'two d'") / "p")
    made.run("simulate-micrographs", "sim", **SIM)
    return made


def score(bench, run):
    sim = bench.project.find("sim")
    names = sim.micrographs.group_ids()
    found = [run.coordinates.positions(name) for name in names]
    return compare(found, [sim.truth.positions(name) for name in names], 40.0)


def folder_of(bench, run):
    return Path(bench.project.path) / run.getWorkingDir() / "extra"


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*_scores.mrc")}


def again(bench, run, **changed):
    """Change parameters of a finished run and continue it."""
    set_parameters(bench.project, run, {k: str(v) for k, v in changed.items()}, Path("/"))
    bench.project.amend(run)
    states = bench.go(run.getObjId())
    assert set(states.values()) == {"finished"}
    return bench.project.find(run.getObjLabel())


def test_blobs_are_picked_and_chosen_again_without_a_search(bench):
    run = bench.run("pick-log", "blobs", **BLOBS, box_size=48)
    f1, distance = score(bench, run)
    assert f1 >= 0.93 and distance <= 10
    frame = run.coordinates.frame()
    assert set(frame["picker"]) == {"log"} and frame["diameter"].between(100, 180).all()
    assert run.coordinates.box_size.get() == 48 and run.coordinates.pixel_size.get() == 6
    before, many = stamps(folder_of(bench, run)), len(run.coordinates)
    assert len(before) == 3
    run = again(bench, run, adjust_threshold=1)
    assert stamps(folder_of(bench, run)) == before and 0 < len(run.coordinates) < many
    run = again(bench, run, adjust_threshold=0, number_of_particles=4)
    assert stamps(folder_of(bench, run)) == before and len(run.coordinates) == 12
    run = again(bench, run, max_diameter=180)
    assert all(stamps(folder_of(bench, run))[name] > before[name] for name in before)


def test_templates_are_searched_again_only_where_something_changed(bench):
    run = bench.run("match-template-2d", "templates", **TEMPLATES)
    f1, distance = score(bench, run)
    assert f1 >= 0.95 and distance <= 8
    frame = run.coordinates.frame()
    assert frame["template"].min() >= 1 and set(frame["psi"] % 15) == {0}
    folder = folder_of(bench, run)
    before = stamps(folder)
    for changed in ({"threshold": 6}, {"min_distance": 300}, {"max_stddev_noise": 1.1}, {"min_average_noise": -1}):
        run = again(bench, run, **changed)
        assert stamps(folder) == before
    (folder / "mic_002_peaks.npz").write_bytes(b"damaged")
    run = again(bench, run, threshold=5)
    now = stamps(folder)
    assert [name for name in before if now[name] != before[name]] == ["mic_002_scores.mrc"]
    run = again(bench, run, lowpass=25)
    assert all(stamps(folder)[name] > now[name] for name in now)


def register(bench, label, **outputs):
    run = bench.project.new_run(protocol_named("simulate-micrographs"), label)
    bench.project.saveProtocol(run)
    (Path(run.getWorkingDir()) / "extra").mkdir(parents=True, exist_ok=True)
    made = {name: make(Path(run.getWorkingDir())) for name, make in outputs.items()}
    run._register(None, **made)
    run.setStatus("finished")
    bench.project._storeProtocol(run)
    bench.project.mapper.commit()


def test_class_averages_of_odd_boxes_and_another_pixel_size(bench):
    """References of 45 pixels of 4.2 Å: the truth's own projections at another sampling; one class is empty."""
    from emtomo.compute.fourier.projections import Projector
    from emtomo.compute.fourier.resampling import resample
    from emtomo.compute.picking.references import view_rotations

    volume = mrc.read_volume(bench.project.find("sim").volume.file.get())
    images = Projector(volume).images(view_rotations(30, "D7"))
    images = np.stack([np.zeros((45, 45)), *(resample(image, (45, 45), 4.2 / 6) for image in images)])

    def classes(folder):
        mrc.write_volume(folder / "extra" / "averages.mrcs", images, 4.2)
        out = SetOfClasses2D.create(folder / "classes.sqlite", pixel_size=4.2, box_size=45)
        rows = {"class_number": np.arange(len(images)) + 1, "index": np.arange(len(images))}
        out.extend(pd.DataFrame(rows).assign(file=str(folder / "extra" / "averages.mrcs")))
        return out

    register(bench, "classes", micrographs=classes)
    parameters = {"micrographs": "sim.micrographs", "classes": "classes.micrographs", "angular_step": 15}
    run = bench.run("match-template-2d", "by classes", **parameters)
    f1, distance = score(bench, run)
    assert f1 >= 0.95 and distance <= 8
    assert run.coordinates.frame()["template"].max() < len(images)
    assert any("1 class has an empty average (1) and no template" in line for line in run._remarks())
    both = bench.add("match-template-2d", "both", **parameters, volume="sim.volume")
    assert any("one of the two" in line for line in bench.project.find(str(both)).validate())


def test_bad_input_is_said_in_a_sentence(bench):
    def with_bad_ones(folder):
        frame = bench.project.find("sim").micrographs.frame()
        frame.loc[1, ["defocus_u", "defocus_v"]] = np.nan
        for k, value in ((1, 7.0), (2, np.nan)):
            bad = folder / "extra" / f"bad {k}.mrc"
            mrc.write_volume(bad, np.full((1, 340, 360), value, np.float32), 6)
            frame.loc[k, "file"] = str(bad)
        out = SetOfMicrographs.create(folder / "micrographs.sqlite", pixel_size=6)
        out.extend(frame)
        return out

    def empty(folder):
        return SetOfMicrographs.create(folder / "empty.sqlite", pixel_size=6)

    register(bench, "bad", micrographs=with_bad_ones)
    register(bench, "none", micrographs=empty)

    def errors(name, label, **parameters):
        return bench.project.find(str(bench.add(name, label, **parameters))).validate()

    given = {**TEMPLATES, "micrographs": "bad.micrographs"}
    assert any("1 micrograph is not known (mic_002)" in line for line in errors("match-template-2d", "ctf", **given))
    for run in (
        bench.run("match-template-2d", "one good", **given, ctf_corrected=False),
        bench.run("pick-log", "one good blobs", **{**BLOBS, "micrographs": "bad.micrographs"}),
    ):
        assert run.coordinates.group_ids() == ["mic_001"] and len(run.coordinates) >= 10
        assert (
            "2 micrographs could not be searched (mic_002, mic_003). mic_002: The micrograph holds no signal: its "
            "values are all the same."
        ) in run._remarks()
    few = bench.run("pick-again", "few", coordinates="one good blobs.coordinates", number_of_particles=2)
    assert len(few.coordinates) == 2
    assert any(
        "empty set" in line for line in errors("pick-log", "empty", **{**BLOBS, "micrographs": "none.micrographs"})
    )
    assert any("one of the two" in line for line in errors("pick-log", "neither"))
    assert any("coarser than" in line for line in errors("match-template-2d", "band", **TEMPLATES, highpass=10))
    assert any("must be" in line for line in errors("pick-log", "resolution", **BLOBS, max_resolution=-1))
    message = bench.fails("pick-log", "large", **{**BLOBS, "max_diameter": 5000})
    assert "Micrograph mic_001: Particles of 5000 Å do not fit" in message


def test_picks_are_chosen_again_and_edited_by_files_of_points(bench):
    run = bench.run("pick-log", "first", **BLOBS)
    fewer = bench.run(
        "pick-again", "fewer", coordinates="first.coordinates", threshold=run.coordinates.frame()["score"].median()
    )
    assert len(fewer.coordinates) == -(-len(run.coordinates) // 2)
    best = bench.run("pick-again", "best", coordinates="first.coordinates", number_of_particles=2)
    assert best.coordinates.frame()["micrograph_id"].value_counts().tolist() == [2, 2, 2]
    points = Path(bench.project.path) / "points.csv"
    first = run.coordinates.frame().iloc[0]
    points.write_text(
        f"tomogram_id,x,y,z,label\nmic_001,700.5,90.25,0,\n{first.micrograph_id},{first.x + 3},{first.y},0,remove\n"
    )
    given = {"micrographs": "sim.micrographs", "coordinates": "first.coordinates", "points": points}
    edited = bench.run("pick-manually", "edited", **given).coordinates
    assert len(edited) == len(run.coordinates)
    where = edited.positions("mic_001")
    assert np.abs(where - (700.5, 90.25)).sum(axis=1).min() < 1e-6
    assert np.abs(edited.positions(first.micrograph_id) - (first.x, first.y)).sum(axis=1).min() > 20
    points.write_text("tomogram_id,x,y,z\nmic_001,20,10,0\n")
    voxels = bench.run(
        "pick-manually", "pixels", micrographs="sim.micrographs", points=points, unit="voxel"
    ).coordinates
    assert voxels.positions().tolist() == [[120.0, 60.0]]
    nothing = bench.project.find(str(bench.add("pick-again", "no peaks", coordinates="pixels.coordinates")))
    assert any("no peaks beside them" in line for line in nothing.validate())
