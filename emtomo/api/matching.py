"""Find copies of a reference in a tomogram that is an array."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from emtomo.api.keywords import accept_options, split_options
from emtomo.checks import check_pixel_size, check_tilt_range, check_volume
from emtomo.compute.matching.match import Matcher, select_candidates
from emtomo.compute.matching.model import MaskedReference, automatic_mask
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.weighting import wedge_transfer
from emtomo.compute.positions import from_voxels
from emtomo.errors import EmtomoError
from emtomo.io.particles import ParticleList
from emtomo.io.poses import to_relion

INVERTED = "Inverted contrast matches clearly better; check white, and that the reference is bright."


@dataclass(frozen=True)
class TemplateMatches:
    """The particles found in one tomogram, the best first.

    Attributes
    ----------
    positions : (n, 3) array
        z, y, x of the centres, in voxels of the tomogram.
    rotations : (n, 3, 3) array
        tomogram = R @ reference, on x, y, z.
    scores : (n,) array
        In standard deviations of noise alone.
    shape : tuple of int
        z, y, x of the tomogram.
    pixel_size : float
        Å per voxel.
    remarks : list of str
        What a user should know, for example that inverted contrast matches better.
    """

    positions: np.ndarray
    rotations: np.ndarray
    scores: np.ndarray
    shape: tuple[int, ...]
    pixel_size: float
    remarks: list[str]

    def __len__(self) -> int:
        return len(self.scores)

    def frame(self) -> pd.DataFrame:
        """Return x, y, z in Å from the tomogram's centre, RELION's rot, tilt, psi in degrees, and the score."""
        where = from_voxels(self.positions, self.shape, self.pixel_size)
        angles = to_relion(self.rotations) if len(self) else np.zeros((0, 3))
        columns = dict(zip(("x", "y", "z", "rot", "tilt", "psi"), (*where.T, *angles.T), strict=True))
        return pd.DataFrame({**columns, "score": self.scores})

    def particles(self, tomogram: str = "") -> ParticleList:
        """Return the same as particles that :func:`emtomo.io.write_particles` writes."""
        n = len(self)
        return ParticleList(
            tomograms=np.full(n, tomogram, object),
            positions=self.positions[:, ::-1].astype(float),
            shifts=np.zeros((n, 3)),
            rotations=self.rotations,
            pixel_size=np.full(n, self.pixel_size),
            columns={"score": self.scores},
        )


@accept_options(PeakOptions, ScanOptions)
def match_template(
    tomogram: np.ndarray,
    reference: np.ndarray,
    pixel_size: float,
    *,
    mask: np.ndarray | None = None,
    tilt_range: tuple[float, float] = (-60.0, 60.0),
    white: bool = False,
    peaks: PeakOptions | None = None,
    scan: ScanOptions | None = None,
    device: str = "cpu",
    progress: Callable[[float, float], None] | None = None,
    **keywords: Any,
) -> TemplateMatches:
    """Find copies of a reference, with their orientations, by a noise-weighted correlation.

    Parameters
    ----------
    tomogram : (z, y, x) array
    reference : (n, n, n) array
        Bright particle, centre at voxel ``n // 2``, at the tomogram's pixel size.
    pixel_size : float
        Å per voxel of both.
    mask : (n, n, n) array, optional
        What of the reference counts; by default a sphere around its density.
    tilt_range : (float, float)
        First and last tilt angle in degrees, about the y axis.
    white : bool
        The particles of the tomogram are brighter than their surroundings.
    peaks : PeakOptions, optional
    scan : ScanOptions, optional
        Or give the fields of both as keywords.
    device : {"cpu", "cuda", "cuda:N"}
    progress : callable, optional
        Called with the work done and the work in all.

    Returns
    -------
    TemplateMatches

    Raises
    ------
    EmtomoError
        If an option is unknown or out of bounds, the reference is not cubic, has no contrast or does not fit into the
        tomogram, or the tomogram holds no signal.

    References
    ----------
    Roseman, Ultramicroscopy 94 (2003), Eq. 5 and 6; Rickgauer et al., eLife 6:e25648 (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> ball = emtomo.create_mask(np.zeros((12, 12, 12)), 10.0, shape="sphere", diameter=60, soft_edge=2)
    >>> tomogram = np.random.default_rng(1).normal(0, 0.2, (32, 48, 48)).astype("float32")
    >>> tomogram[10:22, 14:26, 22:34] -= ball
    >>> found = emtomo.match_template(tomogram, ball, 10.0, symmetry="O", number_of_particles=1)
    >>> [int(round(v)) for v in found.positions[0]]
    [16, 20, 28]
    """
    peak_options, scan_options = split_options((PeakOptions, peaks), (ScanOptions, scan), keywords=keywords)
    if not peak_options.false_alarms and not peak_options.number_of_particles:
        raise EmtomoError("Without a threshold (false_alarms = 0) number_of_particles must be given.")
    volume, transfer = check_volume(tomogram, "tomogram"), wedge_transfer(*check_tilt_range(tilt_range))
    model, size = _model(reference, mask), check_pixel_size(pixel_size)
    matcher = Matcher(volume, size, white, model, transfer, scan_options, device=device)
    match = matcher.locate(None, peak_options.number_of_particles, progress)
    distance = (peak_options.min_distance or model.radius * size) / size
    best = match.places.take(select_candidates(match.places, match.cells, distance, peak_options))
    remarks = [INVERTED] if match.inverted else []
    return TemplateMatches(best.positions, best.rotations, best.scores, volume.shape, size, remarks)


def _model(reference: np.ndarray, mask: np.ndarray | None) -> MaskedReference:
    """Return what is searched for, by default within a sphere around its density."""
    density = np.asarray(check_volume(reference, "reference", cubic=True), np.float32)
    if mask is None:
        return MaskedReference.of(density, automatic_mask(density))
    return MaskedReference.of(density, np.clip(check_volume(mask, "mask"), 0, 1).astype(np.float32))
