"""The images as they are compared: grey scale, mask, transform and CTF."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from emtomo.compute.classification.half_plane import HalfPlane
from emtomo.compute.classification.references import soft_disc
from emtomo.compute.device import threads
from emtomo.compute.optics.ctf import Ctf
from emtomo.errors import EmtomoError
from emtomo.wording import count_text

EDGE = 3.0  # pixels, of the mask
LEAST_BOX = 16  # pixels
BLOCK = 256  # images that are transformed at a time


class ImageStack(Protocol):
    """Images that are read when they are asked for; it may travel to other processes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of an array (p, n, n)."""

    def __len__(self) -> int: ...

    def __getitem__(self, members: np.ndarray, /) -> np.ndarray:
        """Return the images (m, n, n) of these numbers."""


@dataclass(frozen=True)
class ImagePreparation:
    """How images become what is compared; it may travel to other processes, where a part of them is prepared.

    Attributes
    ----------
    source : (p, n, n) array or ImageStack
        Particles white.
    mask_radius : float
        Pixels.
    ctf : Ctf, optional
        Of all images.
    pixel_size : float
        Å.
    group : (p,) int array
        Images of one group share a noise spectrum and a contrast.
    zero_mask : bool
        Zeros outside of the mask; otherwise noise.
    ignore_first_peak : bool
        The CTF is 1 up to its first extremum.
    seed : int
        Of that noise.
    """

    source: np.ndarray | ImageStack
    mask_radius: float
    ctf: Ctf | None
    pixel_size: float
    group: np.ndarray
    zero_mask: bool
    ignore_first_peak: bool
    seed: int

    @cached_property
    def plane(self) -> HalfPlane:
        """The frequencies of an image."""
        return HalfPlane(self.source.shape[-1])

    @cached_property
    def mask(self) -> np.ndarray:
        """The disc (n, n) that holds the particle."""
        n = self.plane.size
        return soft_disc(n, min(self.mask_radius, n / 2 - EDGE), EDGE)

    @property
    def fill(self) -> float:
        """Share of the frequencies that are independent: zeros beyond the mask add no measurement."""
        return float(np.mean(self.mask**2)) if self.zero_mask else 1.0

    def ctf_values(self, numbers: np.ndarray) -> np.ndarray | None:
        """Return the CTF (m, N) of some images."""
        if self.ctf is None:
            return None
        step = 1 / (self.plane.size * self.pixel_size)
        kx, ky = self.plane.kx * step, self.plane.ky * step
        out = np.empty((len(numbers), len(self.plane)), np.float32)
        for first in range(0, len(out), BLOCK):
            part = slice(first, first + BLOCK)
            out[part] = self.ctf[numbers[part]].values(kx, ky, ignore_first_peak=self.ignore_first_peak)
        return out


class MaskedImages:
    """Images moved to their centres by whole pixels, masked and transformed; what is known is kept.

    Parameters
    ----------
    preparation : ImagePreparation
    numbers : (m,) int array, optional
        Of the images that are taken, all by default; methods count from the first of these.

    Raises
    ------
    EmtomoError
        If there is no image, one is too small or not square, or holds values that are not numbers.
    """

    def __init__(self, preparation: ImagePreparation, numbers: np.ndarray | None = None) -> None:
        check_shape(preparation.source.shape)
        self.preparation = preparation
        self.numbers = np.arange(len(preparation.source)) if numbers is None else numbers
        source = preparation.source
        images = source if numbers is None and isinstance(source, np.ndarray) else source[self.numbers]
        check_values(images)
        self.plane, self.mask, self.zero_mask = preparation.plane, preparation.mask, preparation.zero_mask
        self.group = preparation.group[self.numbers]
        self.images = grey_scaled(images, self.mask)
        self.ctf = preparation.ctf_values(self.numbers)
        self.fill = preparation.fill
        self.spectra = np.zeros((len(images), len(self.plane)), np.complex64)
        self.place = np.full((len(images), 2), np.iinfo(np.int32).max)
        self._noise: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def centre(self, members: np.ndarray, centres: np.ndarray, noise: np.ndarray | None = None) -> None:
        """Transform the images of `members` with the pixels nearest to `centres` (m, 2; x, y) in the middle.

        `noise` (groups, shells) are the spectra of what fills the outside, where that is wanted.
        """
        place = np.rint(centres).astype(int)
        stale = np.any(self.place[members] != place, axis=1)
        if not self.zero_mask and (noise is None or self._noise is None or not np.array_equal(noise, self._noise)):
            stale[:] = True
            self._noise = noise
            self.place[:] = np.iinfo(np.int32).max
        members, place = members[stale], place[stale]
        parts = [slice(first, first + BLOCK) for first in range(0, len(members), BLOCK)]
        with ThreadPoolExecutor(threads()) as pool:
            list(pool.map(lambda part: self._transform(members[part], place[part]), parts))

    def _transform(self, members: np.ndarray, place: np.ndarray) -> None:
        images = move_whole_pixels(self.images[members], -place) * self.mask
        if not self.zero_mask:
            images += np.stack([self._outside(i) for i in members]) * (1 - self.mask)
        for i, image in zip(members, images, strict=True):  # alone: libraries round by how many they transform at once
            self.spectra[i] = self.plane.transform(image)
        self.place[members] = place

    def _outside(self, i: int) -> np.ndarray:
        """Return noise that belongs to image `i`."""
        n = self.plane.size
        white = np.random.default_rng((self.preparation.seed, 7, int(self.numbers[i]))).standard_normal(
            (n, n), np.float32
        )
        if self._noise is None:
            return white
        spectrum = np.sqrt(self._noise[self.group[i]])[self.plane.shell].astype(np.float32)
        return self.plane.image(self.plane.transform(white[None]) * spectrum)[0]

    def phase_flipped(self, members: np.ndarray) -> np.ndarray:
        """Return images (m, n, n) whose CTF has one sign."""
        spectra = self.spectra[members]
        return self.plane.image(spectra if self.ctf is None else spectra * np.sign(self.ctf[members]))


def check_shape(shape: tuple[int, ...]) -> None:
    """Raise an error unless images of this shape can be classified."""
    if len(shape) != 3 or shape[1] != shape[2]:
        raise EmtomoError(f"Images must be a stack of squares (p, n, n), got an array of shape {shape}.")
    if shape[0] == 0:
        raise EmtomoError("There are no images to classify.")
    if shape[1] < LEAST_BOX:
        raise EmtomoError(f"Images must have at least {LEAST_BOX} pixels a side, they have {shape[1]}.")


def check_values(images: np.ndarray) -> None:
    """Raise an error unless all images hold numbers."""
    bad = np.array([not np.isfinite(image).all() for image in images])
    if bad.any():
        raise EmtomoError(
            f"{int(bad.sum())} of {count_text(len(images), 'image')} "
            "hold values that are not numbers; the first is image "
            f"{int(np.argmax(bad)) + 1}."
        )


def grey_scaled(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return float32 images whose mean is 0 and standard deviation 1 outside the mask (inside, where it fills all).

    Raises
    ------
    EmtomoError
        If an image is constant there.
    """
    outside = mask == 0 if np.count_nonzero(mask == 0) >= mask.size // 20 else np.ones(mask.shape, bool)
    out = np.empty(images.shape, np.float32)
    for first in range(0, len(images), BLOCK):
        block = np.asarray(images[first : first + BLOCK], np.float32)
        background = block[:, outside].astype(float)
        mean, deviation = background.mean(1), background.std(1)
        if not deviation.all():
            flat = first + int(np.argmin(deviation))
            raise EmtomoError(f"Image {flat + 1} is constant outside the mask: there is no noise to compare it with.")
        out[first : first + BLOCK] = (block - mean[:, None, None]) / deviation[:, None, None]
    return out


def move_whole_pixels(images: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return images (m, n, n) moved by whole pixels (m, 2; x, y); zeros come in."""
    out = np.zeros_like(images)
    n = images.shape[-1]
    for image, moved, (x, y) in zip(images, out, by, strict=True):
        rows, columns = (slice(max(0, d), max(0, n + min(0, d))) for d in (y, x))
        from_rows, from_columns = (slice(max(0, -d), max(0, n - max(0, d))) for d in (y, x))
        moved[rows, columns] = image[from_rows, from_columns]
    return out
