"""Bad arguments of every public function: one sentence that says what must be and what was, nothing from inside."""

import inspect

import numpy as np
import pytest

import emtomo
from emtomo.checks import check_volume
from emtomo.errors import EmtomoError

N = 12
NOISE = np.random.default_rng(0).normal(size=(N, N, N)).astype(np.float32)
NAN = np.where(NOISE > 3, NOISE, np.nan)
BOXES = np.random.default_rng(1).normal(size=(4, N, N, N)).astype(np.float32)
POSES = np.repeat(np.eye(3)[None], 4, axis=0)
VOLUMES = {
    "a plane": (NOISE[0], r"must be an array of numbers \(z, y, x\), got float32 \(12, 12\)"),
    "empty": (NOISE[:0], r"must be an array of numbers \(z, y, x\), got float32 \(0, 12, 12\)"),
    "ragged": ([[1, 2], [3]], "must be an array of numbers .*, got list"),
    "complex": (NOISE + 1j, "must be an array of numbers .*, got complex64"),
    "a name": ("a.mrc", "got the name 'a.mrc'; read it with emtomo.io.read_volume"),
    "nothing": (None, "must be an array of numbers .*, got object"),
}
SIZES = {
    "zero": (0, "pixel size must be above 0 Å, got 0 Å"),
    "not a number": (np.nan, r"pixel size must be a finite number \(Å\), got nan Å"),
    "text": ("x", "pixel size must be a finite number .*, got 'x'"),
    "several": ([1, 2], r"pixel size must be a finite number .*, got \[1, 2\]"),
}
OF_VOLUMES = {
    "denoise": lambda v: emtomo.denoise(v, iterations=1),
    "bin_volume": lambda v: emtomo.bin_volume(v, 2),
    "create_mask": lambda v: emtomo.create_mask(v, 10.0, threshold=0.5),
    "fourier_shell_correlation": lambda v: emtomo.fourier_shell_correlation(NOISE, v),
    "solvent_corrected_fsc": lambda v: emtomo.solvent_corrected_fsc(v, NOISE, np.ones_like(NOISE)),
    "postprocess": lambda v: emtomo.postprocess(NOISE, v, 10.0),
    "match_template": lambda v: emtomo.match_template(v, NOISE, 10.0),
    "refine": lambda v: emtomo.refine(BOXES, POSES, v, 10.0),
    "write_volume": lambda v: emtomo.io.write_volume("w.mrc", v, 10.0),
}
OF_SIZES = {
    "create_mask": lambda s: emtomo.create_mask(NOISE, s, threshold=0.5),
    "postprocess": lambda s: emtomo.postprocess(NOISE, NOISE, s),
    "match_template": lambda s: emtomo.match_template(NOISE, NOISE, s),
    "refine": lambda s: emtomo.refine(BOXES, POSES, NOISE, s),
    "resolution_at": lambda s: emtomo.resolution_at(np.linspace(1, 0, 7), N, s),
    "write_volume": lambda s: emtomo.io.write_volume("w.mrc", NOISE, s),
}
OTHERS = [
    (lambda: emtomo.denoise(NOISE, iterations=2.5), "Number of iterations must be a whole number, got 2.5"),
    (lambda: emtomo.denoise(NOISE, sigma="x"), "Sigma Gaussian filter must be a number, got 'x'"),
    (lambda: emtomo.denoise(NOISE, device=None), "device must be cpu, cuda or cuda:N, got None"),
    (lambda: emtomo.denoise(NOISE, device="cuda:first"), "device must be cpu, cuda or cuda:N, got 'cuda:first'"),
    (lambda: emtomo.bin_volume(NOISE, 0.5), "binning factor must be at least 1, got 0.5"),
    (lambda: emtomo.bin_volume(NAN, 2), "no numbers .*, in slice 1"),
    (lambda: emtomo.create_mask(NAN, 10.0, threshold=0.5), "volume holds voxels that are no numbers"),
    (lambda: emtomo.match_template(NOISE, NAN, 10.0), "reference holds voxels that are no numbers"),
    (lambda: emtomo.match_template(NOISE, NOISE, 10.0, tilt_range=60), "must be two angles in degrees, got 60"),
    (lambda: emtomo.postprocess(NOISE, NOISE, 10.0, mtf=np.ones(3)), r"must have shape \(7,\), got \(3,\)"),
    (lambda: emtomo.resolution_at([[1.0, 0.0]], N, 10.0), r"must be numbers in at least two shells, got .* \(1, 2\)"),
    (lambda: emtomo.resolution_at([1.0, 0.0], N, 10.0, first=2), "first shell must be one of the 2 of the curve"),
    (lambda: emtomo.reconstruct(BOXES[:, :5], POSES), r"at least one cube, got float32 \(4, 5, 12, 12\)"),
    (lambda: emtomo.reconstruct(BOXES, POSES * np.nan), "Rotations, .*, must be finite numbers"),
    (lambda: emtomo.reconstruct(BOXES, POSES * 2), "number 1 of 4 is not a rotation"),
    (lambda: emtomo.reconstruct(BOXES, POSES, shifts="x"), r"Shifts .* must be numbers of shape \(4, 3\), got <U1"),
    (lambda: emtomo.reconstruct(BOXES, POSES, tilt_range=(60, -60)), "two rising angles within ±90°, got 60, -60"),
    (lambda: emtomo.reconstruct(BOXES, POSES, seed=-1), "seed must be at least 0, got -1"),
    (lambda: emtomo.reconstruct(BOXES, POSES, weights=np.full((N, N, 7), np.nan)), "Weights .* must be finite"),
    (
        lambda: emtomo.reconstruct(BOXES, POSES, weights=np.full((4, N, N, 7), np.nan)),
        "Weights of box 1 must be finite",
    ),
    (lambda: emtomo.open_project(None), "path must be text or a pathlib.Path, got None"),
    (lambda: emtomo.io.read_volume("a\0b"), "No file can have the name"),
    (lambda: emtomo.io.read_particles("x" * 5000), "No file can have the name 'xxx"),
    (lambda: emtomo.io.write_particles("o.star", []), "particles must be a ParticleList, got list"),
    (lambda: emtomo.io.from_relion([[1, 2]]), r"Angles must be numbers of shape \(n, 3\)"),
    (lambda: emtomo.io.to_relion(-POSES), "orthonormal matrices with determinant 1"),
    (lambda: emtomo.io.to_relion(np.eye(3)), r"Rotations must be numbers of shape \(n, 3, 3\)"),
]


def check(call, message):
    with pytest.raises(EmtomoError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("kind", VOLUMES)
@pytest.mark.parametrize("name", OF_VOLUMES)
def test_what_is_no_volume_is_named(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value, message = VOLUMES[kind]
    check(lambda: OF_VOLUMES[name](value), message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("name", OF_SIZES)
def test_a_pixel_size_is_a_number_above_zero(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value, message = SIZES[kind]
    check(lambda: OF_SIZES[name](value), message)


@pytest.mark.parametrize(("call", "message"), OTHERS)
def test_other_arguments_are_named(call, message):
    check(call, message)


def test_every_public_function_is_tried():
    source = inspect.getsource(inspect.getmodule(test_every_public_function_is_tried))
    missing = [n for n in emtomo.__all__ if inspect.isfunction(getattr(emtomo, n)) and f"emtomo.{n}(" not in source]
    assert not missing


def test_lists_and_whole_numbers_are_volumes_and_files_are_not_read(tmp_path):
    assert emtomo.denoise(NOISE.tolist(), iterations=1).shape == (N, N, N)
    assert emtomo.fourier_shell_correlation((10 * NOISE).astype(int), NOISE)[1] > 0.9
    assert emtomo.resolution_at([1, 1, 0.1, 0.1], 6, 10.0) == pytest.approx(60 / (1 + 0.857 / 0.9))
    mapped = np.memmap(tmp_path / "a", np.float32, "w+", shape=(4, 5, 6))
    assert check_volume(mapped, "volume", finite=False) is mapped


def test_completion_shows_what_there_is_to_use():
    for module in (emtomo, emtomo.io):
        assert {name for name in dir(module) if not name.startswith("__")} == set(module.__all__) - {"__version__"}
