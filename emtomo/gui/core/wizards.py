"""Values that a form can find by itself: the magnifiers beside its fields.

Each wizard is called in the thread that owns the project and answers with proposals, or with one sentence
(an :class:`EmtomoError`) that says what it needs first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyworkflow.object import Pointer

from emtomo.engine.parameters import output_target
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.io import images

Texts = dict[str, str]


@dataclass(frozen=True)
class Proposal:
    """What a wizard offers: a sentence, and texts for fields."""

    message: str
    values: Texts


Proposer = Callable[[EmtomoProject, Texts, Path], list[Proposal]]
Finder = tuple[str, Proposer]


def wizard_for(protocol: str, name: str) -> Finder | None:
    """Return title and function of the wizard for a field; None if it has none."""
    return WIZARDS.get((protocol, name)) or WIZARDS.get(("*", name))


def input_of(project: EmtomoProject, texts: Texts, name: str, label: str) -> Any:
    """Return the object that an input points at.

    Raises
    ------
    EmtomoError
        If the field is empty, or its run has not made it yet.
    """
    target = texts.get(name, "").split(",")[0].strip()
    if not target:
        raise EmtomoError(f"Choose {label} first.")
    run, output = output_target(project, target)
    value = dict(run.iterOutputAttributes()).get(output)
    if value is None:
        raise EmtomoError(f"{run.getObjLabel()} has not made {output} yet; it is {run.getStatus()}.")
    return value


def even(number: float) -> int:
    """Return the nearest even number, the next one up where two are as near."""
    return max(2, int(number / 2 + 0.5) * 2)


def _size_of(value: Any) -> float:
    size = value.pixel_size.get()
    if not size:
        raise EmtomoError(f"{value} does not say its pixel size.")
    return float(size)


def _extraction_box(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    """The coordinates' box, at the pixel size of the tomograms that are extracted from."""
    coordinates = input_of(project, texts, "coordinates", "the input coordinates")
    box, size = coordinates.box_size.get(), _size_of(coordinates)
    if not box:
        raise EmtomoError("The coordinates do not say a box size; give one.")
    if texts.get("tomograms"):
        tomograms = input_of(project, texts, "tomograms", "the tomograms")
        other = _size_of(tomograms)
        found = even(box * size / other)
        if abs(size / other - 1) > 1e-3:
            return [
                Proposal(f"{box} voxels of {size:.4g} Å are {found} voxels of {other:.4g} Å.", {"box_size": str(found)})
            ]
    return [
        Proposal(
            f"The box of the coordinates: {even(box)} voxels, {even(box) * size:.4g} Å.", {"box_size": str(even(box))}
        )
    ]


def _mesh_box(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    meshes = input_of(project, texts, "meshes", "the input meshes")
    box = meshes.box_size.get()
    if not box:
        raise EmtomoError("The meshes do not say a box size; give one.")
    return [Proposal(f"The box of the meshes: {even(box)} voxels.", {"box_size": str(even(box))})]


def _previous_box(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    """The box of earlier coordinates or meshes, at the pixel size of the tomograms."""
    name = "meshes" if texts.get("meshes") else "coordinates"
    if not texts.get(name):
        input_of(project, texts, "tomograms", "the tomograms")
        raise EmtomoError("No input gives the size of the particles: choose previous coordinates, or type a box size.")
    previous = input_of(project, texts, name, "previous coordinates")
    tomograms = input_of(project, texts, "tomograms", "the tomograms")
    found = even((previous.box_size.get() or 0) * _size_of(previous) / _size_of(tomograms))
    return [Proposal(f"The box of the previous ones: {found} voxels of these tomograms.", {"box_size": str(found)})]


def _template_box(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    reference = input_of(project, texts, "reference", "the reference")
    tomograms = input_of(project, texts, "tomograms", "the tomograms")
    found = even((reference.box_size.get() or 0) * _size_of(reference) / _size_of(tomograms))
    return [Proposal(f"The box of the reference: {found} voxels of the tomograms.", {"box_size": str(found)})]


def _header(texts: Texts, folder: Path, names: tuple[str, ...]) -> tuple[Path, images.ImageInfo]:
    """Return the first file that a form names, and what it says of itself."""
    message = next((texts[n] for n in names if texts.get(n)), "")
    if not message:
        raise EmtomoError("Choose the files first.")
    path = folder / Path(message).expanduser()
    if path.is_dir() and path.suffix != ".zarr":
        found = sorted(p for p in path.glob(texts.get("pattern") or "*") if p.is_file() or p.suffix == ".zarr")
        if not found:
            raise EmtomoError(f"{path}: no file is called {texts.get('pattern') or '*'}.")
        path = found[0]
    return path, images.describe(path)


def _header_pixel_size(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    path, info = _header(texts, folder, ("files", "file"))
    if not info.pixel_size:
        raise EmtomoError(f"{path.name} does not say its pixel size.")
    shape = "×".join(str(n) for n in info.shape[::-1])
    return [Proposal(f"{path.name} ({shape}) says {info.pixel_size:.5g} Å.", {"pixel_size": f"{info.pixel_size:.6g}"})]


def _origin(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    path, info = _header(texts, folder, ("files", "file"))
    size = float(texts.get("pixel_size") or info.pixel_size or 1.0)
    message = ", ".join(f"{v:.5g}" for v in info.first_voxel(size))
    manual = info.zero(size)
    return [
        Proposal("The centre of the volume.", {"origin": "centre"}),
        Proposal(f"What the header of {path.name} says ({message} Å).", {"origin": "header"}),
        Proposal(
            "The first voxel.",
            {"origin": "manual"}
            | {f"origin_{a}": f"{-(n // 2) * size:.6g}" for a, n in zip("xyz", info.shape[::-1], strict=True)},
        ),
        Proposal(
            "What the header says, as numbers to change.",
            {"origin": "manual"} | {f"origin_{a}": f"{v:.6g}" for a, v in zip("xyz", manual, strict=True)},
        ),
    ]


def _mask_diameter(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    """The largest sphere in the reference's box, and one about its density."""
    import numpy as np

    from emtomo.compute.masks import otsu
    from emtomo.io import mrc

    reference = input_of(project, texts, "reference" if "reference" in texts else "volume", "the reference")
    volume, size = mrc.read_volume(str(reference.file.get())), _size_of(reference)
    grid = np.indices(volume.shape, dtype=np.float32)
    away = np.sqrt(sum((grid[k] - n // 2) ** 2 for k, n in enumerate(volume.shape)))
    dense = away[volume > otsu(volume)]
    reach = 2 * float(np.percentile(dense, 99)) * size if len(dense) else 0.0
    whole = (min(volume.shape) - 2) * size
    name = "mask_diameter" if "mask_diameter" in texts else "diameter"
    return [
        Proposal(f"About the density: {min(1.1 * reach, whole):.0f} Å.", {name: f"{min(1.1 * reach, whole):.0f}"}),
        Proposal(f"The whole box: {whole:.0f} Å.", {name: f"{whole:.0f}"}),
    ]


def _particle_diameter(project: EmtomoProject, texts: Texts, folder: Path) -> list[Proposal]:
    """A circle about the particles, as large as their pickers found them, and the largest in the box."""
    import numpy as np

    from emtomo.engine.lineage import list_upstream
    from emtomo.objects import SetOfCoordinates2D

    particles = input_of(project, texts, "particles", "the input particles")
    run, output = output_target(project, texts["particles"].split(",")[0].strip())
    whole = (int(particles.box_size.get()) - 2) * _size_of(particles)
    proposals = [Proposal(f"The whole box: {whole:.0f} Å.", {"mask_diameter": f"{whole:.0f}"})]
    for picks in list_upstream(Pointer(run, extended=output), SetOfCoordinates2D):
        found = picks.frame(["diameter"])["diameter"].to_numpy(float)
        if np.isfinite(found).any():
            wide = min(1.1 * float(np.nanmax(found)), whole)
            sentence = f"A tenth more than the largest pick: {wide:.0f} Å."
            return [Proposal(sentence, {"mask_diameter": f"{wide:.0f}"}), *proposals]
    return proposals


WIZARDS: dict[tuple[str, str], Finder] = {
    ("extract-subtomograms", "box_size"): ("Box of the coordinates, rescaled to the tomograms", _extraction_box),
    ("model-workflow", "box_size"): ("Box of the meshes", _mesh_box),
    ("match-template", "box_size"): ("Box of the reference", _template_box),
    ("pick-manually", "box_size"): ("Box of the previous coordinates", _previous_box),
    ("pick-vectorial", "box_size"): ("Box of the previous meshes", _previous_box),
    ("pick-convnet", "box_size"): ("Box of the references", _previous_box),
    ("import-tomograms", "pixel_size"): ("What the header says", _header_pixel_size),
    ("import-volume", "pixel_size"): ("What the header says", _header_pixel_size),
    ("import-tomograms", "origin"): ("Centre, or what the header says", _origin),
    ("refine-poses", "mask_diameter"): ("From the reference", _mask_diameter),
    ("create-mask", "diameter"): ("From the volume", _mask_diameter),
    ("classify-2d", "mask_diameter"): ("From the picks, or the box", _particle_diameter),
}
