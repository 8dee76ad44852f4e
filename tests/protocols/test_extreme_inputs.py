"""Every protocol on empty, tiny, constant and damaged inputs: a sentence or a remark, and no false number.

Runs are carried out in this process, so that what fails can be looked at.
"""

import itertools
import math
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyworkflow.protocol import Step, runProtocolMain
from pyworkflow.protocol.params import PointerParam

import emtomo.engine.launcher as launcher
from emtomo.engine.form import INPUT
from emtomo.engine.parameters import protocol_named, protocols_by_name, set_parameters
from emtomo.engine.project import error_of
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import (
    Average,
    Mask,
    Population,
    SetOfClasses2D,
    SetOfCoordinates2D,
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfMicrographs,
    SetOfParticles,
    SetOfParticleSeries,
    SetOfSubtomograms,
    SetOfTiltSeries,
    SetOfTomograms,
    Species,
    Volume,
)
from emtomo.objects.population import write_members
from tests.engine.helpers import Bench

pytestmark = pytest.mark.workflow
PIXEL, BOX, EDGE = 10.0, 8, 24
COUNTS = (0, 1, 2)
SERIES = {"usual": 3, "none": 0, "one": 1, "nan": 3, "tiny": 3}  # tilts of a series
OPTICS = {"defocus_u": 15000.0, "defocus_v": 15000.0}
NUMBER = itertools.count(1)
# each case reads the runs that it takes inputs of, several times: what is not needed together lies in other runs
SOURCES = {"maps": ("volume", "mask", "average"), "images": ("micrographs", "picks", "particles", "classes")}
SHAPES = {"constant": (BOX,) * 3, "nan": (BOX,) * 3, "tiny": (2, 2, 2), "slice": (1, BOX, BOX), "huge": (BOX,) * 3,
          "faint": (BOX,) * 3}  # fmt: skip


def source_of(output: str) -> str:
    """Return the run that has this output."""
    return next((run for run, stems in SOURCES.items() if output.startswith(tuple(f"{s}_" for s in stems))), "source")


def values(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return voxels of a kind."""
    data = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    if kind == "constant":
        data[:] = 1.5
    if kind == "nan":
        data[..., ::2] = np.nan
    return data * {"huge": np.float32(1e37), "faint": np.float32(1e-42)}.get(kind, np.float32(1))


def poses(frame: pd.DataFrame) -> pd.DataFrame:
    """Add orientations and the fields that particles have."""
    for name, value in zip([f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)], np.eye(3).ravel(), strict=True):
        frame[name] = value
    return frame


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A project whose saved runs have every kind of input as outputs."""
    made = Bench(tmp_path_factory.mktemp("extreme") / "project")
    project = made.project
    runs = {label: project.new_run(protocol_named("import-tomograms"), label) for label in ("source", *SOURCES)}
    for run in runs.values():
        project.saveProtocol(run)
    folder = Path(runs["source"].getWorkingDir())
    (folder / "extra").mkdir(parents=True)
    outputs = {}
    for kind, shape in {"usual": (EDGE,) * 3, **SHAPES, "constant": (EDGE,) * 3, "nan": (EDGE,) * 3,
                        "huge": (EDGE,) * 3, "faint": (EDGE,) * 3}.items():  # fmt: skip
        file = folder / "extra" / f"{kind}.mrc"
        mrc.write_volume(file, values(kind, shape), PIXEL)
        frame = pd.DataFrame({"tomogram_id": ["T"], "file": [str(file)], "size_x": [shape[2]], "size_y": [shape[1]],
                              "size_z": [shape[0]]})  # fmt: skip
        outputs[f"tomograms_{kind}"] = saved(SetOfTomograms, folder, f"tomograms_{kind}", frame)
    outputs["tomograms_none"] = saved(SetOfTomograms, folder, "tomograms_none", frame[:0])
    for kind, shape in {"usual": (BOX,) * 3, **SHAPES}.items():
        file = folder / "extra" / f"box_{kind}.mrc"
        mrc.write_volume(file, values(kind, shape), PIXEL)
        for cls in (Volume, Mask):
            outputs[f"{cls.__name__.lower()}_{kind}"] = cls(file=str(file), pixel_size=PIXEL, box_size=shape[-1])
        outputs[f"average_{kind}"] = Average(
            file=str(file), pixel_size=PIXEL, box_size=shape[-1], half1_file=str(file), half2_file=str(file)
        )
    for n in COUNTS:
        at = {"tomogram_id": ["T"] * n, **{a: np.linspace(-30, 30, n) for a in "xyz"}, "group": [1] * n,
              "score": [0.5] * n}  # fmt: skip
        outputs[f"coordinates_{n}"] = saved(SetOfCoordinates3D, folder, f"c{n}", poses(pd.DataFrame(at)), box_size=BOX)
        mesh = pd.DataFrame({**at, "role": ["surface"] * n, "model": ["vesicle"] * n}).drop(columns="score")
        outputs[f"meshes_{n}"] = saved(SetOfMeshes, folder, f"m{n}", mesh, box_size=BOX)
        for kind, shape in {"usual": (BOX,) * 3, **SHAPES}.items():
            if n != 2 and kind not in ("usual",):
                continue
            file = folder / "extra" / f"stack_{kind}_{n}.mrc"
            if n:
                data = np.stack([values(kind, shape)] * n)
                mrc.write_volume(file, data, PIXEL)
            frame = poses(pd.DataFrame({**at, "file": [str(file)] * n, "index": list(range(n)), "half": [1, 2][:n]}))
            outputs[f"subtomograms_{n}_{kind}"] = saved(
                SetOfSubtomograms, folder, f"s{n}{kind}", frame, box_size=shape[-1]
            )
    outputs |= single_particle_outputs(folder)
    outputs |= series_outputs(folder)
    for label, run in runs.items():
        run._defineOutputs(**{name: value for name, value in outputs.items() if source_of(name) == label})
        run.setStatus("finished")
        project._storeProtocol(run)
    project.mapper.commit()
    np.savetxt(folder / "none.csv", np.zeros((0, 3)), delimiter=",", header="x,y,z", comments="")
    np.savetxt(folder / "one.csv", np.zeros((1, 3)), delimiter=",", header="x,y,z", comments="")
    return made


def single_particle_outputs(folder):
    """Return micrographs, picks, particles and classes of every kind and number."""
    outputs = {}
    for kind, shape in {"usual": (EDGE, EDGE), **{k: s[1:] for k, s in SHAPES.items()}}.items():
        if kind not in ("tiny", "slice"):
            shape = EDGE, EDGE
        file = folder / "extra" / f"micrograph_{kind}.mrc"
        mrc.write_volume(file, values(kind, (1, *shape)), PIXEL)
        frame = pd.DataFrame({"micrograph_id": ["M"], "file": [str(file)], "size_x": [shape[1]], "size_y": [shape[0]],
                              **OPTICS})  # fmt: skip
        outputs[f"micrographs_{kind}"] = saved(SetOfMicrographs, folder, f"mic{kind}", frame)
    outputs["micrographs_none"] = saved(SetOfMicrographs, folder, "micnone", frame[:0])
    for n in COUNTS:
        at = {"micrograph_id": ["M"] * n, "x": np.linspace(80, 120, n), "y": np.linspace(80, 120, n)}
        outputs[f"picks_{n}"] = saved(SetOfCoordinates2D, folder, f"k{n}", pd.DataFrame(at), box_size=BOX)
        for kind in ("usual", *SHAPES):
            if kind == "slice" or (n != 2 and kind != "usual"):
                continue
            box = 2 if kind == "tiny" else BOX
            file = folder / "extra" / f"images_{kind}_{n}.mrcs"
            if n:
                mrc.write_volume(file, values(kind, (n, box, box)), PIXEL, stack=True)
            rows = pd.DataFrame({**at, **OPTICS, "file": [str(file)] * n, "index": list(range(n)), "half": [1, 2][:n],
                                 "class_number": [1, 2][:n], "particle_id": list(range(1, n + 1))})  # fmt: skip
            outputs[f"particles_{n}_{kind}"] = saved(
                SetOfParticles, folder, f"i{n}{kind}", poses(rows), box_size=box, white=True
            )
            rows = pd.DataFrame({"class_number": [1, 2][:n], "file": [str(file)] * n, "index": list(range(n)),
                                 "members": [1] * n, "share": [1 / max(n, 1)] * n})  # fmt: skip
            outputs[f"classes_{n}_{kind}"] = saved(SetOfClasses2D, folder, f"y{n}{kind}", rows, box_size=box)
    return outputs


def series_outputs(folder):
    """Return tilt series, particle series, species and populations of every kind and number."""
    outputs = {}
    for kind, n in SERIES.items():
        shape = (2, 2) if kind == "tiny" else (EDGE, EDGE)
        file = folder / "extra" / f"series_{kind}.mrcs"
        mrc.write_volume(file, values(kind, (max(n, 1), *shape)), PIXEL, stack=True)
        once = {"tomogram_id": "T", "file": str(file), "size_x": shape[1], "size_y": shape[0], "hand": 1,
                **{f"volume_{a}": EDGE * PIXEL for a in "xyz"}}  # fmt: skip
        images = pd.DataFrame({"tomogram_id": ["T"] * n, "file": [str(file)] * n, "index": range(n), **OPTICS,
                               "angle": np.linspace(-30, 30, n), "dose": 3.0 * np.arange(n)})  # fmt: skip
        made = SetOfTiltSeries.create(folder / f"t{kind}.sqlite", pixel_size=PIXEL)
        made.extend(pd.DataFrame([once] * min(n, 1), columns=list(once)), images)
        made.write()
        outputs[f"series_{kind}"] = made
    for n in COUNTS:
        at = {"tomogram_id": ["T"] * n, **{a: np.linspace(-30, 30, n) for a in "xyz"}, "half": [1, 2][:n]}
        frame = poses(pd.DataFrame(at))
        outputs[f"particle_series_{n}"] = saved(SetOfParticleSeries, folder, f"p{n}", frame, box_size=BOX)
    for kind, n in {"usual": 2, "none": 0, "one": 1, "nan": 2, "tiny": 2}.items():
        file = str(folder / "extra" / f"box_{kind if n == 2 else 'usual'}.mrc")
        particles = outputs[f"particle_series_{n}"].getFileName()
        outputs[f"species_{kind}"] = Species(
            name="s", file=file, pixel_size=PIXEL, box_size=BOX, half1_file=file, half2_file=file, mask_file=file,
            diameter=50.0, particles_file=particles,
        )  # fmt: skip
    for kind in ("series_usual", "series_nan", "series_none", "species_none", "species_one", "species_tiny"):
        known = [outputs["series_usual"], outputs["species_usual"]]
        known[kind.startswith("species")] = outputs[kind]
        path = folder / f"population_{kind}.json"
        write_members(path, known[:1], known[1:])
        outputs[f"population_{kind}"] = Population(file=str(path), sources=1, tilt_series=1, species=1, particles=2)
    return outputs


def saved(cls, folder, name, frame, **more):
    known = {field.name for field in cls.ITEM_TYPE.FIELDS}
    new = cls.create(folder / f"{name}.sqlite", pixel_size=PIXEL, **more)
    new.extend(frame[[c for c in frame.columns if c in known]])
    new.write()
    new.close()
    return new


@pytest.fixture
def carry_out(bench, monkeypatch):
    """Carry out a protocol in this process; return its run and the error that is no sentence, if there was one."""
    os.chdir(bench.project.path)
    seen = []
    failed = Step.setFailed

    def note(self, message):
        if sys.exc_info()[1] is not None:
            seen.append(sys.exc_info()[1])
        failed(self, message)

    def here(run, *_):
        runProtocolMain(bench.project.path, run.getDbPath(), run.getObjId())
        os.chdir(bench.project.path)
        run.setPid(0)

    monkeypatch.setattr(Step, "setFailed", note)
    monkeypatch.setattr(launcher.engine_launch, "_launchLocal", here)

    def carry(name, **parameters):
        run = bench.project.new_run(protocol_named(name), f"run {next(NUMBER)}")
        set_parameters(bench.project, run, parameters, Path.cwd())
        errors = run.validate()
        if errors:
            return None, " ".join(errors), None
        bench.project.saveProtocol(run)
        bench.project.launch(run)
        # this run alone: to look at all of them would take ever longer
        done = bench.project.getProtocol(run.getObjId())
        bench.project.update(done)
        return done, error_of(done), seen[-1] if seen else None

    return carry


def cases():
    """Yield protocol, parameters and what is extreme, for every input of every protocol."""
    quick = {"denoise-tomograms": {"iterations": 2}, "refine-poses": {"max_iterations": 2},
             "initial-model": {"iterations": 3},
             "extract-subtomograms": {"box_size": BOX, "border": "pad"}, "match-template": {"angular_step": 90},
             "extract-particles": {"box_size": BOX, "border": "pad"},
             "export-particles": {"box_size": BOX}, "multi-particle-refinement": {"iterations": 1},
             "bin-tomograms": {"factor": 2}, "pick-log": {"min_diameter": 30, "max_diameter": 60},
             "create-mask": {"shape": "sphere"},
             "symmetrize": {"symmetry": "C2"}, "align-symmetry": {"symmetry": "C2"},
             "export-coordinates": {"file": "out.star"},
             "export-particles-star": {"file": "out_particles.star"}}  # fmt: skip
    for name, cls in protocols_by_name().items():
        inputs = {
            key.removeprefix(INPUT): str(param.pointerClass)
            for key, param in cls().getDefinition().iterParams()
            if isinstance(param, PointerParam) and (not param.allowsNull or key.endswith("reference"))
        }
        # optional inputs whose extremes count as well
        also = {"extract-subtomograms": ("tomograms", "SetOfTomograms"),
                "extract-particles": ("micrographs", "SetOfMicrographs"),
                "estimate-ctf": ("micrographs", "SetOfMicrographs")}  # fmt: skip
        if name == "estimate-ctf":
            for what in SERIES:
                yield pytest.param(name, {"tilt_series": f"source.series_{what}"}, id=f"{name}-tilt_series-{what}")
        if name in also:
            inputs |= [also[name]]
        if not inputs or cls.INTERACTIVE or name == "pick-again":
            continue
        usual = {key: choices(kinds)["usual"] for key, kinds in inputs.items()}
        for key, kinds in inputs.items():
            for what, output in choices(kinds).items():
                chosen = {k: f"{source_of(v)}.{v}" for k, v in {**usual, key: output}.items()}
                yield pytest.param(name, {**chosen, **quick.get(name, {})}, id=f"{name}-{key}-{what}")
        for key, param in cls().getDefinition().iterParams():
            empty = choices(str(param.pointerClass)).get("none") if isinstance(param, PointerParam) else None
            public = key.removeprefix(INPUT)
            if empty and public not in inputs:
                chosen = {k: f"{source_of(v)}.{v}" for k, v in {**usual, public: empty}.items()}
                yield pytest.param(name, {**chosen, **quick.get(name, {})}, id=f"{name}-{public}-optional-none")


def choices(kinds):
    """Return the outputs of the source that an input takes, by what is special about them."""
    if "SetOfSubtomograms" in kinds and "SetOfCoordinates3D" not in kinds:
        return {"usual": "subtomograms_2_usual", "none": "subtomograms_0_usual", "one": "subtomograms_1_usual",
                **{kind: f"subtomograms_2_{kind}" for kind in SHAPES if kind != "slice"}}  # fmt: skip
    if kinds == "SetOfTiltSeries":
        return {what: f"series_{what}" for what in SERIES}
    if kinds == "Species":
        return {what: f"species_{what}" for what in ("usual", "none", "one", "nan", "tiny")}
    if kinds == "Population":
        more = ("series_nan", "series_none", "species_none", "species_one", "species_tiny")
        return {"usual": "population_series_usual", **{what: f"population_{what}" for what in more}}
    if "SetOfTomograms" in kinds:
        return {kind: f"tomograms_{kind}" for kind in ("usual", "none", *SHAPES)}
    if "SetOfMicrographs" in kinds:
        return {kind: f"micrographs_{kind}" for kind in ("usual", "none", *SHAPES)}
    if "SetOfCoordinates2D" in kinds:
        return {"usual": "picks_2", "none": "picks_0", "one": "picks_1"}
    for noun in ("Particles", "Classes2D"):
        if f"SetOf{noun}" in kinds.split(",")[0]:
            stem = noun.removesuffix("2D").lower()
            return {"usual": f"{stem}_2_usual", "none": f"{stem}_0_usual", "one": f"{stem}_1_usual",
                    **{kind: f"{stem}_2_{kind}" for kind in SHAPES if kind != "slice"}}  # fmt: skip
    if "SetOfMeshes" in kinds and "SetOfCoordinates3D" not in kinds:
        return {"usual": "meshes_2", "none": "meshes_0", "one": "meshes_1"}
    if "SetOf" in kinds or "TableSet" in kinds:
        return {"usual": "coordinates_2", "none": "coordinates_0", "one": "coordinates_1"}
    kind = "average" if "Average" in kinds else "volume"
    return {what: f"{kind}_{what}" for what in ("usual", *SHAPES)}


@pytest.mark.parametrize(("name", "parameters"), list(cases()))
def test_a_sentence_or_a_remark_and_never_a_false_number(carry_out, name, parameters):
    run, message, error = carry_out(name, **{k: str(v) for k, v in parameters.items()})
    assert error is None or isinstance(error, EmtomoError), f"{type(error).__name__}: {error}"
    if run is None or not run.isFinished():
        assert message.strip() and "\n" not in message.strip() and "Traceback" not in message
        return
    for key, output in run.outputs().items():
        resolution = getattr(output, "resolution", None)
        if resolution is not None and resolution.get():
            assert math.isfinite(resolution.get()), f"{key}: {resolution.get()} Å"
            # two halves that are the same are equal up to the Nyquist limit; boxes that hold nothing reach none
            assert resolution.get() > 1.9 * PIXEL and not any(k in str(parameters) for k in ("tiny", "constant", "nan"))
        if hasattr(output, "frame") and len(output) == 0:
            assert run._remarks(), f"{key} is empty and nothing is said"
        file = getattr(output, "file", None)
        if file is not None and str(file.get()).endswith(".mrc"):
            data = mrc.read_volume(file.get())
            assert np.isfinite(data).all() or run._remarks(), f"{key} is not finite and nothing is said"
        if isinstance(output, SetOfTomograms):
            for path in output.frame(["file"])["file"]:
                assert np.isfinite(mrc.read_volume(path)).all() or run._remarks(), f"{path}: not finite"
