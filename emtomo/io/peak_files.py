"""Files of a search of a micrograph: its score maps, to be looked at, and its peaks, to choose among again."""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.compute.picking.bank import TemplateBank
from emtomo.compute.picking.peaks import Peaks
from emtomo.compute.picking.references import RotatedTemplates
from emtomo.compute.picking.search import PickingSearch
from emtomo.io import mrc

PEAKS, MAPS = "_peaks.npz", "_scores.mrc"
PEAK_ARRAYS = ("positions", "scores", "templates", "variations", "deviations", "averages")
BANK_ARRAYS = ("disc", "basis", "coefficients", "angles")


def digest_of(what: Any) -> str:
    """Return a digest of plain values, the same for the same values."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def write_search(
    folder: str | Path, micrograph_id: str, search: PickingSearch, diameters: np.ndarray, key: str
) -> None:
    """Write the maps (best score, and the number of its template) and the peaks of one micrograph.

    Parameters
    ----------
    folder : path
    micrograph_id : str
    search : PickingSearch
    diameters : (n,) array
        Å, of each peak's blob; NaN where not known.
    key : str
        Digest of all that the search depends on.
    """
    maps = np.stack([search.scores.best, search.scores.template.astype(np.float32)])
    mrc.write_volume(Path(folder) / f"{micrograph_id}{MAPS}", maps, search.pixel_size)
    arrays = {name: getattr(search.peaks, name) for name in PEAK_ARRAYS}
    _write(Path(folder) / f"{micrograph_id}{PEAKS}", key, {**arrays, "diameters": np.asarray(diameters, float)})


def read_peaks(folder: str | Path, micrograph_id: str, key: str | None = None) -> tuple[Peaks, np.ndarray] | None:
    """Return the peaks of a micrograph and their diameters; None where a search with this key is not there.

    Parameters
    ----------
    folder : path
    micrograph_id : str
    key : str, optional
        None takes any.
    """
    arrays = _read(Path(folder) / f"{micrograph_id}{PEAKS}", key, (*PEAK_ARRAYS, "diameters"))
    if arrays is None:
        return None
    *peaks, diameters = arrays
    return Peaks(*peaks), diameters


def write_templates(path: str | Path, templates: RotatedTemplates, key: str) -> None:
    """Write rotated templates."""
    bank = templates.bank
    arrays = {"disc": bank.disc, "basis": bank.basis, "coefficients": bank.coefficients, "angles": templates.angles}
    _write(Path(path), key, {**arrays, "numbers": np.array([bank.pixel_size, templates.diameter])})


def read_templates(path: str | Path, key: str | None = None) -> RotatedTemplates | None:
    """Return rotated templates; None where those with this key (any, if None) are not there."""
    arrays = _read(Path(path), key, (*BANK_ARRAYS, "numbers"))
    if arrays is None:
        return None
    disc, basis, coefficients, angles, numbers = arrays
    return RotatedTemplates(
        TemplateBank(disc, basis, coefficients, float(numbers[0])), np.asarray(angles), float(numbers[1])
    )


def _write(path: Path, key: str, arrays: dict[str, np.ndarray]) -> None:
    part = path.with_name(path.name + f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, key=np.array(key), **arrays)
    part.replace(path)


def _read(path: Path, key: str | None, names: tuple[str, ...]) -> list[np.ndarray] | None:
    """Return arrays of a file; None where it is missing, damaged or of another key."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if key is not None and str(found["key"]) != key:
                return None
            return [found[name] for name in names]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
