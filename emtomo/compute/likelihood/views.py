"""Particles as lists of views: a box is one 3D view, an image one 2D view, a tilt series one 2D view per tilt.

A view is a rotation from the particle's frame into the view's, a measurement (box or image), its weights, and the group
whose noise it shares. With the particle's pose (R, s) the model of a view V is the reference at ``(V R)^T k``, moved by
``V s``; of a 2D view k has no z, and of the shift x and y show. The log likelihood of a particle is the sum over its
views.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.coefficients import FourierCoefficients, count_bands
from emtomo.errors import EmtomoError

KINDS = ("none", "wedge", "ctf", "ctf_squared")


@dataclass(frozen=True)
class Views:
    """The views of one particle, as they were measured.

    Attributes
    ----------
    values : (v, n, n, n) or (v, n, n) float32 array
        Boxes or images, particles white.
    rotations : (v, 3, 3) float64 array
        From the particle's frame into the view's.
    offsets : (v, 3) array
        x, y, z in voxels of the particle's (projected) centre from the centre voxel ``n // 2`` when its shift is 0.
    noise_group : (v,) int array
        Views of one group share a noise spectrum.
    weights : (v, n, n // 2 + 1) array, optional
        In the order of ``rfft2``, where they are this particle's own; see :meth:`ParticleSource.weight_key`.
    """

    values: np.ndarray
    rotations: np.ndarray
    offsets: np.ndarray
    noise_group: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)


class ParticleSource(ABC):
    """Particles to be compared with a reference; read when needed.

    Attributes
    ----------
    size : int
        Edge of the boxes or images in voxels.
    pixel_size : float
        Å per voxel.
    kind : {"none", "wedge", "ctf", "ctf_squared"}
        What the weights are: nothing, 1 where measured, the CTF (with dose weights), its square.
    premultiplied : bool
        The boxes or images were multiplied with their CTF.
    dimension : {3, 2}
        Of the views.
    noise_groups : int
        Number of noise spectra.
    common_rotations : (v, 3, 3) array or None
        Rotations of the views, where all particles have the same ones.
    measured_radius : float
        Shells beyond which nothing was measured: of images at finer pixels than they were taken with.
    """

    size: int
    pixel_size: float
    kind: str
    premultiplied: bool
    dimension: int
    noise_groups: int = 1
    common_rotations: np.ndarray | None = None
    measured_radius: float = np.inf

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def count_views(self, i: int) -> int:
        """Return the number of views of particle `i`."""

    @property
    def usual_views(self) -> int:
        """Return the number of views that most particles have."""
        return 1

    @property
    def scaled_views(self) -> bool:
        """Return whether views may show a particle more or less strongly: images of several noise groups."""
        return self.dimension == 2 and self.noise_groups > 1

    @property
    def shift_axes(self) -> int:
        """Return along how many of a shift's axes views tell it: 2 where all images lie in one plane, else 3."""
        turns = self.common_rotations
        flat = self.dimension == 2 and turns is not None and bool(np.allclose(np.abs(turns[:, 2, 2]), 1.0))
        return 2 if flat else 3

    @abstractmethod
    def read(self, i: int) -> Views:
        """Return the views of particle `i`."""

    def weight_key(self, i: int) -> Hashable | None:
        """Return what the weights of particle `i` are known by where several particles share them, else None."""
        return None

    def weights_of_key(self, key: Hashable) -> np.ndarray:
        """Return the weights known by a key, in the order of ``rfftn``."""
        raise KeyError(key)

    def coefficients(self, radius: float) -> FourierCoefficients:
        """Return the frequencies of a view within `radius` shells, as far as any were measured."""
        return FourierCoefficients(self.size, min(radius, self.measured_radius), self.dimension)

    @property
    def noise_length(self) -> int:
        """Return the length of the noise spectra, one after the other."""
        return self.noise_groups * count_bands(self.size, self.dimension)

    def noise_index(self, groups: np.ndarray, band: np.ndarray) -> np.ndarray:
        """Return where views' frequencies stand in the noise spectra: `(v, n)` for groups (v) and bands (n)."""
        return groups[:, None] * count_bands(self.size, self.dimension) + band[None]

    def statistics(self, values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return data D and weights W of packed values X: X = C V + noise gives D = C X, W = C^2.

        Premultiplied values are D already, and squared weights W. The noise of D has W times the noise's variance.
        """
        if weight is None:
            return values, np.ones(values.shape[-1:], np.float32)
        square = weight if self.kind == "ctf_squared" else weight * weight
        if self.premultiplied:
            return values, square
        return values * (np.sqrt(weight) if self.kind == "ctf_squared" else weight), square


def check_kind(kind: str) -> None:
    """Raise an error if weights of this kind are unknown."""
    if kind not in KINDS:
        raise EmtomoError(f"Weights must be one of {', '.join(KINDS)}, got {kind!r}.")


@dataclass(frozen=True)
class BoxParticles(ParticleSource):
    """Boxes of one size, with their weights in Fourier space: particles of one 3D view.

    Attributes
    ----------
    size : int
        Edge of the boxes in voxels.
    pixel_size : float
        Å per voxel.
    box : callable
        Number of a particle to its `(size, size, size)` box, particles white.
    keys : sequence
        For every particle what its weights are known by; particles with one key share them.
    weight : callable
        Key to weights, `(size, size, size // 2 + 1)` in the order of ``rfftn``; not called for kind none.
    kind : {"none", "wedge", "ctf", "ctf_squared"}
        What the weights are: nothing, 1 where measured, the CTF, its square.
    premultiplied : bool
        The boxes were multiplied with their CTF.
    """

    size: int
    pixel_size: float
    box: Callable[[int], np.ndarray]
    keys: Sequence[Hashable]
    weight: Callable[[Hashable], np.ndarray]
    kind: str = "none"
    premultiplied: bool = False

    dimension = 3
    common_rotations = np.eye(3)[None]

    def __post_init__(self) -> None:
        check_kind(self.kind)

    def __len__(self) -> int:
        return len(self.keys)

    def count_views(self, i: int) -> int:
        """See :class:`ParticleSource`."""
        return 1

    def read(self, i: int) -> Views:
        """See :class:`ParticleSource`."""
        return Views(np.asarray(self.box(i), np.float32)[None], np.eye(3)[None], np.zeros((1, 3)), np.zeros(1, int))

    def weight_key(self, i: int) -> Hashable | None:
        """See :class:`ParticleSource`."""
        return self.keys[i]

    def weights_of_key(self, key: Hashable) -> np.ndarray:
        """See :class:`ParticleSource`."""
        return self.weight(key)


@dataclass(frozen=True)
class ImageViews:
    """The images of one particle.

    Attributes
    ----------
    images : (t, n, n) array
        Particles white.
    rotations : (t, 3, 3) array
        From the particle's frame (a tomogram's axes, for one) into the image's, whose z is the beam.
    weights : (t, n, n // 2 + 1) array or None
        In the order of ``rfft2``: the CTF, positive at low frequency for white particles, times the dose weights.
    offsets : (t, 2) array
        x, y in pixels of the particle's projected centre from the centre pixel ``n // 2`` when its shift is 0.
    noise_group : (t,) int array, optional
        Which noise spectrum an image has: by tilt, for one. All have the same by default.
    """

    images: np.ndarray
    rotations: np.ndarray
    weights: np.ndarray | None
    offsets: np.ndarray
    noise_group: np.ndarray | None = None


@dataclass(frozen=True)
class ImageParticles(ParticleSource):
    """Images cut out of a tilt series or of micrographs: particles of one 2D view per tilt, or of a single one.

    Attributes
    ----------
    size : int
        Edge of the images in pixels.
    pixel_size : float
        Å per pixel.
    counts : sequence of int
        Images of every particle; at least one each.
    views : callable
        Number of a particle to its :class:`ImageViews`.
    kind : {"ctf", "none", "ctf_squared"}
        What the weights are.
    premultiplied : bool
        The images were multiplied with their CTF.
    noise_groups : int
        Number of noise spectra that :attr:`ImageViews.noise_group` tells apart.
    common_rotations : (t, 3, 3) array, optional
        Where all particles' views have the same rotations: the identity, of single-particle images. Searches over
        all orientations then share their sections.
    measured_radius : float
        See :class:`ParticleSource`.
    """

    size: int
    pixel_size: float
    counts: Sequence[int]
    views: Callable[[int], ImageViews]
    kind: str = "ctf"
    premultiplied: bool = False
    noise_groups: int = 1
    common_rotations: np.ndarray | None = None
    measured_radius: float = np.inf

    dimension = 2

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if any(count < 1 for count in self.counts):
            number = next(i for i, count in enumerate(self.counts) if count < 1)
            raise EmtomoError(f"Particle {number + 1} has no image; every particle needs at least one.")

    def __len__(self) -> int:
        return len(self.counts)

    def count_views(self, i: int) -> int:
        """See :class:`ParticleSource`."""
        return int(self.counts[i])

    @property
    def usual_views(self) -> int:
        """See :class:`ParticleSource`."""
        return int(np.median(self.counts)) if len(self.counts) else 1

    def read(self, i: int) -> Views:
        """See :class:`ParticleSource`."""
        views, t, n = self.views(i), self.count_views(i), self.size
        group = np.zeros(t, int) if views.noise_group is None else np.asarray(views.noise_group, int)
        parts = [
            ("images", np.asarray(views.images, np.float32), (t, n, n)),
            ("rotations", np.asarray(views.rotations, float), (t, 3, 3)),
            ("offsets", np.asarray(views.offsets, float), (t, 2)),
            ("noise groups", group, (t,)),
        ]
        weights = None
        if self.kind != "none":
            weights = np.asarray(views.weights, np.float32)
            parts.append(("weights", weights, (t, n, n // 2 + 1)))
        for what, array, shape in parts:
            if array.shape != shape:
                raise EmtomoError(f"Particle {i + 1}: the {what} must have shape {shape}, got {array.shape}.")
        if group.min() < 0 or group.max() >= self.noise_groups:
            raise EmtomoError(
                f"Particle {i + 1}: noise groups must lie between 0 and {self.noise_groups - 1}, "
                f"got {group.min()} to {group.max()}."
            )
        offsets = np.column_stack([parts[2][1], np.zeros(t)])
        return Views(parts[0][1], parts[1][1], offsets, group, weights)
