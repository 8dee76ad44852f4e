"""Hand an output to another program: the files that it reads, and the command that opens them."""

import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.positions import to_voxels
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.gui.core.shown import Shown
from emtomo.io import mrc
from emtomo.objects import (
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfSubtomograms,
    SetOfTomograms,
    positions_of,
    rotations_of,
)
from emtomo.objects.exchange import export_set
from emtomo.viewers.sections import slab

PALETTE = ("0.34 0.71 0.91", "0.90 0.62 0.00", "0.00 0.62 0.45", "0.94 0.89 0.26", "0.80 0.47 0.65", "0.84 0.37 0.00")
ARROW = 0.5  # of the box
HERE = "Export"
SHOWN = 2000  # boxes that are written for RELION's display


@dataclass
class ExternalOpen:
    """Files for another program, and the command that opens them."""

    program: str
    command: list[str]
    files: list[Path] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The command as one types it."""
        return shlex.join(self.command)

    @property
    def there(self) -> bool:
        """Whether the program is on this machine."""
        return shutil.which(self.command[0]) is not None


def folder_of(shown: Shown) -> Path:
    """Return the folder for files of an output, made if need be."""
    path = shown.project / HERE / f"{shown.run}_{shown.name}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def volumes_of(shown: Shown) -> dict[str, Path]:
    """Return the volumes of an output by name: its own, or the tomograms that it lies in."""
    value = shown.value
    if hasattr(value, "file"):
        return {shown.name: shown.path(str(value.file.get()))}
    if shown.tomograms is None:
        return {}
    frame = shown.tomograms.frame(["tomogram_id", "file"])
    wanted = set(value.tomogram_ids()) if hasattr(value, "tomogram_ids") else set(frame["tomogram_id"])
    return {n: shown.path(f) for n, f in zip(frame["tomogram_id"], frame["file"], strict=True) if n in wanted}


def particles_in(shown: Shown, name: str) -> pd.DataFrame:
    """Return the particles of one tomogram; none for what has no particles."""
    if isinstance(shown.value, SetOfCoordinates3D | SetOfSubtomograms | SetOfMeshes):
        return shown.value.frame(tomogram_id=name)
    return pd.DataFrame()


def chimerax(shown: Shown) -> ExternalOpen:
    """Write a script for ChimeraX: the volume, and arrows of the particles in it (of the first tomogram)."""
    folder, volumes = folder_of(shown), volumes_of(shown)
    if not volumes:
        raise EmtomoError(f"{shown.title}: there is no volume to open.")
    name, path = next(iter(volumes.items()))
    surface = hasattr(shown.value, "file")
    lines = [f"open {_quoted(path)}", "volume #1 style " + ("surface" if surface else "image")]
    files = []
    frame = particles_in(shown, name)
    if len(frame):
        bild = folder / f"{name}.bild"
        _write(bild, _arrows(shown, frame, path))
        files.append(bild)
        lines.append(f"open {_quoted(bild)}")
    lines.append("view")
    script = folder / f"{name}.cxc"
    _write(script, "\n".join(lines) + "\n")
    return ExternalOpen("ChimeraX", ["chimerax", str(script)], [script, *files])


def _arrows(shown: Shown, frame: pd.DataFrame, path: Path) -> str:
    """Return arrows in BILD format, in Å from the volume's origin as ChimeraX has it: the first voxel's centre."""
    info = mrc.read_header(path)
    size = float(shown.tomograms.pixel_size.get()) if shown.tomograms is not None else info.pixel_size
    places = to_voxels(positions_of(frame), info.shape, 1.0 * size)[:, ::-1] * (info.pixel_size or size)
    box = getattr(shown.value, "box_size", None)
    length = max(float(box.get() or 0) if box is not None else 0.0, 8.0) * ARROW * size
    rows = []
    normals = rotations_of(frame)[:, :, 2] if "r11" in frame else np.full(places.shape, np.nan)
    for place, normal, group in zip(places, normals, frame["group"], strict=True):
        rows.append(f".color {PALETTE[(int(group) - 1) % len(PALETTE)]}")
        at = " ".join(f"{v:.2f}" for v in place)
        if np.isfinite(normal).all():
            rows.append(f".arrow {at} {' '.join(f'{v:.2f}' for v in place + length * normal)} {length / 12:.2f}")
        else:
            rows.append(f".sphere {at} {length / 4:.2f}")
    return "\n".join(rows) + "\n"


def napari(shown: Shown) -> ExternalOpen:
    """Write points as napari reads them, and a script that opens them on the volume."""
    folder, volumes = folder_of(shown), volumes_of(shown)
    if not volumes:
        raise EmtomoError(f"{shown.title}: there is no volume to open.")
    name, path = next(iter(volumes.items()))
    frame = particles_in(shown, name)
    lines = [
        "import mrcfile",
        "import napari",
        "import numpy as np",
        "",
        f"volume = mrcfile.mmap({str(path)!r}, permissive=True).data",
        "viewer = napari.Viewer()",
        f"viewer.add_image(volume, name={name!r})",
    ]
    files: list[Path] = []
    if len(frame) and shown.tomograms is not None:
        voxels = to_voxels(positions_of(frame), shown.tomograms.shape(name), float(shown.tomograms.pixel_size.get()))
        points = folder / f"{name}_points.csv"
        table = pd.DataFrame({"index": range(len(voxels)), **{f"axis-{k}": voxels[:, k] for k in range(3)}})
        _write(points, table.to_csv(index=False, float_format="%.3f"))
        files.append(points)
        lines += [
            f"points = np.loadtxt({str(points)!r}, delimiter=',', skiprows=1, ndmin=2)[:, 1:]",
            "viewer.add_points(points, size=8, name='particles', face_color='transparent', border_color='orange')",
        ]
    script = folder / f"{name}_napari.py"
    _write(script, "\n".join([*lines, "napari.run()"]) + "\n")
    return ExternalOpen("napari", ["python3", str(script)], [script, *files])


def imod(shown: Shown) -> ExternalOpen:
    """Write an IMOD model for each tomogram and open the first on it."""
    folder, volumes = folder_of(shown), volumes_of(shown)
    if not volumes:
        raise EmtomoError(f"{shown.title}: there is no volume to open.")
    name, path = next(iter(volumes.items()))
    files: list[Path] = []
    if isinstance(shown.value, SetOfCoordinates3D | SetOfSubtomograms | SetOfMeshes):
        several = len(volumes) > 1
        files = export_set(
            shown.value, shown.tomograms, folder / ("models" if several else f"{name}.mod"), "imod"
        ).files
    model = next((f for f in files if name in f.name), files[0] if files else None)
    return ExternalOpen("IMOD", ["3dmod", str(path), *([str(model)] if model is not None else [])], files)


def relion(shown: Shown) -> ExternalOpen:
    """Write a STAR file of particles and, of boxes, pictures for RELION's display, which opens volumes as they are."""
    folder = folder_of(shown)
    if isinstance(shown.value, SetOfSubtomograms):
        files = export_set(shown.value, shown.tomograms, folder / "particles.star", "relion3.1").files
        display = _central_slices(shown, folder)
        command = ["relion_display", "--i", str(display), "--display", "rlnImageName"]
        return ExternalOpen("RELION", command, [*files, display, display.with_suffix(".mrcs")])
    if isinstance(shown.value, SetOfCoordinates3D):
        star = folder / "particles.star"
        files = export_set(shown.value, shown.tomograms, star, "relion3.1").files
        columns = [f"_rlnCoordinate{axis}" for axis in "XYZ"]
        return ExternalOpen("RELION", ["relion_star_printtable", str(star), "data_particles", *columns], files)
    volumes = volumes_of(shown)
    if not volumes:
        raise EmtomoError(f"{shown.title}: there is nothing that RELION shows.")
    return ExternalOpen("RELION", ["relion_display", "--i", str(next(iter(volumes.values())))], [])


def _central_slices(shown: Shown, folder: Path) -> Path:
    """Write the middle slices of boxes as a stack of images with a STAR file: RELION 3.1 shows no stacks of volumes."""
    size = int(shown.value.box_size.get())
    frame = shown.value.frame(["file", "index", "tomogram_id", "group", "score"]).iloc[:SHOWN]
    images = np.empty((len(frame), size, size), np.float32)
    for k, (file, index) in enumerate(zip(frame["file"], frame["index"], strict=True)):
        boxes = mrc.open_volume(shown.path(file)).reshape(-1, size, size, size)
        images[k] = slab(boxes[int(index)], 0, size // 2, 3)
    stack = folder / "central_slices.mrcs"
    mrc.write_volume(stack, images, float(shown.value.pixel_size.get()))
    rows = [
        f"{k:06d}@{stack} {r.tomogram_id} {int(r.group)} {float(r.score):.6g}"
        for k, r in enumerate(frame.itertuples(), 1)
    ]
    names = ("ImageName", "MicrographName", "GroupNumber", "AutopickFigureOfMerit")
    head = ["data_", "", "loop_", *(f"_rln{name} #{k}" for k, name in enumerate(names, 1))]
    _write(stack.with_suffix(".star"), "\n".join([*head, *rows, ""]))
    return stack.with_suffix(".star")


def _quoted(path: Path) -> str:
    """Return a path as a ChimeraX command takes it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf8")
    part.replace(path)


PROGRAMS = {"ChimeraX": chimerax, "napari": napari, "IMOD": imod, "RELION": relion}
KINDS = (SetOfTomograms, SetOfCoordinates3D, SetOfSubtomograms, SetOfMeshes, TableSet)
