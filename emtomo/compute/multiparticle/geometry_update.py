"""What a refinement has changed of a geometry: brought from the tilts that took part to all tilts, and as arrays."""

from dataclasses import fields, replace

import numpy as np

from emtomo.compute.multiparticle.parameters import ImageWarps
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.optics.dose import WARP_B_FACTOR_PER_DOSE
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp

PER_TILT = ("rotations", "shifts", "scale")


def update_geometry(whole: TiltGeometry, tilts: np.ndarray, refined: TiltGeometry) -> TiltGeometry:
    """Return the geometry of all tilts in which those of numbers `tilts` are as `refined` has them.

    Other tilts keep what they have. What did not change stays the very object that it was.
    """
    before = whole.take(tilts)
    changes: dict[str, object] = {}
    for name in PER_TILT:
        if not np.array_equal(getattr(before, name), getattr(refined, name)):
            changes[name] = _replaced(getattr(whole, name), tilts, getattr(refined, name))
    if refined.b_factor is not None and not np.array_equal(
        refined.b_factor, np.nan if before.b_factor is None else before.b_factor
    ):
        given = WARP_B_FACTOR_PER_DOSE * whole.dose if whole.b_factor is None else whole.b_factor
        changes["b_factor"] = _replaced(given, tilts, refined.b_factor)
    if refined.ctf is not None and whole.ctf is not None and not _same_ctf(before.ctf, refined.ctf):
        n = (len(whole),)
        changes["ctf"] = Ctf(**{
            f.name: _replaced(
                np.broadcast_to(getattr(whole.ctf, f.name), n), tilts,
                np.broadcast_to(getattr(refined.ctf, f.name), len(tilts)),
            )
            for f in fields(Ctf)
        })  # fmt: skip
    if refined.magnification is not None:
        changes["magnification"] = refined.magnification
    if refined.volume_warp is not None:
        changes["volume_warp"] = refined.volume_warp
    if refined.image_warp is not None and not _same_warp(before.image_warp, refined.image_warp):
        shape = refined.image_warp.x.shape[1:]
        block = ImageWarps(len(whole), (shape[1], shape[0]), refined.image_warp.image_size, 1.0, 1.0)
        old = block.prepare(whole).image_warp
        assert old is not None
        changes["image_warp"] = replace(
            refined.image_warp,
            x=_replaced(old.x, tilts, refined.image_warp.x),
            y=_replaced(old.y, tilts, refined.image_warp.y),
        )
    return replace(whole, **changes) if changes else whole  # type: ignore[arg-type]


def pack_geometry(geometry: TiltGeometry) -> dict[str, np.ndarray]:
    """Return what a refinement may change, as arrays; see :func:`unpack_geometry`."""
    out = {name: getattr(geometry, name) for name in PER_TILT}
    optional = {"b_factor": geometry.b_factor, "magnification": geometry.magnification}
    out |= {name: values for name, values in optional.items() if values is not None}
    if geometry.ctf is not None:
        n = (len(geometry),)
        out |= {f"ctf_{f.name}": np.broadcast_to(getattr(geometry.ctf, f.name), n).astype(float) for f in fields(Ctf)}
    if (image := geometry.image_warp) is not None:
        out |= {"image_warp_x": image.x, "image_warp_y": image.y, "image_warp_size": np.array(image.image_size)}
    if (volume := geometry.volume_warp) is not None:
        out |= {
            "volume_warp_nodes": volume.nodes,
            "volume_warp_size": np.array(volume.volume_size),
            "volume_warp_doses": np.array(volume.doses),
        }
    return out


def unpack_geometry(given: TiltGeometry, arrays: dict[str, np.ndarray]) -> TiltGeometry:
    """Return the given geometry with what :func:`pack_geometry` made of a refined one."""
    changes: dict[str, object] = {name: arrays[name] for name in PER_TILT}
    for name in ("b_factor", "magnification"):
        changes[name] = arrays.get(name)
    if "ctf_defocus_u" in arrays:
        changes["ctf"] = Ctf(**{f.name: arrays[f"ctf_{f.name}"] for f in fields(Ctf)})
    if "image_warp_x" in arrays:
        x, y = arrays["image_warp_size"]
        changes["image_warp"] = ImageWarp(arrays["image_warp_x"], arrays["image_warp_y"], (float(x), float(y)))
    if "volume_warp_nodes" in arrays:
        x, y, z = arrays["volume_warp_size"]
        first, last = arrays["volume_warp_doses"]
        changes["volume_warp"] = VolumeWarp(
            arrays["volume_warp_nodes"], (float(x), float(y), float(z)), (float(first), float(last))
        )
    return replace(given, **changes)  # type: ignore[arg-type]


def _replaced(values: np.ndarray, index: np.ndarray, by: np.ndarray) -> np.ndarray:
    out = np.array(values, float)
    out[index] = by
    return out


def _same_ctf(a: Ctf | None, b: Ctf) -> bool:
    return a is not None and all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Ctf))


def _same_warp(a: ImageWarp | None, b: ImageWarp) -> bool:
    return a is not None and np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)


def movements(before: TiltGeometry, after: TiltGeometry, nodes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return where points of the volume's middle plane were seen, and how they moved: (t, nodes², 2) in Å each.

    Raises
    ------
    ValueError
        If the geometry says no size of volume or images.
    """
    size = before.volume_size or before.image_size
    if size is None:
        raise ValueError("the size of volume and images is not known")
    along = [np.linspace(-0.5, 0.5, nodes) * size[k] for k in (0, 1)]
    x, y = (a.ravel() for a in np.meshgrid(*along))
    points = np.stack([x, y, np.zeros_like(x)], axis=1)
    seen = before.project(points)[..., :2]
    return seen, after.project(points)[..., :2] - seen
