"""The examples run, and what they find is true."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPECTED = {
    "denoise_tomogram": lambda r: r["after"] > r["before"] + 0.02,
    "resolution_of_half_maps": lambda r: 10 <= r["corrected"] < r["unmasked"] < 60,
    "find_particles": lambda r: r["found"] == r["of"] == 5 and r["error"] < 1,
    "average_subtomograms": lambda r: r["correlation"] > 0.9 and r["resolution"] < 40,
    "refine_subtomograms": lambda r: r["after"] < 5 < 9 < r["before"],
}


def test_every_example_is_expected_to_be_true():
    assert set(EXPECTED) == {file.stem for file in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_runs_and_draws(name, tmp_path):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.main(tmp_path)
    assert EXPECTED[name](result), result
    assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
