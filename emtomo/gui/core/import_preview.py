"""What an import will find: how many files, their sizes, and the middle of each."""

from pathlib import Path

import numpy as np

from emtomo.compute.slices import contrast_limits
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.gui.core.preview import Preview, grey
from emtomo.gui.core.volume import open_voxels
from emtomo.gui.core.wizards import Texts
from emtomo.io import images, names
from emtomo.wording import count_text

MOST = 500  # files whose headers are read
SIDE = 512  # pixels of a picture


def list_images(texts: Texts, name: str, folder: Path) -> list[Path]:
    """Return the images that the files of an import name, in the order of their names.

    Raises
    ------
    EmtomoError
        If there are none.
    """
    if not texts.get(name):
        raise EmtomoError("Choose the files first.")
    path, pattern = folder / Path(texts[name]).expanduser(), texts.get("pattern") or "*"
    if images.is_image(path):
        return [path]
    if not path.is_dir():
        raise EmtomoError(f"{path}: there is no such file or folder.")
    glob, _ = names.expand(pattern)
    words = texts.get("exclude_words", "").split()
    found = [p for p in sorted(path.glob(glob)) if images.is_image(p) and not any(word in str(p) for word in words)]
    if not found:
        raise EmtomoError(f"No file in {path} matches {pattern!r}.")
    return found


def preview_files(project: EmtomoProject, texts: Texts, name: str, folder: Path) -> Preview:
    """Return the middle of each file, one after the other, and what the headers say.

    Raises
    ------
    EmtomoError
        If no file is an image that can be read.
    """
    found, known, first = list_images(texts, name, folder), {}, ""
    for path in found[:MOST]:
        try:
            known[path] = images.describe(path)
        except EmtomoError as error:
            first = first or str(error)
    if not known:
        raise EmtomoError(first)
    files = list(known)
    shapes = {known[p].shape for p in files}
    count = count_text(len(files), "image file") + (f" of {len(found)} files" if len(files) < len(found) else "")
    alike = "" if len(files) == 1 else ", all of one size" if len(shapes) == 1 else f", of {len(shapes)} sizes"

    def draw(value: float) -> tuple[np.ndarray, np.ndarray | None, str]:
        """Draw the middle slice of a file by its number."""
        path = files[min(max(int(round(value)), 1), len(files)) - 1]
        info, voxels = known[path], open_voxels(path)
        volume = voxels if voxels.ndim == 3 else voxels[None]
        size = f"{info.pixel_size:.4g} Å/px" if info.pixel_size else "no pixel size in the header"
        sentence = f"{count}{alike}. {path.name}: {'×'.join(map(str, volume.shape[::-1]))}, {size}"
        middle = _picture(volume[len(volume) // 2])
        return middle, _picture(volume[:, volume.shape[1] // 2]) if len(volume) > 1 else None, sentence

    titles = ("middle slice, xy", "middle slice, xz")
    return Preview("Files to import", "", 1, len(files), 1, draw, titles, whole=True, usable=False)


def _picture(plane: np.ndarray) -> np.ndarray:
    step = max(1, max(plane.shape) // SIDE)
    small = np.asarray(plane[::step, ::step], np.float32)
    return grey(small, contrast_limits(small))
