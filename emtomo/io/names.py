"""Names of tomograms across programs: the stem that all of them share."""

import re
from collections.abc import Iterable
from pathlib import Path

from emtomo.errors import EmtomoError, FormatError

_EXTENSIONS = re.compile(
    r"(\.(mrc|mrcs|rec|st|ali|tomostar|em|tif|tiff|hdf|gz|bz2|xml|star|mdoc|map|mod|tbl|csv|txt|json|box|cbox|zarr)|_\d+(\.\d+)?Apx)+$",
    re.IGNORECASE,
)
_RECONSTRUCTED = re.compile(r"^rec_|(_full)?_(rec|Vol|ali)$", re.IGNORECASE)
_BINNED = re.compile(r"_bin_?\d+(?=_|$)", re.IGNORECASE)
_FILE_ENDING = re.compile(r"\.[A-Za-z]\w{0,7}$")
_MARK = re.compile(r"\{TS\}")


LONGEST_PLACE = 9  # digits
LONGEST = 200  # bytes: what is made for a tomogram is named by it, with an ending
_NOT_IN_NAMES = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_identifiers(names: Iterable[object], what: str, where: object) -> None:
    """Check that names can be parts of file names; empty and missing ones are none.

    Parameters
    ----------
    names : iterable of str
    what : str
        What they are, e.g. ``"tomogram_id"``.
    where : str or Path
        The file or set that has them.

    Raises
    ------
    FormatError
        If one holds a slash, a backslash, a line break or another control character, is ``.`` or ``..``, or is longer
        than a file's name can be.
    """
    for name in names:
        if problem := find_name_problem(name, what):
            raise FormatError(where, problem)


def find_name_problem(name: object, what: str) -> str:
    """Return one sentence on why a name cannot be part of a file's name, empty where it can or there is none."""
    if name is None or name != name:
        return ""
    text = str(name)
    if _NOT_IN_NAMES.search(text) or text in (".", ".."):
        return f"{what} must be a plain name, without slash, backslash, line break and not '..'; got {text[:80]!r}."
    if len(text.encode("utf8", "replace")) > LONGEST:
        return f"{what} must have at most {LONGEST} bytes, got {len(text)}: {text[:40]!r} …."
    return ""


def check_file_names(names: Iterable[str], what: str, where: object) -> None:
    """Check that names can each be that of a file of its own; arguments and errors as :func:`check_identifiers`.

    Raises
    ------
    FormatError
        Also if two are the same: the second file would take the place of the first.
    """
    listed = list(names)
    check_identifiers(listed, what, where)
    twice = next((name for k, name in enumerate(listed) if name in listed[:k]), None)
    if twice is not None:
        raise FormatError(where, f"one file for each is written, but {what} is {twice[:80]!r} of more than one.")


def as_place(text: str) -> int | None:
    """Return a place counted from 1, of at most nine digits; ``None`` where the text is none.

    Python refuses to read numbers of thousands of digits, and arrays cannot hold those of twenty.
    """
    digits = text.strip()
    place = int(digits) if digits.isdecimal() and len(digits) <= LONGEST_PLACE else 0
    return place or None


def stem(name: str) -> str:
    """Return the id of a tomogram from a file name of any program.

    Examples
    --------
    >>> [stem(n) for n in ("a/TS_01.mrc_15.00Apx.mrc", "TS_01.mrc.tomostar", "TS_01_7.90Apx.mrc", "TS_01")]
    ['TS_01', 'TS_01', 'TS_01', 'TS_01']
    """
    base = re.split(r"[/\\]", name.strip())[-1]
    return _EXTENSIONS.sub("", base) or base


def as_part(text: str) -> str:
    """Return a text as part of a plain name: every run of other signs than letters, digits, ``-`` and ``.`` is ``_``.

    Examples
    --------
    >>> as_part("MDF/images/0 image"), as_part("2")
    ('MDF_images_0_image', '2')
    """
    return re.sub(r"[^\w.-]+", "_", text).strip("_.") or "_"


def series_name(name: str) -> str:
    """Return the stem without what reconstruction programs add to a series' name: rec_ (RELION), _Vol (AreTomo), _rec.

    Examples
    --------
    >>> [series_name(n) for n in ("rec_TS_01.mrc", "TS_01_Vol.mrc", "TS_01_full_rec.mrc", "TS_01")]
    ['TS_01', 'TS_01', 'TS_01', 'TS_01']
    """
    return _RECONSTRUCTED.sub("", stem(name)) or stem(name)


def find_name(name: str, known: Iterable[str]) -> str | None:
    """Return which of `known` a name belongs to: of the same stem, else the only one of the same series.

    A binning in one of the names (``TS_01_bin4_rec``) is passed over where no other name fits.

    Examples
    --------
    >>> find_name("TS_01", ["TS_01_bin4_rec", "TS_02"]), find_name("TS_01_bin2", ["TS_01_bin4_rec"])
    ('TS_01_bin4_rec', None)
    """
    listed = list(known)
    if name in listed:
        return name
    same = [other for other in listed if stem(other) == stem(name)]
    if same:
        return same[-1]
    series = [other for other in listed if series_name(other) == series_name(name)]
    if not series:
        series = [other for other in listed if bool(_BINNED.search(other)) != bool(_BINNED.search(name))]
        series = [other for other in series if _unbinned(other) == _unbinned(name)]
    return series[0] if len(series) == 1 else None


def _unbinned(name: str) -> str:
    return series_name(_BINNED.sub("", stem(name)))


def match_names(wanted: list[str], known: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Match names by their stems, see :func:`find_name`.

    Returns
    -------
    found : dict
        Name in `wanted` → name in `known`.
    missing, unused : list of str
        Names of either side without a partner.
    """
    by_stem = {stem(name): name for name in known}
    found = {}
    for name in wanted:
        other = by_stem.get(stem(name)) or find_name(name, known)
        if other is not None:
            found[name] = other
    used = set(found.values())
    return found, [n for n in wanted if n not in found], [n for n in known if n not in used]


def expand(pattern: str) -> tuple[str, re.Pattern[str] | None]:
    """Return a glob for a pattern with ``#`` for a digit and ``{TS}`` for the id, and what finds the id.

    What finds the id matches paths below the folder, with ``/``; it is ``None`` when the pattern does not mark the id.

    Examples
    --------
    >>> glob, finder = expand("{TS}/vol_#.mrc")
    >>> glob, finder.match("TS_01/vol_2.mrc").group(1)
    ('*/vol_[0-9].mrc', 'TS_01')
    """
    glob = _MARK.sub("*", pattern).replace("#", "[0-9]")
    if not _MARK.search(pattern):
        return glob, None
    parts = re.escape(pattern.replace("\\", "/")).replace(r"\{TS\}", "\0", 1).replace(r"\{TS\}", "[^/]*")
    parts = parts.replace(r"\*\*/", "\1").replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\#", r"\d")
    return glob, re.compile(parts.replace("\1", "(?:.*/)?").replace("\0", "([^/]+?)") + "$")


def folder_for_several(path: Path, what: str) -> Path:
    """Return `path` as a folder for files of one item each, made where it is not there.

    Parameters
    ----------
    path : Path
    what : str
        What there are several of, and what a file holds, e.g. ``"There are 3 tomograms, and a model holds one"``.

    Raises
    ------
    EmtomoError
        If its name is that of a file: no folder is called ``ts.star``.
    """
    if not path.is_dir() and (path.exists() or _FILE_ENDING.search(path.name)):
        raise EmtomoError(f"{what}; give the name of a folder instead of {path.name}.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def is_file(path: Path) -> bool:
    """Return whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


_WARP_1 = re.compile(r"^(.*\.(?:mrc|st))_\d+(\.\d+)?Apx\.mrc$")


def tomostar(name: str) -> str:
    """Return what Warp calls the tilt series of a tomogram: ``name.tomostar``.

    Warp 1 keeps the stack's extension in the name, and writes it into its tomograms' names.

    Examples
    --------
    >>> [tomostar(n) for n in ("a/TS_01.mrc_15.00Apx.mrc", "TS_01_7.90Apx.mrc", "TS_01.rec", "TS_01.mrc.tomostar")]
    ['TS_01.mrc.tomostar', 'TS_01.tomostar', 'TS_01.tomostar', 'TS_01.mrc.tomostar']
    """
    base = re.split(r"[/\\]", name.strip())[-1]
    if base.endswith(".tomostar"):
        return base
    found = _WARP_1.match(base)
    return f"{found.group(1) if found else stem(base)}.tomostar"
