"""What scripts and notebooks call: light to import, typed, documented, with examples that run."""

import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import emtomo
from emtomo.compute.rotations import random_rotations
from emtomo.errors import EmtomoError

PACKAGE = Path(emtomo.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf8")
)


def run(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **kwargs)


def test_nothing_is_loaded_or_set_before_it_is_used():
    code = (
        "import os, sys\n"
        "before = dict(os.environ)\n"
        "import emtomo\n"
        "heavy = {'numpy', 'scipy', 'numba', 'pandas', 'pyworkflow', 'mrcfile'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "emtomo.io; emtomo.compute; dir(emtomo), dir(emtomo.io)\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "for module in (emtomo, emtomo.io):\n"
        "    for name in module.__all__: getattr(module, name)\n"
        "assert 'pyworkflow' not in sys.modules and 'tkinter' not in sys.modules\n"
        "assert os.environ.get('SCIPION_DOMAIN') == before.get('SCIPION_DOMAIN')\n"
        "print({k for k in os.environ if os.environ[k] != before.get(k)})"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("module", ["emtomo", "emtomo.io"])
def test_names_agree_and_are_documented(module):
    package = importlib.import_module(module)
    assert set(package.__all__) - {"__version__"} <= set(dir(package))
    assert set(package._HOME) <= set(package.__all__)
    for name in package._HOME:
        value = getattr(package, name)
        assert inspect.getdoc(value), name
        assert value.__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'denoize'"):
        package.denoize  # noqa: B018


@pytest.mark.parametrize("name", [n for n in emtomo.__all__ if inspect.isfunction(getattr(emtomo, n))])
def test_every_argument_of_a_public_function_is_described(name):
    function = getattr(emtomo, name)
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters.values():
        assert f"{parameter.name}" in text, f"{name} does not describe {parameter.name}"
    assert "Returns\n" in text or "Return " in text.split("\n")[0]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert tried and not failed


def test_a_type_checker_sees_the_types(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\nimport emtomo\n"
        "reveal_type(emtomo.denoise(np.zeros((4, 4, 4))))\n"
        "reveal_type(emtomo.io.read_particles('a.star'))\n"
        "reveal_type(emtomo.open_project('p').outputs('a.b').frame())\n"
        "reveal_type(emtomo.match_template)\n"
        "emtomo.denoise('a.mrc')\n"
        "emtomo.no_such_name\n"
    )
    mypy = Path(sys.executable).with_name("mypy")
    if not mypy.exists():
        pytest.skip("mypy is not in this environment (make core has none)")
    done = subprocess.run(
        [mypy, "--config-file", PACKAGE.parent / "pyproject.toml", script], capture_output=True, text=True,
        cwd=PACKAGE.parent,
    )  # fmt: skip
    said = done.stdout
    for expected in ("ndarray", "emtomo.io.particles.ParticleList", "DataFrame", "TemplateMatches"):
        assert expected in said, said
    assert '"denoise" has incompatible type "str"' in said
    assert 'has no attribute "no_such_name"' in said
    assert said.count("error:") == 2, said


def test_a_wrong_keyword_or_value_gets_one_sentence():
    volume = np.zeros((4, 8, 8))
    with pytest.raises(EmtomoError, match=r"There is no option 'iteration'; did you mean 'iterations'\?"):
        emtomo.denoise(volume, iteration=3)
    with pytest.raises(EmtomoError, match="Sigma Gaussian filter must be >= 0 voxel, got -1 voxel."):
        emtomo.denoise(volume, sigma=-1.0)
    with pytest.raises(EmtomoError, match="The options must be DenoiseOptions, got MaskOptions"):
        emtomo.denoise(volume, emtomo.MaskOptions())
    with pytest.raises(EmtomoError, match="read it with emtomo.io.read_volume"):
        emtomo.denoise("tomogram.mrc")
    with pytest.raises(EmtomoError, match="The reference must be a cube"):
        emtomo.match_template(volume, volume, 1.0)
    with pytest.raises(EmtomoError, match="Rotations, one for each of 2 boxes, must have shape"):
        emtomo.reconstruct(np.zeros((2, 8, 8, 8)), np.eye(3))
    with pytest.raises(EmtomoError, match="is not a folder"):
        emtomo.open_project("/no/such/folder")


def test_options_and_keywords_are_the_same_and_keywords_win():
    volume = np.random.default_rng(1).normal(size=(8, 16, 16)).astype(np.float32)
    one = emtomo.denoise(volume, emtomo.DenoiseOptions(iterations=3, sigma=0.0))
    two = emtomo.denoise(volume, emtomo.DenoiseOptions(iterations=9), iterations=3, sigma=0.0)
    assert np.array_equal(one, two)
    assert list(inspect.signature(emtomo.denoise).parameters)[-1] == "linear"


def simulated(m: int = 24, n: int = 16):
    """Return a reference, boxes of it in random poses with a missing wedge, and the poses."""
    from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, protein_density
    from emtomo.synthetic.subtomograms import simulate_subtomograms

    reference = protein_density(SOLUBLE_PROTEIN, n, 14.0)
    rotations = random_rotations(m, 3)
    shifts = np.random.default_rng(4).uniform(-1, 1, (m, 3))
    return reference, simulate_subtomograms(reference, rotations, shifts, 0.05, 5), rotations, shifts


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_reconstruction_gives_the_truth_back():
    reference, boxes, rotations, shifts = simulated()
    done = emtomo.reconstruct(boxes, rotations, shifts=shifts, tilt_range=(-60, 60))
    wrong = emtomo.reconstruct(boxes, rotations, shifts=-shifts, tilt_range=(-60, 60))
    assert correlation(done.average, reference) > 0.98
    assert correlation(wrong.average, reference) < correlation(done.average, reference) - 0.01
    assert set(done.halves) == {1, 2}
    assert done.fsc.shape == (9,)


def test_refinement_takes_keywords_and_reports_every_iteration():
    reference, boxes, rotations, _ = simulated()
    seen = []
    done = emtomo.refine(
        boxes, rotations, reference, 14.0, tilt_range=(-60, 60), angular_step=1.0, initial_lowpass=60.0,
        max_iterations=3, on_progress=seen.append,
    )  # fmt: skip
    assert [m.iteration for m in seen] == list(range(1, len(seen) + 1))
    assert correlation(done.average, reference) > 0.9
    assert done.resolution <= 60


def test_template_matches_are_written_and_read_again(tmp_path):
    from emtomo.synthetic.shapes import SOLUBLE_PROTEIN, place, protein_density

    reference = protein_density(SOLUBLE_PROTEIN, 16, 14.0)
    tomogram = np.random.default_rng(2).normal(0, 0.3, (32, 40, 48)).astype(np.float32)
    centres = np.array([[14.0, 14.0, 16.0], [18.0, 25.0, 32.0]])
    rotations = random_rotations(2, 7)
    density = np.zeros_like(tomogram)
    for centre, rotation in zip(centres, rotations, strict=True):
        place(density, reference, centre, rotation)
    found = emtomo.match_template(tomogram - density, reference, 14.0, number_of_particles=2, angular_step=30)
    order = np.argsort(found.positions[:, 0])
    assert np.abs(found.positions[order] - centres).max() < 1.0
    table = found.frame()
    assert np.allclose(table[["z", "y", "x"]], (found.positions - [16, 20, 24]) * 14.0)
    particles = found.particles("TS_01")
    [file] = emtomo.io.write_particles(tmp_path / "found.star", particles, format="relion4")
    again = emtomo.io.read_particles(file)
    assert np.allclose(again.positions, found.positions[:, ::-1], atol=1e-3)
    assert np.allclose(again.rotations, found.rotations, atol=1e-4)


def test_volumes_are_written_and_read_in_both_formats(tmp_path):
    volume = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    for name in ("it's a volume.mrc", "b.tif"):
        emtomo.io.write_volume(tmp_path / name, volume, 7.5)
        assert np.array_equal(emtomo.io.read_volume(tmp_path / name), volume)
        assert emtomo.io.describe_volume(tmp_path / name).pixel_size == pytest.approx(7.5)
    with pytest.raises(EmtomoError, match="must end with .mrc"):
        emtomo.io.write_volume(tmp_path / "a.png", volume, 7.5)
    with pytest.raises(EmtomoError, match="pixel size must be above 0"):
        emtomo.io.write_volume(tmp_path / "a.mrc", volume, 0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tif", "it's a volume.mrc"]


def test_a_pixel_size_is_taken_where_particles_have_none(tmp_path):
    picks = tmp_path / "picks.csv"
    picks.write_text("tomogram_id,x,y,z\nTS_01,10,20,30\n")
    [file] = emtomo.io.write_particles(
        tmp_path / "a.star", emtomo.io.read_particles(picks), format="relion4", pixel_size=5.0
    )
    again = emtomo.io.read_particles(file)
    assert again.pixel_size.tolist() == [5.0]
    assert again.positions.tolist() == [[10.0, 20.0, 30.0]]


PROJECT = """
import os, sys
from pathlib import Path
import numpy as np
import emtomo
folder = Path("a project")
from emtomo.engine.project import EmtomoProject
from emtomo.engine.parameters import protocol_named, set_parameters
here = Path.cwd()
for k in (1, 2):
    emtomo.io.write_volume(f"tomo_{k}.mrc", np.random.default_rng(k).normal(size=(8, 12, 16)), 10.0)
project = EmtomoProject.start(folder)
run = project.new_run(protocol_named("import-tomograms"), "import")
set_parameters(project, run, {"files": str(here), "pattern": "*.mrc", "pixel_size": "10"}, here)
project.saveProtocol(run)
run.makePathsAndClean() if hasattr(run, "makePathsAndClean") else None
project.launch(run)
import time
while project.find("import").isActive(): time.sleep(0.2)
os.chdir(here)
opened = emtomo.open_project(folder)
assert Path.cwd() == here
print(opened.runs()[["label", "protocol", "status"]].values.tolist())
out = opened.outputs("import.tomograms")
assert opened.outputs("import").name == opened.outputs("import.tomograms").name == out.name
assert list(opened.outputs()) == ["import.tomograms"]
table = out.frame()
print(out.kind, out.properties["pixel_size"], table["size_x"].tolist(), sorted(table["tomogram_id"]))
assert emtomo.io.read_volume(table["file"][0]).shape == (8, 12, 16)
assert Path.cwd() == here
try:
    opened.outputs("import.volumes")
except emtomo.ProjectError as error:
    print(error)
"""


@pytest.mark.workflow
def test_a_project_is_read_from_anywhere(tmp_path):
    done = run(PROJECT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-3] == "[['import', 'import-tomograms', 'finished']]"
    assert lines[-2] == "SetOfTomograms 10.0 [16, 16] ['tomo_1', 'tomo_2']"
    assert "There is no output 'import.volumes'" in lines[-1]
    assert "import.tomograms" in lines[-1]
