"""Several files that are written into a folder together: all of them, or none."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from emtomo.errors import FormatError
from emtomo.io.names import folder_for_several


def write_together(
    folder: Path, several: str, write: Callable[[Path], list[Path]], *, overwrite: bool = True
) -> list[Path]:
    """Write files into a folder, made where it is not there; none of them where one cannot be written.

    Parameters
    ----------
    folder : Path
    several : str
        What there are several of; see :func:`~emtomo.io.names.folder_for_several`.
    write : callable
        Writes into the folder that it is given, and returns the files there.
    overwrite : bool
        Whether files of these names may be replaced.

    Raises
    ------
    EmtomoError
        Those of `write`; if the folder has the name of a file, or there are such files that are not to be replaced.
    """
    is_new = not folder.exists()
    folder_for_several(folder, several)
    try:
        with TemporaryDirectory(prefix=".part_", dir=folder) as name:
            files = [file.relative_to(name) for file in write(Path(name))]
            for file in files:
                target = folder / file
                if not overwrite and target.exists():
                    raise FormatError(target, "exists already; write into another folder.")
                if target.parent.exists() and not target.parent.is_dir():
                    raise FormatError(target.parent, "is a file, and the folder of a series is called so.")
            for file in files:
                (folder / file).parent.mkdir(exist_ok=True)
                (Path(name) / file).replace(folder / file)
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
    return [folder / file for file in files]
