"""Whether a tilt series' geometry fits positions of particles: what its images show there, beside wrong geometries."""

from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.fourier.transforms import irfft2, rfft2
from emtomo.compute.tilt.geometry import TiltGeometry, tilt_angles, tilt_rotations
from emtomo.compute.tilt.particle_images import PreparedSeries
from emtomo.errors import EmtomoError

GIVEN = "as given"
OPPOSITE = "tilt angles of the opposite sign (or z of the positions mirrored)"
AXIS = "tilt axis at minus its angle"
HALF_TURN = "tilt axis turned by 180°"
QUARTER_TURN, BACK_TURN = "tilt axis turned by 90°", "tilt axis turned by -90°"
EXCHANGED = "x and y of the positions exchanged"
IMAGES = {  # what other programs do to images: the matrix that takes places in them to those of the metadata
    "the images mirrored along x": np.diag([-1.0, 1.0, 1.0]),
    "the images mirrored along y": np.diag([1.0, -1.0, 1.0]),
    "x and y of the images exchanged": np.eye(3)[[1, 0, 2]],
}
SHUFFLES = 60  # of the positions, to see what chance gives
LEAST = 5.0  # standard deviations of a geometry that fits
BETTER = 4.0  # standard deviations by which another geometry must fit better to be said


@dataclass(frozen=True)
class AlignmentCheck:
    """How well the geometry of one series fits.

    Attributes
    ----------
    scores : dict of float
        For every geometry that was tried the mean density at the particles, in standard deviations of what places
        without particles give.
    means : (t, n, n) float32 array
        Mean image of the particles in every tilt, at the positions that the geometry gives.
    contrast : (t,) array
        Score of every tilt by itself.
    offsets : (t, 2) array
        x, y in Å from the mean image's centre to where its density is highest; NaN where nothing stands out.
    positions : (t, p, 2) array
        x, y in Å from the images' centre.
    """

    scores: dict[str, float]
    means: np.ndarray
    contrast: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray

    @property
    def fits(self) -> bool:
        """Whether the images show particles where the geometry says."""
        return self.scores[GIVEN] >= LEAST

    @property
    def better(self) -> str:
        """The geometry that fits clearly better than the given one; empty if none does."""
        best = max(self.scores, key=lambda name: self.scores[name])
        clearly = self.scores[best] >= max(LEAST, self.scores[GIVEN] + BETTER)
        return best if clearly and best != GIVEN else ""

    @property
    def hand_certainty(self) -> float:
        """By how many standard deviations the given sign of the tilt angles fits better than the opposite one."""
        return (self.scores[GIVEN] - self.scores[OPPOSITE]) / np.sqrt(2)

    def sentences(self, name: str) -> list[str]:
        """Return in words whether the geometry of the series `name` fits."""
        given = self.scores[GIVEN]
        if self.better:
            return [
                f"{name}: the geometry does not fit the positions ({given:.1f} standard deviations); with "
                f"{self.better} it would ({self.scores[self.better]:.1f}). Check metadata and positions first."
            ]
        if not self.fits:
            return [
                f"{name}: the images do not show particles where the geometry says ({given:.1f} standard deviations; "
                f"{LEAST:g} are needed), nor with any other geometry that was tried. Positions and tilt series may not "
                "belong together, or there are too few particles to tell."
            ]
        out = [f"{name}: the geometry fits the positions ({given:.1f} standard deviations)."]
        if self.hand_certainty < BETTER:
            out.append(f"{name}: the sign of the tilt angles is not certain ({self.hand_certainty:.1f}).")
        return out


def check_alignment(series: PreparedSeries, points: np.ndarray) -> AlignmentCheck:
    """Return how well a series' geometry fits (p, 3) positions in Å from the volume's centre.

    Every image is filtered with a disc of the particles' diameter less its surroundings, and divided by its standard
    deviation. What the sum of its values at the particles is by chance is measured at positions whose x, y and z were
    shuffled among the particles.

    Parameters
    ----------
    series : PreparedSeries
        White particles; a pixel size of about a tenth of the particle is enough.
    points : array

    Raises
    ------
    EmtomoError
        If the images say nothing at the positions.
    """
    points = np.asarray(points, float)
    filtered = [_filter(image.values, series.options.particle_diameter, series.options.pixel_size)
                for image in series.images]  # fmt: skip
    rng = np.random.default_rng(0)
    shuffled = [np.stack([rng.permutation(c) for c in points.T], axis=1) for _ in range(SHUFFLES)]
    chance = np.stack([_sample(series, filtered, series.geometry, one) for one in shuffled])
    spread = max(float(chance.sum(axis=1).std()), 1e-30)
    scores, contrast = {}, np.zeros(len(filtered))
    for name, (geometry, places) in _alternatives(series.geometry, points).items():
        values = _sample(series, filtered, geometry, places)
        scores[name] = float((values.sum() - chance.sum(axis=1).mean()) / spread)
        if name == GIVEN:
            contrast = (values - chance.mean(axis=0)) / np.maximum(chance.std(axis=0), 1e-30)
    if not all(np.isfinite(score) for score in scores.values()):
        raise EmtomoError(
            f"There is nothing to compare in images of {filtered[0].shape[1]} x {filtered[0].shape[0]} pixels of "
            f"{series.options.pixel_size:.4g} Å: no particle lies in them, or their values are too large or all equal."
        )
    positions = series.geometry.project(points)[:, :, :2]
    means = _mean_images(series, positions)
    return AlignmentCheck(scores, means, contrast, _offsets(series, means, contrast), positions)


def _alternatives(geometry: TiltGeometry, points: np.ndarray) -> dict[str, tuple[TiltGeometry, np.ndarray]]:
    axis, angle, x_tilt = tilt_angles(geometry.rotations).T

    def with_angles(axis: np.ndarray, angle: np.ndarray) -> TiltGeometry:
        """Return the geometry with another axis and other tilt angles."""
        return replace(geometry, rotations=tilt_rotations(angle, axis, x_tilt))

    def of_images(change: np.ndarray) -> TiltGeometry:
        """Return the geometry of images that were mirrored or transposed."""
        return replace(geometry, rotations=change @ geometry.rotations, shifts=geometry.shifts @ change[:2, :2].T)

    return {
        GIVEN: (geometry, points),
        OPPOSITE: (with_angles(axis, -angle), points),
        AXIS: (with_angles(-axis, angle), points),
        HALF_TURN: (with_angles(axis + 180.0, angle), points),
        QUARTER_TURN: (with_angles(axis + 90.0, angle), points),
        BACK_TURN: (with_angles(axis - 90.0, angle), points),
        EXCHANGED: (geometry, points[:, [1, 0, 2]]),
        **{name: (of_images(change), points) for name, change in IMAGES.items()},
    }


def _filter(image: np.ndarray, diameter: float, pixel_size: float) -> np.ndarray:
    """Return an image's correlation with a disc less the ring about it, of deviation 1."""
    rows, columns = image.shape
    y, x = np.fft.fftfreq(rows) * rows, np.fft.fftfreq(columns) * columns
    distance = np.hypot(x[None, :], y[:, None]) * pixel_size / (diameter / 2)
    disc, ring = (distance <= 0.8).astype(np.float32), ((distance > 1) & (distance <= 1.6)).astype(np.float32)
    kernel = disc / max(disc.sum(), 1) - ring / max(ring.sum(), 1)
    out = irfft2(rfft2(image) * rfft2(kernel).conj(), (rows, columns))
    out -= out.mean()
    return np.asarray(out / max(float(out.std()), 1e-30), np.float32)


def _sample(
    series: PreparedSeries, filtered: list[np.ndarray], geometry: TiltGeometry, points: np.ndarray
) -> np.ndarray:
    """Return (t,) sums of filtered values at the particles that lie in the image."""
    seen = geometry.project(points)[:, :, :2]
    sums = np.zeros(len(filtered))
    for t, (image, values) in enumerate(zip(series.images, filtered, strict=True)):
        place = np.rint(image.centre + seen[t] / image.pixel_size).astype(int)
        inside = ((place >= 0) & (place < [values.shape[1], values.shape[0]])).all(axis=1)
        sums[t] = values[place[inside, 1], place[inside, 0]].sum(dtype=float)
    return sums


def _mean_images(series: PreparedSeries, positions: np.ndarray) -> np.ndarray:
    n = series.options.box_size
    out = np.zeros((len(series.images), n, n), np.float32)
    for t, image in enumerate(series.images):
        for position in positions[t]:
            out[t] += image.window(position, n)[0]
    return out / np.float32(max(1, positions.shape[1]))


def _offsets(series: PreparedSeries, means: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Return where each mean image is densest within a quarter of the box, from its centre."""
    pixel, n = series.options.pixel_size, means.shape[1]
    out, reach = np.full((len(means), 2), np.nan), max(1, n // 4)
    middle = slice(n // 2 - reach, n // 2 + reach + 1)
    for t in np.flatnonzero(contrast >= LEAST / 2):
        near = _filter(means[t], series.options.particle_diameter, pixel)[middle, middle]
        y, x = np.unravel_index(int(near.argmax()), near.shape)
        out[t] = (np.array([x, y]) - reach) * pixel
    return out
