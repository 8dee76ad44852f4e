"""What the how-tos of the developer guide show can be copied: it is imported, and does what they say."""

import re
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

from tests.engine.helpers import Bench

DOCS = Path(__file__).parents[1] / "docs"


def code_of(page):
    """Return the Python of a how-to, block by block."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", (DOCS / page).read_text(encoding="utf8"), re.M | re.S)
    return [textwrap.dedent(block) for _, block in blocks]


def run(code, name, monkeypatch):
    """Return a module of that code and name."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, name, "exec"), vars(module))
    return module


def test_the_protocol(monkeypatch):
    algorithm, protocol, test = code_of("how_to_add_a_protocol.md")
    invert = run(algorithm, "emtomo.compute.invert", monkeypatch)
    volume = np.arange(6, dtype=np.float32)
    assert np.array_equal(invert.invert(volume, invert.InvertOptions(about=1.0)), 2 - volume)
    cls = run(protocol, "emtomo.protocols.invert_tomograms", monkeypatch).InvertTomograms
    assert cls.NAME == "invert-tomograms" and list(cls.OPTIONS) == [invert.InvertOptions]
    assert all(hasattr(cls, name) for name in ("_insert_per_tomogram", "options", "_register", "_add_input"))
    assert run(test, "tests.invert", monkeypatch).Bench is Bench


def test_the_format(tmp_path, monkeypatch):
    points = run(code_of("how_to_add_a_format.md")[0], "emtomo.io.napari", monkeypatch).POINTS
    from emtomo.io.format import ReadOptions, WriteOptions

    path = tmp_path / "a.csv"
    path.write_text("index,axis-0,axis-1,axis-2\n0,1.5,2,3\n1,4,5,6\n", encoding="utf8")
    found = points.read(path, ReadOptions())
    np.testing.assert_allclose(found.positions, [[3, 2, 1.5], [6, 5, 4]])
    points.write(tmp_path / "b.csv", found, WriteOptions())
    np.testing.assert_allclose(points.read(tmp_path / "b.csv", ReadOptions()).positions, found.positions)


def test_the_kind_of_view(rng, monkeypatch):
    """Its own test, with fewer particles."""
    pairs = run("\n".join(code_of("how_to_add_a_view.md")), "tilt_pairs", monkeypatch)
    pairs.test_the_average_is_the_molecule_with_the_right_sign_of_the_tilt(rng, count=60, n=20)


@pytest.mark.parametrize("page", sorted(p.name for p in DOCS.glob("how_to_*.md")))
def test_files_that_are_named_exist(page):
    names = re.findall(r"`((?:emtomo|tests|docs)/[\w/.]+\.(?:py|md))`", (DOCS / page).read_text(encoding="utf8"))
    new = {
        "emtomo/compute/invert.py",
        "emtomo/protocols/invert_tomograms.py",
        "docs/protocols/notes/invert-tomograms.md",
    }
    missing = [name for name in names if name not in new and not (DOCS.parent / name).exists()]
    assert len(names) > 1 and not missing
