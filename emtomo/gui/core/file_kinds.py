"""Kinds of files that dialogs offer, and the folder in which each was chosen last."""

from pathlib import Path

from emtomo.gui.core.settings import Settings

ALL = ("All files", "*")
IMAGES = ("Images and volumes", "*.mrc *.mrcs *.rec *.st *.map *.ali *.tif *.tiff *.hdf *.h5 *.zarr *.em *.gz")
TABLES = ("Tables and coordinates", "*.star *.tbl *.csv *.json *.cbox *.box *.xml *.mod *.em *.mat *.txt")
TILTS = ("Tilt series", "*.mdoc *.tlt *.rawtlt *.xf *.aln *.xml *.tomostar *.star")
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "data": (ALL, IMAGES, TABLES, TILTS),
    "template": (("Workflow templates", "*.json.template *.json"), ALL),
    "network": (("Networks", "*.safetensors"), ALL),
    "picture": (("Pictures", "*.png *.svg *.pdf *.csv"), ALL),
    "project": (),
}


def filters(kind: str) -> list[tuple[str, str]]:
    """Return the filters of a dialog as Tk takes them; the first is chosen."""
    return [(label, patterns) for label, patterns in KINDS.get(kind, ())]


def first_folder(settings: Settings, kind: str, start: str) -> str:
    """Return the folder in which a file of a kind was chosen last, if it is still there, else `start`."""
    last = settings.get(f"folder {kind}", "")
    return last if last and Path(last).is_dir() else start


def remember_folder(settings: Settings, kind: str, chosen: Path) -> None:
    """Remember where a file of a kind was chosen; projects are folders themselves."""
    settings.put(f"folder {kind}", str(chosen.parent))
