"""What a file is, by its content; its name only decides between lists of plain numbers."""

import re
from pathlib import Path

from emtomo.errors import FormatError
from emtomo.io.scipion import kind_of
from emtomo.io.text import is_number

_START = 65536
_STAR_MARKS = (
    ("stopgap", r"_orig_x\b"),
    ("stopgap-wedges", r"data_stopgap_wedgelist"),
    ("cbox", r"_CoordinateX\b"),
    ("tomostar", r"_wrpMovieName\b"),
    ("m", r"_wrpCoordinateX1\b"),
    ("optimisation-set", r"_rlnTomoParticlesFile\b"),
    ("tomograms", r"_rlnTomoSizeX\b"),
    ("tilts-relion", r"_rlnTomo(YTilt|NominalStageTiltAngle|ProjX)\b"),
    ("relion5", r"_rlnCenteredCoordinateXAngst\b"),
)
_TEXT_MARKS = (
    ("mdoc", r"^\[(ZValue|FrameSet|MontSection)\s*="),
    ("aln", r"^# AreTomo"),
    ("ctffind", r"^# Output from CTFFind"),
    ("com", r"^\$(tilt|newstack)\b|^(TILTFILE|InputProjections|TransformFile)\b"),
)
_BY_SUFFIX = {".tlt": "tlt", ".rawtlt": "tlt", ".xtilt": "xtilt", ".xf": "xf", ".defocus": "defocus", ".doc": "doc",
              ".vll": "vll", ".box": "box"}  # fmt: skip


def recognise(path: str | Path) -> str:
    """Return the kind of a file: a name of `emtomo.io.formats.FORMATS`, of a table of tilts, or image.

    Raises
    ------
    FormatError
        If it is missing, or of no kind that is known.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}.") from None
    binary = _binary(path, start)
    if binary:
        return binary
    text = _decode(path, start)
    if text.lstrip()[:1] == "{":
        return _json(path, text)
    if "<TiltSeries" in text or text.lstrip()[:5] == "<?xml":
        return "warp-xml"
    if re.search(r"^[ \t]*data_", text, re.MULTILINE):
        return _star(text)
    if path.suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix.lower()]
    for kind, mark in _TEXT_MARKS:
        if re.search(mark, text, re.MULTILINE):
            return kind
    rows = [line for line in text.split("\n") if line.strip() and line.lstrip()[0] not in "#%"]
    first = rows[0].split() if rows else []
    if path.suffix.lower() == ".tbl" or len(first) >= 26 and is_number(first[0]):
        return "dynamo"
    cells = rows[0].split(",") if rows else []
    if cells[:1] == ["CCC"] or (len(cells) == 20 and all(is_number(cell) for cell in cells)):
        return "peet"
    if first and first[0].isdecimal() and len(first) == 2 and not is_number(first[1]):
        return "doc"
    return "text"


def _folder(path: Path) -> str:
    if (path / ".zattrs").exists() or (path / "zarr.json").exists():
        return "image"
    if any(path.glob("tomograms/volume_*")):
        return "dynamo-catalogue"
    raise FormatError(path, "a folder, but neither an OME-Zarr image nor a Dynamo catalogue.")


def _binary(path: Path, start: bytes) -> str | None:
    if start.startswith(b"IMODV"):
        return "imod"
    if start.startswith(b"SQLite format 3\x00"):
        return kind_of(path)
    if start[208:211] == b"MAP" or start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "image"
    if start.startswith((b"\x89HDF", b"\x1f\x8b", b"BZh")):
        return "image"
    if start.startswith(b"MATLAB 5.0"):
        return "dynamo-model"
    if path.suffix.lower() == ".em":
        motive = len(start) >= 16 and int.from_bytes(start[4:8], "little" if start[0] in (1, 6) else "big") == 20
        return "motl" if motive else "image"
    return "image" if path.suffix.lower() in (".mrc", ".rec", ".mrcs", ".st", ".ali", ".map") else None


def _decode(path: Path, start: bytes) -> str:
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = start.decode(encoding, errors="ignore")
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:
        raise FormatError(path, "a binary file of no kind that is known.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json(path: Path, text: str) -> str:
    if '"boxes_3d"' in text:
        return "eman"
    if '"xform.align3d"' in text:
        return "eman-list"
    if '"points"' in text or '"pickable_object_name"' in text:
        return "copick"
    whole = path.read_text(encoding="utf-8-sig", errors="replace") if path.stat().st_size < 2**28 else ""
    if '"boxes_3d"' in whole:
        return "eman"
    return "copick" if '"points"' in whole else "json"


def _star(text: str) -> str:
    for kind, mark in _STAR_MARKS:
        if re.search(mark, text):
            return kind
    if "_rlnDefocusU" in text and not re.search(r"_rln(CoordinateX|AngleRot|TomoParticleName)\b", text):
        return "gctf"
    if not re.search(r"^[ \t]*data_optics", text, re.MULTILINE):
        return "relion3.0"
    return "relion4" if "_rlnTomoName" in text else "relion3.1"
