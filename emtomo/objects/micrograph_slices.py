"""Micrographs as tomograms of one slice, so that pickers and lists of points serve both."""

import numpy as np
import pandas as pd

from emtomo.compute.positions import centre
from emtomo.objects.coordinates import coordinates_frame
from emtomo.objects.coordinates_2d import SetOfCoordinates2D, coordinates_2d_frame
from emtomo.objects.micrograph import SetOfMicrographs


class MicrographSlices:
    """A set of micrographs that answers as a set of tomograms does; the only slice of each is 0.

    Parameters
    ----------
    micrographs : SetOfMicrographs
    """

    def __init__(self, micrographs: SetOfMicrographs) -> None:
        self.micrographs = micrographs
        self.pixel_size, self.white = micrographs.pixel_size, micrographs.white
        sizes = micrographs.frame(["size_y", "size_x"]).to_numpy(int).tolist()
        names = micrographs.frame(["micrograph_id"])["micrograph_id"]
        self._sizes = {str(name): (1, y, x) for name, (y, x) in zip(names, sizes, strict=True)}

    def tomogram_ids(self) -> list[str]:
        """Return the ids of the micrographs."""
        return list(self._sizes)

    def shape(self, tomogram_id: str) -> tuple[int, int, int]:
        """Return 1 and the ``y, x`` pixels of a micrograph."""
        return self._sizes[tomogram_id]

    def frame(self, columns: list[str] | None = None, tomogram_id: str | None = None) -> pd.DataFrame:
        """Return the micrographs with the columns of tomograms."""
        frame = self.micrographs.frame(None, tomogram_id).rename(columns={"micrograph_id": "tomogram_id"})
        frame["size_z"] = 1
        return frame if columns is None else frame[columns]

    def from_first_pixel(self, frame: pd.DataFrame) -> np.ndarray:
        """Return `(n, 2)` x, y in Å from the first pixel of rows with x, y in Å from the centre."""
        return frame[["x", "y"]].to_numpy(float) + self._centres(frame["tomogram_id"])

    def from_centre(self, names: pd.Series, positions: np.ndarray) -> np.ndarray:
        """Return `(n, 3)` x, y, z in Å from the centre of positions x, y in Å from the first pixel."""
        places = np.asarray(positions, float)[:, :2] - self._centres(names)
        return np.column_stack([places, np.zeros(len(places))])

    def _centres(self, names: pd.Series) -> np.ndarray:
        size = float(self.pixel_size.get())
        found = [centre(self._sizes[str(name)])[:0:-1] * size for name in names]
        return np.array(found, float).reshape(-1, 2)

    def to_2d(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows of :class:`SetOfCoordinates2D` for those of picked points, Å from the centre."""
        places = self.from_first_pixel(frame)
        parts = []
        for name in dict.fromkeys(frame["tomogram_id"]):
            mine = (frame["tomogram_id"] == name).to_numpy()
            columns = {key: frame.loc[mine, key].to_numpy() for key in ("score", "picker")}
            parts.append(coordinates_2d_frame(str(name), places[mine], **columns))
        return pd.concat(parts, ignore_index=True) if parts else coordinates_2d_frame("", np.zeros((0, 2)))


class SlicePicks:
    """Coordinates on micrographs that answer as coordinates in tomograms do.

    Parameters
    ----------
    coordinates : SetOfCoordinates2D
    slices : MicrographSlices
        Picks of other micrographs are left out.
    """

    def __init__(self, coordinates: SetOfCoordinates2D, slices: MicrographSlices) -> None:
        self.coordinates, self.slices = coordinates, slices

    def frame(self, columns: list[str] | None = None, tomogram_id: str | None = None) -> pd.DataFrame:
        """Return the particles with positions in Å from the centre, and group 1."""
        frame = self.coordinates.frame(["micrograph_id", "x", "y", "score", "picker"], tomogram_id)
        frame = frame[frame["micrograph_id"].isin(self.slices.tomogram_ids())].reset_index(drop=True)
        places = self.slices.from_centre(frame["micrograph_id"], frame[["x", "y"]].to_numpy(float))
        out = coordinates_frame("", places, group=1, score=frame["score"].to_numpy(float), picker="manual")
        out = out.assign(tomogram_id=frame["micrograph_id"].to_numpy(), picker=frame["picker"].to_numpy())
        return out if columns is None else out[columns]
