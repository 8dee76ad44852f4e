"""Tomograms: volumes on disk, with pixel size and acquisition."""

from emtomo.engine.fields import Field
from emtomo.engine.table import Item, TableSet
from emtomo.objects.acquisition import MICROSCOPE_FIELDS, PIXEL_SIZE, TILT_FIELDS
from emtomo.wording import count_text


class Tomogram(Item):
    """One tomogram."""

    FIELDS = (
        Field("tomogram_id", str, "name that binds particles, meshes and tilt series to this tomogram"),
        Field("file", str, "MRC file, relative to the project"),
        Field("size_x", int, "columns", "voxel"),
        Field("size_y", int, "rows", "voxel"),
        Field("size_z", int, "slices", "voxel"),
        Field("half1_file", str, "reconstruction from the odd frames or tilts"),
        Field("half2_file", str, "reconstruction from the even frames or tilts"),
        *TILT_FIELDS,
    )


class SetOfTomograms(TableSet):
    """Tomograms of one pixel size.

    ``origin_*`` is where the zero of positions lies, in Å from the centre
    (voxel ``n // 2``); zero unless the import was asked for something else.
    """

    ITEM_TYPE = Tomogram
    GROUP = "tomogram_id"
    NOUN = "tomograms"
    FIELDS = (
        PIXEL_SIZE,
        *MICROSCOPE_FIELDS,
        Field("white", bool, "particles are brighter than their surroundings", "", False),
        Field("origin_x", float, "zero of positions, from the centre", "Å", 0.0),
        Field("origin_y", float, "zero of positions, from the centre", "Å", 0.0),
        Field("origin_z", float, "zero of positions, from the centre", "Å", 0.0),
    )

    def shape(self, tomogram_id: str) -> tuple[int, int, int]:
        """Return ``(z, y, x)`` voxels of one tomogram."""
        row = self.frame(["size_z", "size_y", "size_x"], tomogram_id).iloc[0]
        return int(row["size_z"]), int(row["size_y"]), int(row["size_x"])

    def summary(self) -> str:
        """Return number, size and pixel size."""
        sizes = {tuple(row) for row in self.frame(["size_x", "size_y", "size_z"]).itertuples(index=False)}
        size = "×".join(str(n) for n in next(iter(sizes))) if len(sizes) == 1 else "of several sizes"
        return f"{count_text(len(self), 'tomogram')} {size} at {self.pixel_size.get():.2f} Å/px"
