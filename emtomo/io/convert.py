"""From one program's file to another's: what was read, what was written, what was lost."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.io import formats, star, volumes
from emtomo.io.formats import FORMATS
from emtomo.io.names import match_names, stem, tomostar
from emtomo.io.particles import ParticleList, VolumeGeometry, concatenate, voxels_of_tomograms
from emtomo.io.poses import to_relion
from emtomo.io.recognise import recognise
from emtomo.io.relion import ANGLES, VOXELS
from emtomo.wording import count_text


@dataclass
class ConversionReport:
    """What a conversion did, in lines for the user, and the files that it wrote."""

    lines: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def convert_particles(
    source: Path,
    target: Path,
    *,
    kind: str = "auto",
    to: str = "auto",
    pixel_size: float | None = None,
    table_map: Path | None = None,
    tomograms: Path | None = None,
    angles: str = "normals",
    origin_offset: float = 0.0,
    box_size: int = 32,
) -> ConversionReport:
    """Convert particles from one format to another.

    Parameters
    ----------
    source, target : Path
        A folder as `source` stands for all files in it that hold particles.
    kind, to : str
        Formats, see `FORMATS`; auto: by content, and by the name of `target`.
    pixel_size : float, optional
        Å per voxel of the positions in `source`, where the file does not say.
    table_map : Path, optional
        Names of the tomograms that `source` numbers.
    tomograms : Path, optional
        Where the sizes of the tomograms are known from, see :func:`emtomo.io.volumes.read_volumes`.
    angles : str
        What the last three of six nameless columns of text are.
    origin_offset : float
        Index of the first voxel in `source`, where positions are voxels: 0, or 1 for programs that count from one.
    box_size : int
        For formats that hold one.

    Raises
    ------
    EmtomoError
        If something cannot be read, written, or matched.
    """
    report = ConversionReport()
    sizes = volumes.read_volumes(tomograms) if tomograms else {}
    particles = _read(source, kind, table_map, sizes, angles, report)
    if sizes:
        _match(particles, sizes, report)
    if pixel_size is not None:
        if np.isfinite(particles.pixel_size).all() and not np.allclose(particles.pixel_size, pixel_size, rtol=1e-3):
            report.lines.append(
                f"The file says {particles.pixel_size[0]:g} Å for a voxel of the positions; {pixel_size:g} Å is taken."
            )
        particles.set_pixel_size(pixel_size)
    if origin_offset:
        if particles.unit != "voxel" or particles.origin != "corner":
            raise EmtomoError("An origin offset is only for positions in voxels from the first one.")
        particles.positions = particles.positions - origin_offset
        report.lines.append(f"{origin_offset:g} was taken off every position.")
    chosen = formats.format_of(target, particles) if to == "auto" else to
    gone = formats.list_losses(particles, chosen, sizes) if chosen in FORMATS else []
    report.files = formats.write(target, particles, chosen, sizes=sizes, box_size=box_size, tomograms=tomograms)
    oriented = "" if particles.rotations is None else " with orientations"
    report.lines += _other_voxels(particles, chosen, sizes)
    report.lines.append(f"Written: {count_text(len(particles), 'particle')}{oriented} as {FORMATS[chosen].label}.")
    report.lines += formats.unoriented_message(particles)
    if gone:
        report.lines.append(f"Not held by this format: {', '.join(gone)}.")
    return report


def _other_voxels(particles: ParticleList, kind: str, sizes: dict[str, VolumeGeometry]) -> list[str]:
    """Say where positions are not written in voxels of the tomograms, in which programs without sizes take them."""
    own, written = voxels_of_tomograms(particles, sizes), particles.pixel_size
    other = np.abs(own - written) > 1e-2 * own
    if kind not in ("dynamo", "motl", "stopgap", "imod") or not other.any() or np.ptp(written) > 0:
        return []
    k = int(np.argmax(other))
    return [
        f"Positions are voxels of {written[k]:g} Å; the tomogram {particles.tomograms[k]} has voxels of {own[k]:g} Å."
    ]


def _read(
    source: Path,
    kind: str,
    table_map: Path | None,
    sizes: dict[str, VolumeGeometry],
    angles: str,
    report: ConversionReport,
) -> ParticleList:
    paths = [source]
    if source.is_dir() and not any(source.glob("tomograms/volume_*")):
        paths = sorted(p for p in source.iterdir() if p.is_file() and (kind != "auto" or recognise(p) in FORMATS))
        if not paths:
            raise EmtomoError(f"{source}: there is no file with particles in this folder.")
    parts = []
    for path in paths:
        part = formats.read(path, kind, table_map=table_map, sizes=sizes, angles=angles)
        if len(paths) > 1 and not part.tomograms.any():
            part.tomograms = np.full(len(part), stem(path.name), object)
        parts.append(part)
    particles = concatenate(parts) if len(parts) > 1 else parts[0]
    named = [t for t in dict.fromkeys(particles.tomograms) if t]
    where = f" in {len(named)} tomogram{'s' if len(named) > 1 else ''}" if named else ""
    label = FORMATS[parts[0].format].label
    files = f" from {count_text(len(paths), 'file')}" if len(paths) > 1 else ""
    size = particles.pixel_size
    step = f", {size[0]:g} Å per voxel" if len(size) and np.isfinite(size).all() and np.ptp(size) == 0 else ""
    report.lines.append(f"Recognised {label}{files}: {count_text(len(particles), 'particle')}{where}{step}.")
    report.lines += particles.notes
    return particles


def _match(particles: ParticleList, sizes: dict[str, VolumeGeometry], report: ConversionReport) -> None:
    """Say which names have no partner; none at all is an error, unless the file names none and there is one."""
    names = [str(t) for t in dict.fromkeys(particles.tomograms) if t]
    if not names:
        if len(sizes) > 1:
            raise EmtomoError(
                "The particles name no tomogram, and there are several; give the one that they belong to."
            )
        particles.tomograms = np.full(len(particles), next(iter(sizes)), object)
        return
    found, missing, unused = match_names(names, list(sizes))
    if not found:
        raise EmtomoError(
            f"No name of a tomogram matches: the particles name {', '.join(names[:5])}, "
            f"the tomograms are {', '.join(list(sizes)[:5])}."
        )
    if missing:
        report.lines.append(f"No tomogram for {', '.join(missing)}.")
    if unused:
        report.lines.append(f"No particles for {', '.join(unused)}.")


def dynamo_to_warp(table: Path, table_map: Path, target: Path) -> ConversionReport:
    """Write a Dynamo table as the STAR file that Warp extracts from, column by column as dynamo2m's dynamo2warp.

    Shifts are added to the positions; tomograms are named as Warp names their tilt series.
    """
    particles = formats.read(table, "dynamo", table_map=table_map)
    assert particles.rotations is not None
    _write_simple(target, particles, np.array([tomostar(str(n)) for n in particles.tomograms], object), last=True)
    report = ConversionReport(
        [*particles.notes, f"{count_text(len(particles), 'particle')} written for Warp, shifts added."], [target]
    )
    used = len(set(particles.tomograms))
    report.lines.append(f"{count_text(used, 'tomogram has', 'tomograms have')} particles.")
    return report


def downgrade(path: Path) -> ConversionReport:
    """Write RELION 3.1 (or 4) particles as RELION 3.0's beside them, ``name_rln3.0.star``: names, positions, angles.

    Origins are taken off the positions, as dynamo2m's relion_star_downgrade does, but in the pixel size of the
    particle's own optics group.

    Raises
    ------
    EmtomoError
        If the file is not one of RELION whose positions are voxels from the tomogram's first one.
    """
    particles = formats.read(path)
    if not particles.format.startswith("relion"):
        raise EmtomoError(f"{path} is a file of {FORMATS[particles.format].label}, not of RELION.")
    if particles.unit != "voxel" or particles.flat:
        raise EmtomoError(
            f"{path}: positions must be voxels from a tomogram's first one; RELION 5 counts in Å from "
            "its centre. Use emtomo convert --to relion3.0 --tomograms."
        )
    target = path.with_name(f"{path.stem}_rln3.0.star")
    _write_simple(target, particles, particles.tomograms, last=False)
    return ConversionReport(
        [f"{count_text(len(particles), 'particle')} written as RELION 3.0, origins taken off the positions."], [target]
    )


def _write_simple(target: Path, particles: ParticleList, names: np.ndarray, last: bool) -> None:
    import pandas as pd

    table = dict(zip(VOXELS, particles.centres.T, strict=True))
    if particles.rotations is not None:
        table |= dict(zip(ANGLES, to_relion(particles.rotations).T, strict=True))
    name = {"rlnMicrographName": names}
    star.write_blocks(target, {"": pd.DataFrame({**table, **name} if last else {**name, **table})})
