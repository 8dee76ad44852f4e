"""Protocol: reconstruct tomograms from tilt series."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.device import check_device
from emtomo.compute.tilt.reconstruction import reconstruct_tomogram
from emtomo.compute.tilt.reconstruction_options import NO_CTF, ReconstructTomogramOptions
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms
from emtomo.objects.tilt_images import TiltImages
from emtomo.options import LARGEST_PIXEL, Param, pixel_size_unless
from emtomo.wording import group_problems


@dataclass(frozen=True, kw_only=True)
class TomogramSizeOptions:
    """Size and sampling of tomograms."""

    pixel_size: Annotated[
        float,
        Param(
            "Pixel size",
            "Of the tomograms; need not be a multiple of the images'. 0: that of the images.",
            unit="Å",
            ge=0,
            le=LARGEST_PIXEL,
            validate=pixel_size_unless(0),
        ),
    ] = 10.0
    thickness: Annotated[
        float, Param("Thickness", "Along z; 0: as the tilt series' metadata say.", unit="Å", ge=0, le=100000)
    ] = 0.0
    width: Annotated[
        float,
        Param("Width", "Along x; 0: as the metadata say, else as wide as the images.", unit="Å", ge=0, expert=True),
    ] = 0.0
    height: Annotated[
        float,
        Param("Height", "Along y; 0: as the metadata say, else as high as the images.", unit="Å", ge=0, expert=True),
    ] = 0.0
    half_tomograms: Annotated[
        bool,
        Param(
            "Half tomograms",
            "Also reconstruct two tomograms from independent halves of the data, for denoising: from the odd and even "
            "frames where the series has them, else from every other tilt.",
        ),
    ] = False


class ReconstructTomograms(EmtomoProtocol):
    """Reconstruct tomograms from aligned tilt series, by weighted back-projection or SIRT.

    Alignment, tilts about x and warps of the series are applied while the images are sampled; no aligned stack is
    written. The CTF is corrected in slabs of equal defocus, at the height of every voxel. Particles stay as dark as
    they are in the images.
    """

    NAME = "reconstruct-tomograms"
    _label = "reconstruct tomograms"
    _possibleOutputs = {"tomograms": SetOfTomograms}
    OPTIONS = (TomogramSizeOptions, ReconstructTomogramOptions)
    STEPS_APART = ("reconstruct_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tilt_series", "SetOfTiltSeries", "Tilt series", "Aligned tilt series.")
        add_device(form)

    def _check(self) -> list[str]:
        errors = []
        try:
            check_device(self.device.get())
        except EmtomoError as error:
            errors.append(str(error))
        series = self.input_tilt_series.get()
        if not len(series):
            return [*errors, "The set of tilt series is empty."]
        ctf = self.options(ReconstructTomogramOptions).ctf
        problems: list[tuple[str, object]] = []
        for name in series.tomogram_ids():
            try:
                shape, pixel_size = self._shape(name)
                geometry = series.geometry(name)
                if geometry.excluded.all():
                    problems.append((name, "all tilts are excluded; nothing is left to reconstruct from."))
                if ctf != NO_CTF and geometry.ctf is None:
                    problems.append((name, "there is no defocus: estimate the CTF first, or choose no CTF correction."))
                if pixel_size < geometry.pixel_size / 2:
                    sentence = (
                        f"Pixel size must be at least half that of the images ({geometry.pixel_size:g} Å), "
                        f"got {pixel_size:g} Å."
                    )
                    errors += [sentence] * (sentence not in errors)
            except EmtomoError as error:
                errors.append(str(error))
        return [*errors, *group_problems(problems)]

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.reconstruct_step, self.input_tilt_series.get().tomogram_ids(), self.output_step)

    def reconstruct_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Reconstruct one tomogram, and its halves where they are asked for."""
        series, options = self.input_tilt_series.get(), self.options(ReconstructTomogramOptions)
        table, geometry = series.images(tomogram_id), series.geometry(tomogram_id)
        shape, pixel_size = self._shape(tomogram_id)
        frames = [TiltImages(table, column) for column in ("odd_file", "even_file")]
        halves = self.options(TomogramSizeOptions).half_tomograms
        by_frames = halves and all(images.has_all() for images in frames)
        files, sources = self._files(tomogram_id), [TiltImages(table), *(frames if by_frames else [])]

        def write_halves(even: np.ndarray, odd: np.ndarray) -> None:
            mrc.write_volume(files["half1_file"], even, pixel_size)
            mrc.write_volume(files["half2_file"], odd, pixel_size)

        for k, images in enumerate(sources):
            volume = reconstruct_tomogram(
                images,
                geometry,
                shape,
                pixel_size,
                options,
                on_halves=write_halves if halves and not by_frames else None,
                device=self.device.get(),
                on_progress=lambda done, k=k: self.progress(  # type: ignore[misc]
                    number + (k + done / len(table)) / len(sources), total
                ),
            )
            mrc.write_volume(files[("file", "half1_file", "half2_file")[k]], volume, pixel_size)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Register the tomograms."""
        series, rows = self.input_tilt_series.get(), []
        for name in tomogram_ids:
            (z, y, x), pixel_size = self._shape(name)
            table = series.images(name)
            angles = np.sort(table.loc[~table["excluded"].astype(bool), "angle"].to_numpy(float))
            files = {column: file for column, file in self._files(name).items() if Path(file).exists()}
            step = float(np.median(np.diff(angles))) if len(angles) > 1 else np.nan
            sizes = {"size_x": x, "size_y": y, "size_z": z}
            # the images are turned on reading: the tomogram's tilt axis is its y
            tilts = {"tilt_min": angles[0], "tilt_max": angles[-1], "tilt_step": step, "tilt_axis_angle": 0.0}
            rows.append({"tomogram_id": name, **files, **sizes, **tilts})
        out = SetOfTomograms.create(self._getPath("tomograms.sqlite"))
        out.copy_fields(series)
        out.pixel_size.set(self._shape(tomogram_ids[0])[1])
        out.extend(pd.DataFrame(rows))
        self._register(self.input_tilt_series, tomograms=out)

    def _shape(self, tomogram_id: str) -> tuple[tuple[int, int, int], float]:
        """Return z, y, x voxels and pixel size of a tomogram.

        Raises
        ------
        EmtomoError
            If neither the form nor the series says how thick it is.
        """
        series, options = self.input_tilt_series.get(), self.options(TomogramSizeOptions)
        image_pixel = float(series.pixel_size.get() or 0)
        if image_pixel <= 0:
            raise EmtomoError(f"{tomogram_id}: the pixel size of the tilt images is not known.")
        geometry, pixel_size = series.geometry(tomogram_id), options.pixel_size or image_pixel
        sizes = np.array(geometry.volume_size or (0.0, 0.0, 0.0))
        asked = np.array([options.width, options.height, options.thickness])
        sizes = np.where(asked > 0, asked, sizes)
        if sizes[2] <= 0:
            raise EmtomoError(f"{tomogram_id}: Thickness must be given (Å): the metadata do not say it.")
        if not sizes[:2].all():
            rows, columns = TiltImages(series.images(tomogram_id)).size()
            across = np.abs(geometry.rotations[:, :2, 1]).mean(axis=0)  # the tilt axis becomes y
            wide = np.array([rows, columns] if across[0] > across[1] else [columns, rows]) * image_pixel
            sizes[:2] = np.where(sizes[:2] > 0, sizes[:2], wide)
        x, y, z = (max(1, round(size / pixel_size)) for size in sizes)
        return (z, y, x), pixel_size

    def _files(self, tomogram_id: str) -> dict[str, str]:
        marks = {"file": "", "half1_file": "_half1", "half2_file": "_half2"}
        return {column: self._getExtraPath(f"{tomogram_id}{m}.mrc") for column, m in marks.items()}
