"""Tilt series: a table of series, and for each a table of its images with what is known of every tilt."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Self

import numpy as np
import pandas as pd
from pyworkflow.object import Set

from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles, tilt_geometry
from emtomo.engine.fields import Extent, Field
from emtomo.engine.table import Item, TableSet
from emtomo.errors import EmtomoError
from emtomo.objects.acquisition import MICROSCOPE_FIELDS, PIXEL_SIZE
from emtomo.objects.series_warps import read_microscope, read_warps
from emtomo.objects.stored import reading_stored
from emtomo.wording import count_text

IMAGE_FIELDS = (
    Field("file", str, "image or stack, relative to the project"),
    Field("index", int, "of the image in its file, from 0", "", 0),
    Field("name", str, "movie or image that the metadata name"),
    Field("angle", float, "tilt: the image shows x cos + z sin", "°", 0.0),
    Field("tilt_axis_angle", float, "tilt axis from the image's y, counter-clockwise", "°", 0.0),
    Field("x_tilt", float, "tilt about x before that", "°", 0.0),
    Field("shift_x", float, "where the volume's centre lies from the image's", "Å", 0.0),
    Field("shift_y", float, "where the volume's centre lies from the image's", "Å", 0.0),
    Field("dose", float, "electrons before the image", "e/Å²", 0.0),
    Field("acquisition_order", int, "place in time, from 1"),
    Field("defocus_u", float, "along the astigmatism's angle, underfocus positive", "Å"),
    Field("defocus_v", float, "perpendicular to it", "Å"),
    Field("defocus_angle", float, "of the astigmatism, from x towards y", "°", 0.0),
    Field("phase_shift", float, "of a phase plate", "°", 0.0),
    Field("ctf_score", float, "agreement of the fit with the power spectrum, 1 at best"),
    Field("max_resolution", float, "to which the fit agrees", "Å"),
    Field("scale", float, "factor of the amplitude"),
    Field("bfactor", float, "in place of the weights of dose, positive damps", "Å²"),
    Field("stage_x", float, "rotation of the section alone about the image's x", "°", 0.0),
    Field("stage_y", float, "rotation of the section alone about the image's y", "°", 0.0),
    Field("stage_z", float, "rotation of the section alone about the image's z", "°", 0.0),
    Field("excluded", bool, "left out by everything that uses the series", "", False),
    Field("odd_file", str, "image or stack of the odd frames"),
    Field("even_file", str, "image or stack of the even frames"),
)
_KNOWN = {field.name: field for field in IMAGE_FIELDS}
_SQL_TYPE = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT"}
MOST_HEADERS = 100  # series whose images are looked at
_OLDER = {"rotation": "tilt_axis_angle"}  # columns of sets whose tilts are JSON in a cell


class TiltSeries(Item):
    """One tilt series; its images are rows of the set's second table."""

    FIELDS = (
        Field("tomogram_id", str, "the tomogram that the series gives"),
        Field("file", str, "MRC stack, relative to the project; empty where every image is a file"),
        Field("tilts", str, "table of tilts as JSON, only in sets of older versions"),
        Field("size_x", int, "columns of the images", "pixel"),
        Field("size_y", int, "rows of the images", "pixel"),
        Field("volume_x", float, "size of the tomogram", "Å"),
        Field("volume_y", float, "size of the tomogram", "Å"),
        Field("volume_z", float, "size of the tomogram", "Å"),
        Field("hand", int, "1 where defocus grows with height, -1 where it falls; missing: not known"),
        Field("gain_file", str, "gain reference of the images' movies"),
        Field("warps", str, "warps of images and volume, and rotations that angles cannot say, as JSON"),
    )
    _images: pd.DataFrame | None = None

    def table(self) -> pd.DataFrame:
        """Return the images: one row a tilt, columns as in ``IMAGE_FIELDS``.

        Raises
        ------
        EmtomoError
            If the item was not read from a set.
        """
        if self._images is None:
            self._images = _from_json(self.tilts.get()) if self.tilts.get() else None
        if self._images is None:
            raise EmtomoError(f"{self.tomogram_id.get()}: the table of its images is read from its set.")
        return self._images


class SetOfTiltSeries(TableSet):
    """Tilt series of one pixel size."""

    ITEM_TYPE = TiltSeries
    GROUP = "tomogram_id"
    NOUN = "tilt series"
    SIZE_OPTIONAL = True
    FIELDS = (PIXEL_SIZE, *MICROSCOPE_FIELDS)
    _source: Set | None = None

    # --- writing ---

    @classmethod
    def create(cls, path: Any, **values: Any) -> Self:
        """Start a new, empty set; see :meth:`TableSet.create`."""
        new = super().create(path, **values)
        columns = ", ".join(f'"{field.name}" {_SQL_TYPE[field.kind]}' for field in IMAGE_FIELDS)
        with closing(sqlite3.connect(str(new._part))) as db, db:
            db.execute(f"CREATE TABLE Images (tomogram_id TEXT, {columns})")
        return new

    def copy_fields(self, other: Set, *, but: tuple[str, ...] = ()) -> None:
        """Take what both sets have, and remember `other`: images that :meth:`extend` is not given are taken from it."""
        super().copy_fields(other, but=but)
        self._source = other if isinstance(other, SetOfTiltSeries) else None

    def extend(self, frame: pd.DataFrame, images: pd.DataFrame | None = None) -> None:
        """Append series with their images.

        Parameters
        ----------
        frame : DataFrame
            One row a series.
        images : DataFrame, optional
            One row a tilt, with ``tomogram_id`` and columns of ``IMAGE_FIELDS``; those that it lacks get their
            default. Without it the images are those of the set whose fields were copied.

        Raises
        ------
        EmtomoError
            If `images` has an unknown column, or a series has no images.
        """
        names = [str(n) for n in frame["tomogram_id"]] if "tomogram_id" in frame else []
        if images is None and self._source is not None:
            parts = [self._source.images(name).assign(tomogram_id=name) for name in names]
            images = pd.concat(parts, ignore_index=True) if parts else None
            frame = frame.assign(tilts=None)
        if images is None and "tilts" in frame:
            parts = [_from_json(text).assign(tomogram_id=n) for n, text in zip(names, frame["tilts"], strict=True)]
            images, frame = pd.concat(parts, ignore_index=True), frame.drop(columns="tilts")
        if images is None and names:
            raise EmtomoError(f"{names[0]}: a tilt series needs the table of its images.")
        super().extend(frame)
        if images is None:
            return
        unknown = [str(c) for c in images.columns if c not in _KNOWN and c != "tomogram_id"]
        if unknown:
            raise EmtomoError(
                f"An image of a tilt series has no column {', '.join(unknown)}; it has {', '.join(_KNOWN)}."
            )
        empty = sorted(set(names) - set(images["tomogram_id"]))
        if empty:
            raise EmtomoError(f"{empty[0]}: a tilt series needs at least one image.")
        whole = _typed(images)
        whole.insert(0, "tomogram_id", images["tomogram_id"].to_numpy())
        with closing(sqlite3.connect(str(self._part))) as db, db:
            whole.to_sql("Images", db, if_exists="append", index=False)

    # --- reading ---

    def images(self, tomogram_id: str) -> pd.DataFrame:
        """Return the images of one series, in the order of its stack: columns as in ``IMAGE_FIELDS``.

        Raises
        ------
        EmtomoError
            If there is no such series.
        """
        row = self._row(tomogram_id)
        if row["tilts"]:
            with reading_stored(f"{self.getFileName()}: the images of {tomogram_id}"):
                return _from_json(row["tilts"]).assign(file=row["file"])
        with self._database() as db:
            query = "SELECT * FROM Images WHERE tomogram_id = ? ORDER BY rowid"
            return _typed(pd.read_sql_query(query, db, params=(tomogram_id,)).drop(columns="tomogram_id"))

    def geometry(self, tomogram_id: str) -> TiltGeometry:
        """Return the geometry of one series, excluded tilts included.

        Raises
        ------
        EmtomoError
            If there is no such series, or what is stored of it cannot be.
        """
        with reading_stored(f"{self.getFileName()}: the geometry of {tomogram_id}"):
            return self._geometry(tomogram_id)

    def _geometry(self, tomogram_id: str) -> TiltGeometry:
        row, pixel = self._row(tomogram_id), float(self.pixel_size.get() or np.nan)
        images = self.images(tomogram_id)
        known = {str(name): images[name] for name in images if not images[name].isna().all()}
        size = (row["size_x"] * pixel, row["size_y"] * pixel) if row["size_x"] and row["size_y"] else None
        volume = tuple(float(row[f"volume_{axis}"]) for axis in "xyz")
        image_warp, volume_warp, rotations = read_warps(row["warps"], size)
        magnification, cs = read_microscope(row["warps"])
        optics = {name: float(getattr(self, name).get()) for name in ("voltage", "cs", "amplitude_contrast")}
        return tilt_geometry(
            known,
            pixel_size=pixel,
            image_size=size,
            volume_size=(volume[0], volume[1], volume[2]) if np.isfinite(volume).all() else None,
            hand=int(row["hand"] or 1),
            rotations=rotations,
            image_warp=image_warp,
            volume_warp=volume_warp,
            magnification=magnification,
            optics=optics if cs is None else optics | {"cs": cs},
        )

    def header_files(self) -> list[str]:
        """Return the file of each series' first image."""
        return [str(self.images(name)["file"].iloc[0]) for name in self.tomogram_ids()[:MOST_HEADERS]]

    def extents(self) -> dict[str, Extent]:
        """Return how wide the tomograms are of the series that say it."""
        frame = self.frame(["tomogram_id", "volume_x", "volume_y"])
        known = frame[(frame[["volume_x", "volume_y"]].to_numpy(float) > 0).all(axis=1)]
        return {str(name): Extent(float(x), float(y), 0.0) for name, x, y in known.itertuples(index=False)}

    def series_with_volume(self) -> list[str]:
        """Return the series that say the size of their tomogram."""
        frame = self.frame(["tomogram_id", "volume_x", "volume_y", "volume_z"])
        known = frame[["volume_x", "volume_y", "volume_z"]].to_numpy(float)
        return [str(name) for name in frame["tomogram_id"][(known > 0).all(axis=1)]]

    def shape(self, tomogram_id: str, pixel_size: float | None = None) -> tuple[int, int, int]:
        """Return ``(z, y, x)`` voxels of the tomogram that a series gives, at the images' or another pixel size.

        Raises
        ------
        EmtomoError
            If the size of the tomogram or the pixel size is not known.
        """
        row = self._row(tomogram_id)
        size = pixel_size or float(self.pixel_size.get() or 0)
        lengths = [float(row[f"volume_{axis}"] or np.nan) for axis in "zyx"]
        if not np.isfinite(lengths).all() or not size > 0:
            what = "pixel size" if not size > 0 else "size of its tomogram"
            raise EmtomoError(f"{tomogram_id}: the {what} is not known: give it where the tilt series are imported.")
        z, y, x = (max(1, round(length / size)) for length in lengths)
        return z, y, x

    def _row(self, tomogram_id: str) -> pd.Series:
        rows = self.frame(tomogram_id=tomogram_id)
        if len(rows) == 0:
            raise EmtomoError(f"{self.getFileName()}: there is no tilt series {tomogram_id}.")
        return rows.iloc[0]

    def items(self) -> Iterator[Item]:
        """Yield the series as objects that know their images."""
        for item in super().items():
            item._images = self.images(str(item.tomogram_id.get()))
            yield item

    def summary(self) -> str:
        """Return number, tilts and pixel size."""
        with self._database() as db:
            table = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'Images'").fetchone()
            tilts = db.execute("SELECT COUNT(*) FROM Images").fetchone()[0] if table else 0
        pixel = f" at {self.pixel_size.get():.4g} Å/px" if self.pixel_size.get() else ""
        several = len(self) > 1
        counted = f"{' with' if several else ' of'} {count_text(tilts, 'tilt')}{' in all' if several else ''}"
        return f"{len(self)} {self.NOUN}" + (counted if tilts else "") + pixel


def image_columns(geometry: TiltGeometry) -> pd.DataFrame:
    """Return the columns of ``IMAGE_FIELDS`` that say a geometry, one row a tilt: angles, shifts, dose, CTF.

    What the columns cannot say (warps, size, hand) belongs to the series' row; see :func:`warps_json`.
    """
    axis, angle, x_tilt = tilt_angles(geometry.rotations).T
    columns: dict[str, Any] = {
        "angle": angle,
        "tilt_axis_angle": axis,
        "x_tilt": x_tilt,
        "shift_x": geometry.shifts[:, 0],
        "shift_y": geometry.shifts[:, 1],
        "dose": geometry.dose,
        "acquisition_order": geometry.order + 1,
        "excluded": geometry.excluded,
    }
    if not np.allclose(geometry.scale, geometry.rotations[:, 2, 2], rtol=0, atol=1e-6):
        columns["scale"] = geometry.scale
    if geometry.b_factor is not None:
        columns["bfactor"] = geometry.b_factor
    if geometry.stage is not None:
        columns["stage_z"], columns["stage_y"], columns["stage_x"] = tilt_angles(geometry.stage).T
    if geometry.ctf is not None:
        ctf = geometry.ctf[np.arange(len(geometry))]
        columns |= {name: getattr(ctf, name) for name in ("defocus_u", "defocus_v", "phase_shift")}
        columns["defocus_angle"] = ctf.angle
    return pd.DataFrame(columns)


def _from_json(text: str) -> pd.DataFrame:
    """Return the images of a cell of tilts as sets of older versions have it; zero defocus there means none."""
    table = pd.DataFrame(json.loads(text)).rename(columns=_OLDER)
    for name in ("defocus_u", "defocus_v"):
        if name in table and not table[name].astype(float).any():
            table = table.drop(columns=name)
    if "acquisition_order" in table:
        table["acquisition_order"] = table["acquisition_order"].astype(int) + 1
    return _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of ``IMAGE_FIELDS`` with their types, defaults where they are missing."""
    out: dict[str, Any] = {}
    for name, field in _KNOWN.items():
        if name not in table:
            out[name] = field.empty_column(len(table))
        elif field.kind is float:
            out[name] = pd.to_numeric(table[name]).to_numpy(float)
        elif field.kind is str or table[name].isna().any():
            out[name] = table[name].astype(object).where(table[name].notna(), None).to_numpy()
        else:
            out[name] = table[name].to_numpy().astype(field.kind)
    return pd.DataFrame(out)
