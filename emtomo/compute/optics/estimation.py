"""Estimate the CTF of a tilt series: all images together, the defocus of every tile known from the tilt geometry.

The power of rings is CTF² = (1 - cos 2γ) / 2, and a tile at height h has 2π λ h k² more of phase 2γ. The spectra of all
tiles of an image are multiplied by exp(± i 2π λ h k²), one sign for each hand, and added; after that the score of a
defocus, astigmatism and phase shift is the real part of one sum over rings and sectors, so that the whole range of
defocus can be tried for every tilt.

References
----------
Mindell & Grigorieff, J. Struct. Biol. 142 (2003); Tegunov & Cramer, Nat. Methods 16 (2019); Zheng et al., J. Struct.
Biol. X 6 (2022) for tilt series.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.fit_pictures import fit_picture
from emtomo.compute.optics.plane_fit import SpecimenPlane, fit_plane
from emtomo.compute.optics.ring_fit import RingFit, curve_correlation
from emtomo.compute.optics.tile_rings import TileRings, draw_power, incline, measure_tiles
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles
from emtomo.errors import EmtomoError

CLEAR = 5.5  # standard deviations of a tilt's score, at which it shows rings whatever its neighbours show
WEAK = 3.5  # and at which it does where the defocus is near that of its neighbours
NEAR = 2.0  # typical changes of defocus that are near
LEAST_HAND = 4.0  # standard deviations between the hands, below which neither is certain
SURE = 12.0  # and from which on one is sure, whatever the plane of the specimen
LEAST_DIFFERENCE = 0.005  # of the rings that the hands must not share, for a tilt to tell them apart
SEEN = 1.0  # degrees by which the specimen must be inclined, for the pictures to be made anew
FLAT = SpecimenPlane(np.zeros(2), np.full(2, np.nan), 0.0)


@dataclass(frozen=True)
class CtfEstimate:
    """The CTF of every tilt, and how well it fits.

    Attributes
    ----------
    ctf : Ctf
        Of shape (n,); tilts that are not `fitted` have values between those of their neighbours in angle.
    fitted : (n,) bool array
        False for excluded tilts and those without rings.
    significance : (n,) array
        The score in standard deviations of the scores of all defoci; 0 where the tilt is excluded.
    correlation : (n,) array
        Of the measured rings, brought to equal phase, with the fitted ones; NaN where excluded.
    resolution : (n,) array
        Å to which rings fit; NaN where they do not.
    hand : int
        1 or -1.
    hand_certainty : float
        Standard deviations by which the hand 1 fits better (negative: -1).
    plane : SpecimenPlane
        How the specimen lies in the tomogram.
    frequency : (k,) array
        1/Å of the curves.
    measured, model : (n, k) arrays
        Rings at equal phase without background, and those of the CTF.
    pictures : (n, s, s) float32 array
        Power at equal phase on the left and fitted rings on the right; 0 where excluded. See :func:`fit_picture`.
    """

    ctf: Ctf
    fitted: np.ndarray
    significance: np.ndarray
    correlation: np.ndarray
    resolution: np.ndarray
    hand: int
    hand_certainty: float
    plane: SpecimenPlane
    frequency: np.ndarray
    measured: np.ndarray
    model: np.ndarray
    pictures: np.ndarray

    @property
    def hand_is_certain(self) -> bool:
        """Whether one hand fits clearly better than the other."""
        return abs(self.hand_certainty) >= LEAST_HAND


def estimate_ctf(
    images: Callable[[int], np.ndarray],
    geometry: TiltGeometry,
    options: CtfEstimationOptions,
    *,
    voltage: float = 300.0,
    cs: float = 2.7,
    amplitude_contrast: float = 0.1,
    on_progress: Callable[[int], None] | None = None,
) -> CtfEstimate:
    """Estimate the CTF of the images of a tilt series.

    Parameters
    ----------
    images : callable
        Number of a tilt, from 0, to its (y, x) image; those that are excluded are not read.
    geometry : TiltGeometry
        With a pixel size. Its CTF is not used, its hand where neither hand is certain.
    options : CtfEstimationOptions
    voltage, cs, amplitude_contrast : float
        kV, mm, fraction.
    on_progress : callable, optional
        Called with the number of images that were read.

    Raises
    ------
    EmtomoError
        If no tilt is used, an image is flat, not finite or of another size, too few rings lie between the
        resolutions, or no image shows rings.
    """
    used = np.flatnonzero(~geometry.excluded)
    if not len(used):
        raise EmtomoError("all tilts are excluded; nothing is left to estimate the CTF from.")
    if not np.isfinite(geometry.pixel_size) or geometry.pixel_size <= 0:
        raise EmtomoError("the pixel size of the tilt images is not known.")
    if options.max_defocus <= options.min_defocus:
        raise EmtomoError(
            f"Maximum defocus must be larger than the minimum ({options.min_defocus:g} Å), "
            f"got {options.max_defocus:g} Å."
        )
    optics = Ctf.of_defocus(
        0.0, cs=cs, amplitude_contrast=amplitude_contrast, voltage=voltage, phase_shift=options.phase_shift
    )
    tiles = measure_tiles(images, geometry, options, optics, on_progress)
    fits, planes, certainty = _fit_hands(tiles, geometry, options)
    if options.hand == "estimate" and abs(certainty) >= LEAST_HAND:
        hand = 1 if certainty > 0 else -1
    else:
        hand = geometry.hand
    power = tiles.pictures
    if np.abs(planes[hand].angles).max() >= SEEN:
        power = draw_power(tiles, images, incline(geometry, planes[hand].angles))
    return _estimate(fits[hand], planes[hand], power, geometry, options, hand, certainty)


def _fit_hands(
    tiles: TileRings, geometry: TiltGeometry, options: CtfEstimationOptions
) -> tuple[dict[int, RingFit], dict[int, SpecimenPlane], float]:
    """Return fits and planes for both hands, and by how many standard deviations the hand 1 fits better.

    Where one hand is sure before, or given, the plane of the other is not looked for.
    """
    flat = tiles.combine(geometry)
    overlap = flat.hand_overlap()
    fits = {hand: RingFit(flat, hand, options).fit() for hand in (1, -1)}
    planes = dict.fromkeys(fits, FLAT)
    certainty = _hand_certainty(fits[1].significance, fits[-1].significance, overlap)
    if options.specimen_plane != "estimate":
        return fits, planes, certainty
    likely = {1 if certainty > 0 else -1} if abs(certainty) >= SURE else {1, -1}
    if options.hand == "keep" or len(tiles.tilts) == 1:  # one image does not tell the hands apart
        likely = {geometry.hand}
    for hand in likely:
        planes[hand] = fit_plane(tiles, fits[hand], geometry, options.max_inclination)
        if planes[hand].is_certain:
            inclined = tiles.combine(incline(geometry, planes[hand].angles))
            fits[hand] = RingFit(inclined, hand, options).fit()
    return fits, planes, _hand_certainty(fits[1].significance, fits[-1].significance, overlap)


def _interpolate(angles: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values at angles between those of known ones, beyond them the nearest."""
    place = np.argsort(known, kind="stable")
    return np.interp(angles, known[place], values[place])


def _hand_certainty(plus: np.ndarray, minus: np.ndarray, overlap: np.ndarray) -> float:
    """Return by how many standard deviations (n,) scores with the hand 1 are higher than those with -1.

    Every tilt counts by the difference that its rings and heights make one expect; the noise of both scores is the same
    as far as they overlap.
    """
    differ = np.where(1 - overlap > LEAST_DIFFERENCE, 1 - overlap, 0.0)
    weight = np.maximum(np.maximum(plus, minus) - WEAK, 0) * differ
    noise = np.sqrt((weight**2 * 2 * differ).sum())
    return float((weight * (plus - minus)).sum() / noise) if noise > 0 else 0.0


def _estimate(
    fit: RingFit,
    plane: SpecimenPlane,
    power: list[np.ndarray],
    geometry: TiltGeometry,
    options: CtfEstimationOptions,
    hand: int,
    certainty: float,
) -> CtfEstimate:
    """Return the result for all tilts: those without rings, and excluded ones, from their neighbours in angle."""
    n, angles, spectra = len(geometry), tilt_angles(geometry.rotations)[:, 1], fit.spectra
    used = np.flatnonzero(~geometry.excluded)
    resolution = fit.resolution()
    good = (fit.significance >= CLEAR) & np.isfinite(resolution)
    if not good.any():
        raise EmtomoError(
            f"no image shows rings of the CTF between {options.low_resolution:g} and {options.high_resolution:g} Å at "
            f"{options.min_defocus:g} to {options.max_defocus:g} Å defocus."
        )
    expected = _interpolate(angles[used], angles[used[good]], fit.defocus[good])
    near = np.abs(fit.defocus - expected) <= NEAR * options.defocus_change
    good |= (fit.significance >= WEAK) & near
    fitted = np.zeros(n, bool)
    fitted[used[good]] = True

    def complete(values: np.ndarray) -> np.ndarray:
        """Return values of the used tilts: as fitted where the fit is good, else interpolated."""
        out = _interpolate(angles, angles[used[good]], values[good])
        out[used[good]] = values[good]
        return out

    def whole(values: np.ndarray, empty: float) -> np.ndarray:
        """Return values of the used tilts in their places among all, `empty` in the others."""
        out = np.full((n, *values.shape[1:]), empty)
        out[used] = values
        return out

    defocus, ax, ay = (complete(v) for v in (fit.defocus, *fit.astigmatism.T))
    difference = np.hypot(ax, ay)
    ctf = Ctf(
        defocus + difference / 2,
        defocus - difference / 2,
        angle=np.rad2deg(np.arctan2(ay, ax)) / 2 % 180,
        phase_shift=np.full(n, fit.phase_shift),
        cs=spectra.optics.cs,
        amplitude_contrast=spectra.optics.amplitude_contrast,
        voltage=spectra.optics.voltage,
    )
    measured, model = fit.curves()
    left = spectra.attenuation * spectra.window_factors(defocus[used])[0]
    parts = zip(power, used, left, strict=True)
    pictures = np.stack([fit_picture(one, ctf[t], a, spectra.grid) for one, t, a in parts])
    return CtfEstimate(
        ctf=ctf,
        fitted=fitted,
        significance=whole(fit.significance, 0.0),
        correlation=whole(curve_correlation(measured, model, spectra), np.nan),
        resolution=whole(resolution, np.nan),
        hand=hand,
        hand_certainty=certainty,
        plane=plane,
        frequency=spectra.grid.frequency,
        measured=whole(measured, np.nan),
        model=whole(model, np.nan),
        pictures=whole(pictures, 0.0).astype(np.float32),
    )
