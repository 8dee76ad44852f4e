"""Atoms of a molecule in PDB and mmCIF files: where they are and how strongly they scatter."""

import gzip
import shlex
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from emtomo.errors import FormatError
from emtomo.io.limits import SMALL, read_plain
from emtomo.wording import bytes_text

# electrons; a light element stands for one that is not listed
_ELECTRONS = {"H": 1, "D": 1, "C": 6, "N": 7, "O": 8, "NA": 11, "MG": 12, "P": 15, "S": 16, "CL": 17, "K": 19,
              "CA": 20, "MN": 25, "FE": 26, "ZN": 30, "SE": 34}  # fmt: skip
_CIF_COLUMNS = ["Cartn_x", "Cartn_y", "Cartn_z", "type_symbol"]


def read_atoms(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (x, y, z in Å) and electrons of the atoms in a PDB or mmCIF file, also gzipped.

    Of a PDB file with several models the first is read.

    Raises
    ------
    FormatError
        With the line, if the file is neither, a coordinate is no number, or there is no atom.
    """
    try:
        raw = read_plain(path)
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.GzipFile(fileobj=BytesIO(raw)).read(SMALL + 1)
            if len(raw) > SMALL:
                raise FormatError(path, f"more than {bytes_text(SMALL)} are compressed in it.")
        text = raw.decode("utf8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise FormatError(path, f"cannot be read as text: {error}.") from None
    lines = text.splitlines()
    cif = any(line.startswith("_atom_site.") for line in lines)
    rows = _cif_rows(path, lines) if cif else _pdb_rows(path, lines)
    if not rows:
        raise FormatError(path, "there is no atom in it; a PDB or mmCIF file is needed.")
    positions = np.array([row[:3] for row in rows], float)
    electrons = np.array([_ELECTRONS.get(row[3].upper(), 6) for row in rows], float)
    return positions, electrons


def _pdb_rows(path: str | Path, lines: list[str]) -> list[tuple[float, float, float, str]]:
    rows = []
    for n, line in enumerate(lines, 1):
        if line.startswith("ENDMDL"):
            break
        if line.startswith(("ATOM  ", "HETATM")):
            try:
                x, y, z = (float(line[k : k + 8]) for k in (30, 38, 46))
            except ValueError:
                raise FormatError(path, "an atom's coordinates are no numbers.", n) from None
            rows.append((x, y, z, line[76:78].strip() or line[12:14].strip(" 0123456789")))
    return rows


def _cif_rows(path: str | Path, lines: list[str]) -> list[tuple[float, float, float, str]]:
    names = [line.strip().removeprefix("_atom_site.") for line in lines if line.startswith("_atom_site.")]
    missing = [name for name in _CIF_COLUMNS if name not in names]
    if missing:
        raise FormatError(path, f"the atom_site table has no column {', '.join(missing)}.")
    place = [names.index(name) for name in _CIF_COLUMNS]
    rows = []
    for n, line in enumerate(lines, 1):
        if line.startswith(("ATOM ", "HETATM ")):
            cells = line.split() if "'" not in line and '"' not in line else shlex.split(line)
            try:
                x, y, z = (float(cells[k]) for k in place[:3])
                rows.append((x, y, z, cells[place[3]]))
            except (ValueError, IndexError):
                raise FormatError(path, "an atom's coordinates are no numbers.", n) from None
    return rows
