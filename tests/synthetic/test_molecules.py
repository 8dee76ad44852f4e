"""Molecules that a user brings: the proteasome's atoms against the map that others made of them."""

import gzip

import numpy as np
import pytest

from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.errors import FormatError
from emtomo.io import mrc
from emtomo.io.atoms import read_atoms
from emtomo.synthetic.molecules import density_of_atoms, density_of_map
from emtomo.synthetic.phantom import PhantomOptions, make_phantom
from tests.conftest import shared

CIF = """data_x
loop_
_atom_site.group_PDB
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
ATOM C CA 1.0 2.0 3.0
HETATM O "O5'" -4.5 5 6
"""


def test_pdb_atoms_are_read_and_centred():
    positions, electrons = read_atoms(shared("maps", "3j9i.pdb.gz"))
    assert len(positions) > 10000 and np.isfinite(positions).all() and set(electrons) <= {1, 6, 7, 8, 16}


def test_density_has_the_size_of_the_molecule_and_its_centre():
    atoms = np.array([[20.0, 0, 0], [-20, 0, 0], [0, 10, 0]])
    density = density_of_atoms(atoms, np.array([1.0, 1, 4]), 2.0, 4.0)
    half = density.shape[0] // 2
    assert density.shape[0] % 2 == 0 and np.unravel_index(density.argmax(), density.shape) == (half, half + 5, half)
    assert density[half, half, half + 10] == pytest.approx(0.25, abs=0.01)


def test_proteasome_agrees_with_the_map_of_others():
    """polnet's 10 Å map of 3j9i; positions agree after both are centred on their mass."""
    positions, electrons = read_atoms(shared("maps", "3j9i.pdb.gz"))
    theirs = mrc.read_volume(shared("maps", "3j9i.mrc"))
    index = np.indices(theirs.shape).reshape(3, -1)
    mass = (index * theirs.ravel()).sum(axis=1) / theirs.sum()
    centred = positions - np.average(positions, axis=0, weights=electrons)
    moved = centred + (mass - np.array(theirs.shape) // 2)[::-1] * 10.0
    ours = density_of_atoms(moved, electrons, 10.0, 20.0)
    n = min(ours.shape[0], theirs.shape[0])

    def middle(v):
        s = [m // 2 - n // 2 for m in v.shape]
        return v[tuple(slice(a, a + n) for a in s)]

    curve = fourier_shell_correlation(middle(ours), middle(theirs))
    assert (curve[: n // 4] > 0.5).all(), curve.round(2)


def test_cif_is_read(tmp_path):
    (tmp_path / "a.cif").write_text(CIF)
    positions, electrons = read_atoms(tmp_path / "a.cif")
    assert positions.tolist() == [[1, 2, 3], [-4.5, 5, 6]] and electrons.tolist() == [6, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "no atom"),
        ("ATOM      1  CA  ALA A   1      xxxxxxx   2.000   3.000\n", "line 1"),
        (CIF.replace("2.0", "two"), "line 9"),
        (CIF.replace("_atom_site.Cartn_y\n", ""), "no column Cartn_y"),
    ],
)
def test_each_fault_has_its_sentence(text, message, tmp_path):
    (tmp_path / "a.pdb").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_atoms(tmp_path / "a.pdb")
    (tmp_path / "b.pdb").write_bytes(gzip.compress(b"x" * 50)[:20])
    with pytest.raises(FormatError, match="cannot be read"):
        read_atoms(tmp_path / "b.pdb")


def test_a_map_of_another_sampling_keeps_its_centre():
    volume = np.zeros((21, 20, 24), np.float32)
    volume[10, 10, 12] = 1.0
    volume[10, 10, 18] = 0.5
    sampled = density_of_map(volume, 5.0, 2.5)
    half = sampled.shape[0] // 2
    assert np.unravel_index(sampled.argmax(), sampled.shape) == (half, half, half)
    line = sampled[half, half]
    assert line[half + 12] > 0.4 * line[half]


def test_a_users_molecule_is_placed():
    ball = np.zeros((8, 8, 8), np.float32)
    ball[3:6, 3:6, 3:6] = 1.0
    options = PhantomOptions(size_x=64, size_y=64, size_z=64, vesicles=0, soluble_proteins=1)
    phantom = make_phantom(options, {"soluble": ball})
    assert len(phantom.particles["soluble"].positions) == 1
    assert phantom.density.sum() == pytest.approx(27, rel=0.05)
