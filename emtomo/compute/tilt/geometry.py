"""Where a point of the tomogram lies in the images of its tilt series: one geometry, with its derivatives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.optics.dose import b_factor_weights, dose_weights
from emtomo.compute.tilt.warps import ImageWarp, VolumeWarp
from emtomo.errors import EmtomoError
from emtomo.wording import count_text


def tilt_rotations(angle: np.ndarray, axis: np.ndarray, x_tilt: np.ndarray | float = 0.0) -> np.ndarray:
    """Return (n, 3, 3) rotations that take the tomogram to each tilt: Rz(axis) Ry(angle) Rx(x_tilt).

    Parameters
    ----------
    angle, axis, x_tilt : (n,) arrays
        Degrees: the tilt, the axis from the images' y (counter-clockwise), a tilt about x.

    References
    ----------
    RELION 5, tomogram.cpp (ZRot, YTilt, XTilt); Warp's tilt is minus `angle`.
    """
    from scipy.spatial.transform import Rotation

    n = len(angle)
    steps = np.stack([np.broadcast_to(axis, n), np.asarray(angle, float), np.broadcast_to(x_tilt, n)], axis=1)
    return Rotation.from_euler("ZYX", steps, degrees=True).as_matrix().reshape(-1, 3, 3)


def tilt_angles(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3) axis, angle, x_tilt in degrees of rotations as :func:`tilt_rotations` makes them."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotations).as_euler("ZYX", degrees=True).reshape(-1, 3)


def rotation_by_angles(rotations: np.ndarray) -> np.ndarray:
    """Return (n, 3, 3) rotation vectors (columns, radians, image axes) of a degree more of axis, angle and x_tilt.

    With :attr:`ProjectionDerivatives.rotation` they are the derivatives by these angles; the same holds for the stage
    angles z, y, x with :attr:`TiltGeometry.stage`.
    """
    axis, angle, _ = np.deg2rad(tilt_angles(rotations)).T
    out = np.zeros((len(rotations), 3, 3))
    out[:, 2, 0] = 1
    out[:, 0, 1], out[:, 1, 1] = -np.sin(axis), np.cos(axis)
    out[:, :, 2] = np.stack([np.cos(axis) * np.cos(angle), np.sin(axis) * np.cos(angle), -np.sin(angle)], axis=1)
    return np.deg2rad(out)


class ProjectionDerivatives(NamedTuple):
    """Derivatives of projected points; n tilts, p points, rows x, y (Å) and height (Å).

    The local defocus follows the height: its derivatives are the hand times the last row.

    Attributes
    ----------
    positions : (n, p, 3) array
        The projection itself.
    point : (n, p, 3, 3) array
        By the point's x, y, z.
    rotation : (n, p, 3, 3) array
        By a rotation vector about the images' axes (radians): R becomes exp(v) R.
    shift : (n, p, 3, 2) array
        By the tilt's shift.
    image_nodes : (n, p, h * w) array
        Weights of the image warp's nodes (none: h * w = 0): x and y change by minus weight times tilt weight.
    image_tilts : (n, t) array
        Weights of the image warp's planes in every tilt.
    displacement : (n, p, 3, 3) array
        By a displacement of the point as the volume warp makes it.
    volume_nodes : (p, z * y * x) array
        Weights of the volume warp's nodes; with `volume_tilts` and `displacement` the derivatives by the nodes.
    volume_tilts : (n, d) array
        Weights of the volume warp's planes in every tilt.
    magnification : (n, p, 3, 4) array
        By the magnification's xx, xy, yx, yy.
    """

    positions: np.ndarray
    point: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    image_nodes: np.ndarray
    image_tilts: np.ndarray
    displacement: np.ndarray
    volume_nodes: np.ndarray
    volume_tilts: np.ndarray
    magnification: np.ndarray


@dataclass(frozen=True)
class TiltGeometry:
    """The geometry, optics and dose of one tilt series.

    A point X (Å from the volume's centre) is displaced by the volume warp, rotated, magnified, moved by the tilt's
    shift, and less the image warp at the place where it were without magnification: so the movement of another program
    that knows no magnification of positions holds it exactly. Its defocus is the tilt's plus hand times its height.

    Attributes
    ----------
    rotations : (n, 3, 3) array
        From the tomogram to each tilt.
    shifts : (n, 2) array
        Å: where the volume's centre lies from the image's centre.
    ctf : Ctf or None
        Of shape (n,), at height 0, without weights.
    dose : (n,) array
        e/Å² before the image.
    order : (n,) int array
        Of acquisition, from 0.
    excluded : (n,) bool array
    scale : (n,) array
        Factor of every tilt's amplitude.
    b_factor : (n,) array or None
        Å² of every tilt in place of the weights of dose, where a program has fitted them.
    pixel_size : float
        Å of the images; NaN where not known.
    image_size, volume_size : tuples or None
        Å: x, y of the images and x, y, z of the volume.
    hand : int
        1 where defocus grows with the height (the third row of the rotation), else -1.
    stage : (n, 3, 3) array or None
        Rotations about the images' axes that turn the sections and not the positions (Warp's GridAngleX, Y, Z).
    image_warp, volume_warp : ImageWarp, VolumeWarp or None
    magnification : (2, 2) array or None
        Of the images, x and y from x and y, where the microscope's is not the same along all directions or the pixel
        size is not quite right. Positions and sections follow it; the CTF stays at the images' own frequencies, at
        which it was estimated.
    """

    rotations: np.ndarray
    shifts: np.ndarray
    ctf: Ctf | None
    dose: np.ndarray
    order: np.ndarray
    excluded: np.ndarray
    scale: np.ndarray
    b_factor: np.ndarray | None = None
    pixel_size: float = np.nan
    image_size: tuple[float, float] | None = None
    volume_size: tuple[float, float, float] | None = None
    hand: int = 1
    stage: np.ndarray | None = None
    image_warp: ImageWarp | None = None
    volume_warp: VolumeWarp | None = None
    magnification: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.rotations)
        per_tilt = ("dose", "order", "excluded", "scale", *(("b_factor",) if self.b_factor is not None else ()))
        shapes: dict[str, tuple[int, ...]] = {"rotations": (n, 3, 3), "shifts": (n, 2), **dict.fromkeys(per_tilt, (n,))}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape:
                raise EmtomoError(
                    f"{name} must have the shape {shape} for {count_text(n, 'tilt')}, got {values.shape}."
                )
            if not np.isfinite(values).all():
                k = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise EmtomoError(f"{name} of tilt {k + 1} must be finite numbers.")
        if self.ctf is not None and self.ctf.shape != (n,):
            raise EmtomoError(f"the CTF must be that of {count_text(n, 'tilt')}, got the shape {self.ctf.shape}.")
        if self.hand not in (1, -1):
            raise EmtomoError(f"hand must be 1 or -1, got {self.hand}.")

    def __len__(self) -> int:
        return len(self.rotations)

    def take(self, index: np.ndarray) -> "TiltGeometry":
        """Return the geometry of some of the tilts, by their numbers or a mask."""
        chosen = np.arange(len(self))[index]
        return replace(
            self,
            rotations=self.rotations[chosen],
            shifts=self.shifts[chosen],
            ctf=None if self.ctf is None else self.ctf[chosen],
            dose=self.dose[chosen],
            order=self.order[chosen],
            excluded=self.excluded[chosen],
            scale=self.scale[chosen],
            b_factor=None if self.b_factor is None else self.b_factor[chosen],
            stage=None if self.stage is None else self.stage[chosen],
            image_warp=None if self.image_warp is None else self.image_warp.take(chosen, len(self)),
        )

    @property
    def orientations(self) -> np.ndarray:
        """(n, 3, 3) rotations from the tomogram to the sections that the images measure."""
        return self.rotations if self.stage is None else self.stage @ self.rotations

    @property
    def sections(self) -> np.ndarray:
        """(n, 3, 3) matrices A from the tomogram to the images, magnified: an image's frequency k measures A.T k."""
        return self.orientations if self.magnification is None else self._magnify() @ self.orientations

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return (n, p, 3): x, y in Å from the image's centre of (p, 3) points in Å, and their height."""
        rotated = self._rotated(points)
        seen = rotated @ self._magnify().T
        seen[:, :, :2] += self.shifts[:, None, :]
        if self.image_warp is not None:
            weights, _ = self.image_warp.node_weights(rotated[:, :, :2] + self.shifts[:, None, :])
            seen[:, :, :2] -= weights @ self.image_warp.planes(len(self))
        return seen

    def local_ctf(self, heights: np.ndarray) -> Ctf:
        """Return the CTF of shape (n, p) at (n, p) heights in Å, the last of what :meth:`project` returns."""
        if self.ctf is None:
            raise EmtomoError("the tilt series has no defocus: estimate its CTF, or import it with its CTF files.")
        return self.ctf[:, None].with_defocus_added(self.hand * np.asarray(heights))

    def weights(self, frequency: np.ndarray) -> np.ndarray:
        """Return the amplitude that dose and thickness leave of frequencies in 1/Å: float32 (n, *frequency).

        The tilts' scale (where no program says it, the cosine of the tilt) times B factors where they are known, else
        the weights of the dose.
        """
        voltage = 300.0 if self.ctf is None else float(np.mean(self.ctf.voltage))
        if self.b_factor is None:
            left = dose_weights(frequency, self.dose, voltage)
        else:
            left = b_factor_weights(frequency, self.b_factor)
        return left * self.scale.astype(np.float32).reshape(-1, *(1,) * np.ndim(frequency))

    def derivatives(self, points: np.ndarray) -> ProjectionDerivatives:
        """Return the projection of (p, 3) points in Å with its derivatives by every parameter."""
        points, n = np.asarray(points, float), len(self)
        rotated = self._rotated(points)
        displacement = np.broadcast_to(self.rotations[:, None], (n, len(points), 3, 3))
        point, volume_nodes, volume_tilts = displacement, np.zeros((len(points), 0)), np.zeros((n, 0))
        if self.volume_warp is not None:
            volume_nodes, slopes = self.volume_warp.node_weights(points)
            volume_tilts = self.volume_warp.tilt_weights(self.dose)
            inner = np.einsum("pgk,ngc->npck", slopes, self.volume_warp.planes(self.dose))
            point = displacement @ (np.eye(3) + inner)
        rotation = np.zeros((n, len(points), 3, 3))
        x, y, z = np.moveaxis(rotated, -1, 0)
        rotation[..., 1, 0], rotation[..., 2, 0] = -z, y
        rotation[..., 0, 1], rotation[..., 2, 1] = z, -x
        rotation[..., 0, 2], rotation[..., 1, 2] = -y, x
        shift = np.broadcast_to(np.eye(3)[:, :2], (n, len(points), 3, 2))
        magnification = np.zeros((n, len(points), 3, 4))
        magnification[:, :, 0, :2] = magnification[:, :, 1, 2:] = rotated[:, :, :2]
        by_place = np.tile(self._magnify(), (n, len(points), 1, 1))
        places, rotated = rotated[:, :, :2] + self.shifts[:, None, :], rotated @ self._magnify().T
        rotated[:, :, :2] += self.shifts[:, None, :]
        image_nodes, image_tilts = np.zeros((n, len(points), 0)), np.zeros((n, 0))
        if self.image_warp is not None:
            image_nodes, slopes = self.image_warp.node_weights(places)
            image_tilts, planes = self.image_warp.tilt_weights(n), self.image_warp.planes(n)
            rotated[:, :, :2] -= image_nodes @ planes
            moved = np.einsum("npgk,ngc->npck", slopes, planes)
            by_place[..., :2, :2] -= moved
            shift = shift.copy()
            shift[..., :2, :] -= moved
        point, rotation, displacement = by_place @ point, by_place @ rotation, by_place @ displacement
        return ProjectionDerivatives(
            rotated, point, rotation, shift, image_nodes, image_tilts, displacement, volume_nodes, volume_tilts,
            magnification,
        )  # fmt: skip

    def _magnify(self) -> np.ndarray:
        """Return the (3, 3) matrix of the magnification."""
        out = np.eye(3)
        if self.magnification is not None:
            out[:2, :2] = self.magnification
        return out

    def _rotated(self, points: np.ndarray) -> np.ndarray:
        """Return (n, p, 3) points after volume warp and rotation."""
        points = np.asarray(points, float)
        seen = np.einsum("nij,pj->npi", self.rotations, points)
        if self.volume_warp is not None:
            weights, _ = self.volume_warp.node_weights(points)
            seen += np.einsum(
                "nij,pg,ngj->npi", self.rotations, weights, self.volume_warp.planes(self.dose), optimize=True
            )
        return seen


def tilt_geometry(
    columns: Mapping[str, Any],
    *,
    pixel_size: float = np.nan,
    image_size: tuple[float, float] | None = None,
    volume_size: tuple[float, float, float] | None = None,
    hand: int = 1,
    rotations: np.ndarray | None = None,
    image_warp: ImageWarp | None = None,
    volume_warp: VolumeWarp | None = None,
    magnification: np.ndarray | None = None,
    optics: Mapping[str, float] | None = None,
) -> TiltGeometry:
    """Return the geometry of a table of tilts; the one place where tables become geometry.

    Parameters
    ----------
    columns : mapping of (n,) arrays (a table's columns)
        angle, tilt_axis_angle, x_tilt, shift_x, shift_y, stage_x, stage_y, stage_z, defocus_u, defocus_v,
        defocus_angle, phase_shift, scale, bfactor, dose, acquisition_order, excluded: those that are known; degrees, Å
        and e/Å².
    pixel_size, image_size, volume_size, hand, image_warp, volume_warp, magnification
        As in :class:`TiltGeometry`, sizes in Å.
    rotations : (n, 3, 3) array, optional
        Instead of the angles.
    optics : mapping
        voltage (kV), cs (mm), amplitude_contrast.

    Raises
    ------
    EmtomoError
        If a number is missing or is not finite, or only some of the tilts have a defocus.
    """
    known = {name: np.asarray(columns[name]) for name in columns}
    if "angle" not in known and rotations is None:
        raise EmtomoError("the table of tilts has no column angle.")
    n = len(known["angle"]) if rotations is None else len(rotations)

    def column(*names: str, default: float = 0.0) -> np.ndarray:
        """Return the first of some columns that the table has, else the default."""
        name = next((c for c in names if c in known), None)
        return np.full(n, default) if name is None else known[name].astype(float)

    if rotations is None:
        parts = {"angle": column("angle"), "axis": column("tilt_axis_angle"), "x_tilt": column("x_tilt")}
        for name, values in parts.items():
            if not np.isfinite(values).all():
                raise EmtomoError(f"{name} of tilt {int(np.argmin(np.isfinite(values))) + 1} must be a finite number.")
        rotations = tilt_rotations(parts["angle"], parts["axis"], parts["x_tilt"])
    stage = [column(f"stage_{axis}") for axis in "xyz"]
    order = column("acquisition_order")
    if not np.isfinite(order).all() or not order.any():
        order = np.argsort(np.argsort(column("dose"), kind="stable"), kind="stable").astype(float)
    return TiltGeometry(
        rotations=rotations,
        shifts=np.stack([column("shift_x"), column("shift_y")], axis=1),
        ctf=_ctf_of(column, optics or {}),
        dose=column("dose"),
        order=order.astype(int) - (int(order.min()) if n else 0),
        excluded=column("excluded") != 0,
        scale=column("scale") if "scale" in known else rotations[:, 2, 2].copy(),
        b_factor=column("bfactor") if "bfactor" in known and column("bfactor").any() else None,
        pixel_size=pixel_size,
        image_size=image_size,
        volume_size=volume_size,
        hand=hand,
        stage=tilt_rotations(stage[1], stage[2], stage[0]) if np.any(stage) else None,
        image_warp=image_warp,
        volume_warp=volume_warp,
        magnification=magnification,
    )


def _ctf_of(column: Any, optics: Mapping[str, float]) -> Ctf | None:
    """Return the CTF of the tilts, None where no defocus is known."""
    u = column("defocus_u", default=np.nan)
    v = column("defocus_v", "defocus_u", default=np.nan)
    known = np.isfinite(u) & np.isfinite(v)
    if not known.any() or not (u[known].any() or v[known].any()):
        return None
    if not known.all():
        raise EmtomoError(f"tilt {int(np.argmin(known)) + 1} has no defocus, and others have one.")
    return Ctf(
        u,
        v,
        angle=column("defocus_angle"),
        phase_shift=column("phase_shift"),
        cs=optics.get("cs", 2.7),
        amplitude_contrast=optics.get("amplitude_contrast", 0.1),
        voltage=optics.get("voltage", 300.0),
    )
