"""Between emtomo's sets and the particles of other programs' files."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyworkflow.object import Pointer
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import Form

from emtomo.engine.lineage import list_upstream, upstream
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.io import formats
from emtomo.io.convert import ConversionReport
from emtomo.io.convert_tilts import write_series
from emtomo.io.names import folder_for_several
from emtomo.io.particles import ParticleList, VolumeGeometry
from emtomo.io.particles_star import box_columns, box_optics
from emtomo.io.tags import Tags
from emtomo.io.tilts import Tilts
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.exchange_2d import IMAGE_SETS, export_image_set
from emtomo.objects.mesh import SetOfMeshes
from emtomo.objects.micrograph import SetOfMicrographs
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.population import Population, Species
from emtomo.objects.population_exchange import write_for_m
from emtomo.objects.rotation import ROTATION_COLUMNS, positions_of, rotations_of
from emtomo.objects.subtomogram import SetOfSubtomograms
from emtomo.objects.tilt_exchange import tilts_of
from emtomo.objects.tilt_series import SetOfTiltSeries
from emtomo.objects.tomogram import SetOfTomograms
from emtomo.wording import count_text

_FROM_HALF = ("relion5", "optimisation-set")
IMAGE_ENDINGS = (".mrc", ".map", ".tif", ".tiff", ".zarr")
PARTICLES = (SetOfCoordinates3D, SetOfSubtomograms, SetOfParticleSeries, SetOfMeshes)
_COLUMNS = ("group", "score", "class_number", "half", "role", "model", "set_name")


def sizes_of(
    tomograms: SetOfTomograms | SetOfTiltSeries | None, pixel_size: float | None = None
) -> dict[str, VolumeGeometry]:
    """Return sizes and pixel size of tomograms by id.

    Parameters
    ----------
    tomograms : set
        Of tilt series: the tomograms that they give, at the images' or another `pixel_size`; series that do not say
        the size of theirs are left out.
    """
    if tomograms is None:
        return {}
    step = float(tomograms.pixel_size.get())
    if isinstance(tomograms, SetOfTiltSeries):
        step, out = pixel_size or step, {}
        for name in tomograms.series_with_volume():
            z, y, x = tomograms.shape(name, step)
            out[name] = VolumeGeometry((x, y, z), step)
        return out
    frame = tomograms.frame(["tomogram_id", "size_x", "size_y", "size_z"])
    return {str(t): VolumeGeometry((int(x), int(y), int(z)), step) for t, x, y, z in frame.itertuples(index=False)}


def origin_of(tomograms: SetOfTomograms | SetOfTiltSeries) -> np.ndarray:
    """Return x, y, z of the zero of positions in Å from the centre; tilt series have none of their own."""
    if isinstance(tomograms, SetOfTiltSeries):
        return np.zeros(3)
    return np.array([float(getattr(tomograms, f"origin_{axis}").get()) for axis in "xyz"])


def volumes_behind(pointer: Pointer) -> SetOfTomograms | SetOfTiltSeries | None:
    """Return the tomograms in which the particles of an input lie, else the tilt series that would give them."""
    return upstream(pointer, SetOfTomograms) or upstream(pointer, SetOfTiltSeries)


def find_unbinned(pointer: Pointer) -> SetOfTomograms | SetOfTiltSeries | None:
    """Return the tomograms with the smallest voxels behind an input, of which the others were binned, or tilt series.

    RELION 5 counts from half the size of these, whatever tomograms were picked.
    """
    found = [*list_upstream(pointer, SetOfTomograms), *list_upstream(pointer, SetOfTiltSeries)]
    sized = [one for one in found if isinstance(one, SetOfTomograms) or one.series_with_volume()]
    return min(sized, key=lambda one: float(one.pixel_size.get()), default=None)


def add_counted_in(protocol: EmtomoProtocol, form: Form) -> None:
    """Add the input of the tomograms in whose voxels a file of particles counts."""
    protocol._add_input(
        form,
        "counted_in",
        "SetOfTomograms",
        "Positions count in",
        "Binned tomograms in whose voxels the files count, where these are others: centres of odd sizes are then "
        "exact.",
        optional=True,
    )


def sizes_counted_in(protocol: Any, origin: str, pixel_size: float | None = None) -> dict[str, VolumeGeometry]:
    """Return the tomograms in which the positions of a file count.

    Parameters
    ----------
    protocol : EmtomoProtocol
        With the inputs tomograms and counted_in.
    origin : str
        RELION 5 counts from half the size of the unbinned tomograms (``"half"``).
    pixel_size : float, optional
        Å per voxel of the positions, for the tomograms that tilt series give.
    """
    if not protocol.input_counted_in.pointsNone():
        return sizes_of(protocol.input_counted_in.get())
    sizes = sizes_of(protocol.input_tomograms.get(), pixel_size)
    return {**sizes, **sizes_of(find_unbinned(protocol.input_tomograms))} if origin == "half" else sizes


def particles_of_set(found: TableSet) -> ParticleList:
    """Return coordinates, subtomograms, particle series or mesh points as particles: Å from the tomogram's centre.

    Raises
    ------
    EmtomoError
        If the set holds no positions.
    """
    if not isinstance(found, PARTICLES):
        raise EmtomoError(f"{type(found).__name__} holds no particles.")
    frame = found.frame()
    n = len(frame)
    rotations = None
    if set(ROTATION_COLUMNS) <= set(frame) and np.isfinite(frame["r11"].to_numpy(float)).any():
        rotations = rotations_of(frame)
    particles = ParticleList(
        frame["tomogram_id"].to_numpy(object),
        positions_of(frame),
        np.zeros((n, 3)),
        rotations,
        unit="angstrom",
        origin="centre",
        pixel_size=np.full(n, found.pixel_size.get(), float),
    )
    for name in _COLUMNS:
        if name in frame and not (name in ("half", "class_number", "set_name") and not frame[name].any()):
            values = frame[name].fillna("") if name == "set_name" else frame[name]
            particles.columns[name] = values.to_numpy()
    if isinstance(found, SetOfSubtomograms | SetOfParticleSeries):
        particles.shifts = frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
    if isinstance(found, SetOfSubtomograms):
        for column in ("file", "ctf_file"):
            frame[column] = [str(Path(f).resolve()) if f else "" for f in frame[column].fillna("")]
        particles.columns = {k: v for k, v in particles.columns.items() if k != "half"} | box_columns(frame)
        kind = found.weights.get()
        particles.tags = Tags(
            white=bool(found.white.get()),
            premultiplied=bool(found.premultiplied.get()),
            weights=kind if kind in ("ctf", "ctf_squared") else None,
        )
        optics = {name: getattr(found, name).get() for name in ("voltage", "cs", "amplitude_contrast")}
        particles.optics = box_optics(found.pixel_size.get(), found.box_size.get(), optics)
        particles.other, particles.family = pd.DataFrame({"rlnOpticsGroup": np.ones(n, int)}), "relion"
    return particles


def export_set(
    found: TableSet,
    tomograms: SetOfTomograms | SetOfTiltSeries | None,
    target: Path,
    kind: str = "auto",
    unbinned: SetOfTomograms | SetOfTiltSeries | None = None,
) -> ConversionReport:
    """Write a set of particles in a format of `emtomo.io.formats`.

    Parameters
    ----------
    found : TableSet
    tomograms : SetOfTomograms or None
        Those in which the positions count.
    target : Path
    kind : str
    unbinned : SetOfTomograms or SetOfTiltSeries, optional
        Those that were not binned: RELION 5 counts from half their size, whatever tomograms were picked.

    Raises
    ------
    EmtomoError
        If the format cannot hold them, or needs what is not known.
    """
    particles = particles_of_set(found)
    chosen = formats.format_of(target, particles) if kind == "auto" else kind
    done = ConversionReport()
    sizes = sizes_of(tomograms)
    if chosen in _FROM_HALF:
        sizes |= sizes_of(unbinned)
    gone = formats.list_losses(particles, chosen, sizes) if chosen in formats.FORMATS else []
    gone = [what for what in gone if what != "columns of its own"]
    box = getattr(found, "box_size", None)
    size = int(box.get() or 0) if box is not None else 0
    done.files = formats.write(target, particles, chosen, sizes=sizes, box_size=size)
    done.lines.append(f"Written: {found.summary()} as {formats.FORMATS[chosen].label}.")
    done.lines += formats.unoriented_message(particles)
    if gone:
        done.lines.append(f"Not held by this format: {', '.join(gone)}.")
    return done


def export_output(run: Protocol, name: str, target: Path, kind: str = "auto") -> ConversionReport:
    """Write an output of a run: particles or tilt series in any format, a volume as MRC, TIFF or OME-Zarr.

    Of a species the average is written, or its particles where a format of particles is asked for; a population as M's
    files.

    Raises
    ------
    EmtomoError
        If it can be written in no way, or not under this name.
    """
    found = getattr(run, name, None)
    if found is None:
        raise EmtomoError(f"{run.getObjLabel()} is {run.getStatus()} and has not made {name}; resume it first.")
    if isinstance(found, Population):
        return write_for_m(found, target)
    if isinstance(found, Species) and (kind != "auto" or target.suffix.lower() not in IMAGE_ENDINGS):
        found = found.particle_series()
    if isinstance(found, PARTICLES):
        origin = Pointer(run, extended=name)
        return export_set(found, volumes_behind(origin), target, kind, find_unbinned(origin))
    if isinstance(found, SetOfTomograms):
        return _tomograms(found, target, kind)
    if isinstance(found, SetOfTiltSeries):
        series = [tilts_of(found, name) for name in found.tomogram_ids()]
        for tilts in series:
            _name_images(tilts, found.images(tilts.name))
        return write_series(series, target, kind)
    if isinstance(found, IMAGE_SETS):
        return export_image_set(found, upstream(Pointer(run, extended=name), SetOfMicrographs), target)
    file = getattr(found, "file", None)
    if isinstance(found, TableSet) or file is None:
        raise EmtomoError(f"{type(found).__name__} has no file of another program; particles and volumes have.")
    return _volume(Path(str(file.get())), target)


def _name_images(tilts: Tilts, images: pd.DataFrame) -> None:
    """Name the project's images with their whole paths, where no file of its own, such as a movie, was imported."""
    if images["file"].isna().any():
        return
    given = tilts.table["name"].fillna("") if "name" in tilts.table else [""] * len(images)
    own = [f"{k + 1:06d}@{Path(f).absolute()}" for k, f in zip(images["index"], images["file"], strict=True)]
    tilts.table["name"] = [b if "@" in str(a) or not a else a for a, b in zip(given, own, strict=True)]


def _volume(source: Path, target: Path, pixel_size: float | None = None) -> ConversionReport:
    if source.suffix == target.suffix:
        if source.suffix.lower() in IMAGE_ENDINGS:
            from emtomo.io.images import describe

            describe(source)  # a project that somebody sent may name any file of this machine
        part = target.with_name(target.name + ".part")
        shutil.copyfile(source, part)
        part.replace(target)
        return ConversionReport([f"Written: a copy of {source.name}."], [target])
    from emtomo.io.convert_images import convert_image

    return convert_image(source, target, pixel_size=pixel_size)


def _tomograms(found: SetOfTomograms, target: Path, kind: str) -> ConversionReport:
    """Write one tomogram as `target`, several into the folder `target`, named by their ids."""
    frame = found.frame(["tomogram_id", "file"])
    if len(frame) == 1:
        return _volume(Path(frame["file"].iloc[0]), target, found.pixel_size.get())
    folder_for_several(target, f"There are {count_text(len(frame), 'tomogram')}, and a file holds one")
    ending = "mrc" if kind == "auto" else kind.removeprefix(".")
    done = ConversionReport()
    for name, file in zip(frame["tomogram_id"], frame["file"], strict=True):
        one = _volume(Path(file), target / f"{name}.{ending}", found.pixel_size.get())
        done.lines += one.lines
        done.files += one.files
    return done
