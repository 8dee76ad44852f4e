"""Tilt series' alignments and CTFs: one table, whichever program wrote it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles, tilt_geometry
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError, one_line
from emtomo.io.format import FileStart, Format, ReadOptions, WriteOptions, words_of
from emtomo.io.text import is_number
from emtomo.io.together import write_together
from emtomo.wording import count_text

COLUMNS = {
    "name": "file of the image or movie",
    "angle": "tilt, °: the image shows x cos + z sin",
    "x_tilt": "tilt about x before, °",
    "rotation": "tilt axis from the images' y, °",
    "shift_x": "where the tomogram's centre lies from the image's, Å",
    "shift_y": "where the tomogram's centre lies from the image's, Å",
    "dose": "e/Å² before the image",
    "acquisition_order": "from 1",
    "defocus_u": "Å",
    "defocus_v": "Å",
    "defocus_angle": "°",
    "phase_shift": "°",
    "scale": "factor of the amplitude",
    "bfactor": "Å², positive damps",
    "stage_x": "rotation of the section about the images' x, °",
    "stage_y": "rotation of the section about the images' y, before that about z, °",
    "stage_z": "rotation of the section about the images' z, °",
    "excluded": "0 or 1",
}

# beyond the table
MODELS = frozenset({"image_warp", "volume_warp", "magnification"})


@dataclass
class Tilts:
    """One tilt series.

    Attributes
    ----------
    table : DataFrame
        One row per image, in the order of the stack; those of `COLUMNS` that are known.
    pixel_size : float
        Å of the images; NaN where not known.
    image_size : (2,) tuple or None
        x, y of the images in voxels.
    volume_size : (3,) tuple or None
        x, y, z of the tomogram in voxels of the images.
    optics : dict
        voltage (kV), cs (mm), amplitude_contrast.
    hand : int or None
        1 where defocus grows with height (RELION's rlnTomoHand), else -1; None where the file does not say.
    image_warp : ImageWarp or None
        Warp's movement of the sample.
    volume_warp : VolumeWarp or None
        As that of the images it has the size NaN where the file does not say it.
    magnification : (2, 2) array or None
        Of the images, as :class:`.TiltGeometry` has it.
    rotations : (n, 3, 3) array or None
        Where the file gives matrices instead of angles.
    offsets : (n, 2) array or None
        Pixels: where matrices that count from the tomogram's first voxel put it in the image, from its first pixel.
    name : str
        The tomogram's.
    format : str
    notes : list of str
    """

    table: pd.DataFrame
    pixel_size: float = np.nan
    image_size: tuple[int, int] | None = None
    volume_size: tuple[int, int, int] | None = None
    optics: dict[str, float] = field(default_factory=dict)
    hand: int | None = None
    image_warp: ImageWarp | None = None
    volume_warp: VolumeWarp | None = None
    magnification: np.ndarray | None = None
    rotations: np.ndarray | None = None
    offsets: np.ndarray | None = None
    name: str = ""
    format: str = ""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str, default: float = 0.0) -> np.ndarray:
        """Return a column as floats, `default` where the file does not have it."""
        if name not in self.table:
            return np.full(len(self.table), default)
        return self.table[name].to_numpy(float)

    def header_number(self, name: str, word: str, *, zero: bool = False) -> float:
        """Return a number above 0 (or 0, if `zero`) of a header; another word is noted, and gives NaN."""
        number = float(word) if is_number(word) else np.nan
        if np.isfinite(number) and (number > 0 or (zero and number == 0)):
            return number
        least = "a number from 0 on" if zero else "a number above 0"
        self.notes.append(f"{name} must be {least}, got {one_line(word)[:40]!r}: it is taken as unknown.")
        return np.nan

    def take_offsets(self) -> None:
        """Turn offsets of matrices into shifts, once the sizes of images and tomogram and the pixel size are known.

        Raises
        ------
        EmtomoError
            If one of them is not known.
        """
        if self.offsets is None or self.rotations is None:
            return
        if self.image_size is None or self.volume_size is None or not np.isfinite(self.pixel_size):
            raise EmtomoError(f"{self.name}: its matrices need the sizes of images and tomogram and the pixel size.")
        centre = self.rotations[:, :2] @ (np.array(self.volume_size) / 2) + self.offsets
        shifts = (centre - np.array(self.image_size) / 2) * self.pixel_size
        self.table["shift_x"], self.table["shift_y"] = shifts.T
        self.offsets = None

    def geometry(self) -> TiltGeometry:
        """Return the geometry; warps are taken where the size of the images or the volume is known."""
        self.take_offsets()
        size, known = self.pixel_size, np.isfinite(self.pixel_size)
        images = (self.image_size[0] * size, self.image_size[1] * size) if self.image_size and known else None
        x, y, z = self.volume_size or (0, 0, 0)
        volume = (x * size, y * size, z * size) if self.volume_size and known else None
        image_warp, volume_warp = self.image_warp, self.volume_warp
        if image_warp is not None and not np.isfinite(image_warp.image_size).all():
            image_warp = replace(image_warp, image_size=images) if images else None
        if volume_warp is not None and not np.isfinite(volume_warp.volume_size).all():
            volume_warp = replace(volume_warp, volume_size=volume) if volume else None
        return tilt_geometry(
            {
                "tilt_axis_angle" if name == "rotation" else name: self.table[name]
                for name in COLUMNS
                if name in self.table and name != "name"
            },
            pixel_size=size,
            image_size=images,
            volume_size=volume,
            hand=1 if self.hand is None else self.hand,
            rotations=self.rotations,
            image_warp=image_warp,
            volume_warp=volume_warp,
            magnification=self.magnification,
            optics=self.optics,
        )

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (n, p, 3): x, y in Å from the image's centre of (p, 3) points in Å, and their height."""
        return self.geometry().project(points)


def angles_of(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) axis, angle, x_tilt in degrees of rotations from the tomogram to tilts."""
    return tilt_angles(rotations)


def accumulate_dose(exposure: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the dose before every image: the sum of the `exposure` of the images taken earlier."""
    place = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    in_time = np.asarray(exposure, float)[np.argsort(order, kind="stable")]
    return np.concatenate([[0.0], np.cumsum(in_time)[:-1]])[place]


def format_of_one_series(
    name: str,
    label: str,
    sniff: Callable[[FileStart], bool],
    read: Callable[[Path, ReadOptions], Tilts],
    write: Callable[[Path, Tilts], list[Path] | None] | None = None,
    holds: str = "",
    suffix: str = "",
    *,
    endings: tuple[str, ...] | None = None,
    needs: str = "angle",
    own_folder: bool = False,
    described: str = "",
) -> Format[list[Tilts]]:
    """Return a format whose file holds one series; several are written into a folder, one file each.

    Parameters
    ----------
    name, label, sniff, suffix, endings
        See :class:`emtomo.io.format.Format`; `endings` is the suffix by default.
    read : callable
    write : callable, optional
        Path and series in; the files out, or nothing where it is the path alone.
    holds : str
        Words of `COLUMNS`, and omits_excluded where excluded images are left out.
    needs : str
        The column without which nothing can be written.
    own_folder : bool
        The files have fixed names: several series get a folder each.
    described : str
        Remark for the documentation.
    """

    def read_list(path: Path, options: ReadOptions) -> list[Tilts]:
        """Read the file's one series."""
        return [read(path, options)]

    def write_list(path: Path, series: list[Tilts], _: WriteOptions) -> list[Path]:
        """Write one file for every series, all or none."""
        assert write is not None
        for tilts in series:
            if needs not in tilts.table:
                raise EmtomoError(f"{tilts.name or path.stem} says nothing of {COLUMNS[needs]}, which {label} need.")
        if len(series) < 2:
            return [file for tilts in series for file in write(path, tilts) or [path]]
        several = f"There are {count_text(len(series), 'tilt series')}, and a file of {label} holds one"
        several += " (tomograms.star names several)" if suffix == ".star" else ""
        return write_together(path, several, lambda folder: write_into(folder, series), overwrite=not own_folder)

    def write_into(folder: Path, series: list[Tilts]) -> list[Path]:
        """Write one file for every series into a folder, or one folder."""
        assert write is not None
        files: list[Path] = []
        for tilts in series:
            target = folder / tilts.name / f"{tilts.name}{suffix}" if own_folder else folder / f"{tilts.name}{suffix}"
            target.parent.mkdir(exist_ok=True)
            files += write(target, tilts) or [target]
        return files

    return Format(
        name,
        label,
        sniff,
        read_list,
        write_list if write else None,
        words_of(holds),
        suffix,
        ((suffix,) if suffix else ()) if endings is None else endings,
        described=(described,),
    )


def require_pixel_size(tilts: Tilts) -> None:
    """Refuse shifts of unknown length, as IMOD and AreTomo give them, where they must be in Å.

    Raises
    ------
    EmtomoError
        If the pixel size of the images is not known.
    """
    unknown = not np.isfinite(tilts.pixel_size) and tilts.format in ("imod", "aln")
    if unknown and tilts.column("shift_x").any():
        raise EmtomoError("The shifts are in voxels: the pixel size of the images is needed; give it.")
