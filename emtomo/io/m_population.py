"""M's populations: XML files of population, data sources and species, as MTools writes them.

References
----------
Tegunov et al., Nat. Methods 18 (2021). Names of files, elements and parameters: github.com/warpem/warp,
WarpLib/Sociology (Population, DataSource, Species).
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from emtomo.errors import FormatError
from emtomo.io.names import check_identifiers
from emtomo.io.text import is_number, write_text
from emtomo.io.warp_xml import element_lines, parameter_lines, parameters_of, read_root

_START = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass
class MSpecies:
    """A species' file, and what lies beside it by its name.

    Attributes
    ----------
    path : Path
        ``name.species``; ``name_half1.mrc``, ``name_half2.mrc``, ``name_mask.mrc`` and ``name_particles.star`` beside
        it.
    name, symmetry : str
    pixel_size, diameter, resolution : float
        Å; resolution -1 where not known.
    sources : dict
        Versions of the data sources that were used, by their GUIDs.
    """

    path: Path
    name: str
    pixel_size: float
    diameter: float
    symmetry: str = "C1"
    resolution: float = -1.0
    sources: dict[str, str] = field(default_factory=dict)

    def beside(self, ending: str) -> Path:
        """Return the file ``name_ENDING`` beside the species' own."""
        return self.path.with_name(f"{self.path.stem}_{ending}")

    @property
    def guid(self) -> str:
        """The same for the same name and pixel size."""
        return _guid("species", self.name, f"{self.pixel_size:.6g}")


@dataclass
class MSource:
    """A data source's file: tilt series of one pixel size and size.

    Attributes
    ----------
    path : Path
        ``name.source``; the ``.tomostar`` and ``.xml`` files of its series lie beside it.
    name : str
    pixel_size : float
        Å.
    size : (3,) tuple
        x, y, z of the tomograms in pixels of the images.
    files : dict
        ``series.tomostar`` by their hashes.
    limit : int
        Tilts that take part; -1: all.
    """

    path: Path
    name: str
    pixel_size: float
    size: tuple[int, int, int]
    files: dict[str, str]
    limit: int = -1

    @property
    def guid(self) -> str:
        """The same for the same name and files."""
        return _guid("source", self.name, *self.files)

    @property
    def version(self) -> str:
        """Of the files as they are."""
        return hashlib.sha1("".join(self.files).encode()).hexdigest()[:8]


def _guid(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "emtomo/" + "/".join(parts)))


def hash_file(path: Path) -> str:
    """Return the name that M's particles call a tilt series by: the SHA1 of its file, in hexadecimal digits."""
    return hashlib.sha1(path.read_bytes()).hexdigest().upper()


def write_source(source: MSource) -> None:
    """Write a ``.source``."""
    x, y, z = source.size
    values = {
        "GUID": source.guid, "Version": source.version, "DontVersion": False, "PreviousVersion": "",
        "Name": source.name, "RelativeWeight": 1, "RelativeBFactor": "0, 0, 0", "PixelSize": source.pixel_size,
        "DimensionsX": x, "DimensionsY": y, "DimensionsZ": z, "FrameLimit": source.limit, "GainFlipX": False,
        "GainFlipY": False, "GainTranspose": False, "DosePerAngstromFrame": 0, "EERGroupFrames": 10, "GainPath": "",
        "DefectsPath": "",
    }  # fmt: skip
    lines = [_START, "<DataSource>", *parameter_lines(values), "\t<UsedSpecies />"]
    rows: list[dict[str, object]] = [{"Hash": key, "Name": name} for key, name in source.files.items()]
    write_text(source.path, "\n".join([*lines, *element_lines("Files", "File", rows), "</DataSource>", ""]))


def write_species(species: MSpecies) -> None:
    """Write a ``.species``; maps, mask and particles are written by who has them."""
    values = {
        "GUID": species.guid, "Version": "", "PreviousVersion": "", "Name": species.name,
        "PixelSize": species.pixel_size, "MolecularWeightkDa": 100, "DiameterAngstrom": round(species.diameter),
        "Symmetry": species.symmetry, "HelicalUnits": 1, "HelicalTwist": 0, "HelicalRise": 0, "HelicalHeight": 0,
        "DoEwald": False, "EwaldReverse": True, "UseForAlignment": True, "TemporalResolutionMovement": 1,
        "TemporalResolutionRotation": 1, "GlobalResolution": species.resolution, "GlobalBFactor": 0,
        "DenoisedAtResolution": -1, "ApplyDenoising": False, "MaskAutoThreshold": 0.02, "MaskAutoResolution": 10,
        "MaskUseManual": True,
    }  # fmt: skip
    rows: list[dict[str, object]] = [{"GUID": key, "Version": version} for key, version in species.sources.items()]
    lines = [_START, "<Species>", *parameter_lines(values), "\t<ChildSpecies />"]
    write_text(
        species.path, "\n".join([*lines, *element_lines("UsedDataSources", "DataSource", rows), "</Species>", ""])
    )


def write_population(path: Path, species: list[MSpecies], sources: list[MSource]) -> None:
    """Write a ``.population`` that names species and sources by their places from its folder."""
    listed = {
        ("Species", "Species"): [(one.guid, one.path) for one in species],
        ("Sources", "Source"): [(one.guid, one.path) for one in sources],
    }
    lines = [_START, "<Population>", *parameter_lines({"Name": path.stem})]
    for (tag, child), files in listed.items():
        rows: list[dict[str, object]] = [
            {"GUID": guid, "Path": PurePosixPath(file.relative_to(path.parent))} for guid, file in files
        ]
        lines += element_lines(tag, child, rows)
    write_text(path, "\n".join([*lines, "</Population>", ""]))


def read_species(path: str | Path) -> MSpecies:
    """Read a ``.species``; the files beside it must be there.

    Raises
    ------
    FormatError
        If it is none, or a number or a file is missing.
    """
    path = Path(path)
    root = read_root(path, "Species", "a species of M")
    values = parameters_of(root)
    numbers = {}
    for name in ("PixelSize", "DiameterAngstrom"):
        text = values.get(name, "")
        if not is_number(text) or not 0 < float(text) < 1e6:
            raise FormatError(path, f"{name} must be a number above 0, got {text[:40]!r}.")
        numbers[name] = float(text)
    check_identifiers([values.get("Name")], "Name", path)
    resolution = values.get("GlobalResolution", "")
    used = {str(n.get("GUID", "")): str(n.get("Version", "")) for n in root.findall("UsedDataSources/DataSource")}
    species = MSpecies(
        path,
        values.get("Name") or path.stem,
        numbers["PixelSize"],
        numbers["DiameterAngstrom"],
        values.get("Symmetry") or "C1",
        float(resolution) if is_number(resolution) else -1.0,
        used,
    )
    for ending in ("half1.mrc", "half2.mrc", "mask.mrc", "particles.star"):
        if not species.beside(ending).is_file():
            raise FormatError(path, f"{species.beside(ending).name} must lie beside it, and is not there.")
    return species
