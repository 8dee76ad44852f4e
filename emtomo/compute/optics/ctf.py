"""The contrast transfer function (CTF) of the microscope: one formula, one sign."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

ELECTRON_REST_ENERGY = 511.0  # keV
Contrast = Literal["white", "dark", "flipped"]
CONTRASTS = ("white", "dark", "flipped")


def wavelength(voltage: npt.ArrayLike) -> Any:
    """Return the relativistic wavelength of electrons in Å at `voltage` kV; scalar or array as given.

    References
    ----------
    Reimer & Kohl, Transmission electron microscopy (2008), Eq. 2.12; the constants are RELION's.
    """
    volts = np.asarray(voltage, float) * 1e3
    return 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))


def image_frequencies(shape: tuple[int, int], pixel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return kx (1, x // 2 + 1) and ky (y, 1) in 1/Å of the ``rfft2`` of images of `shape` (rows, columns)."""
    return np.fft.rfftfreq(shape[1], pixel_size)[None, :], np.fft.fftfreq(shape[0], pixel_size)[:, None]


class CtfDerivatives(NamedTuple):
    """Derivatives of the CTF at frequencies, each of the shape of :meth:`Ctf.values`.

    Attributes
    ----------
    defocus : array
        By the mean defocus, (U + V) / 2, per Å.
    astigmatism : array
        By U - V, per Å.
    angle : array
        By the astigmatism angle, per degree.
    phase_shift : array
        Per degree.
    cs : array
        Per mm.
    """

    defocus: np.ndarray
    astigmatism: np.ndarray
    angle: np.ndarray
    phase_shift: np.ndarray
    cs: np.ndarray


@dataclass(frozen=True)
class Ctf:
    """The contrast transfer function of one image, or of an array of images.

    CTF(k) = s exp(-B k²/4) sin(π λ Δ(φ) k² - π/2 Cs λ³ k⁴ + asin(A) + p), where the defocus along the direction φ of
    the frequency is Δ(φ) = (U + V)/2 + (U - V)/2 cos 2(φ - angle). The sign is that of *white* protein: positive at low
    frequency and underfocus, as RELION and Warp have it. Images as the camera takes them show dark protein: ask with
    ``contrast="dark"``; for images whose phases were flipped (or \\|CTF\\|) with ``contrast="flipped"``.

    Attributes
    ----------
    defocus_u, defocus_v : float or (...) array
        Å, underfocus positive: along `angle`, and perpendicular to it.
    angle : float or (...) array
        Degrees from x towards y, in the image.
    phase_shift : float or (...) array
        Of a phase plate, degrees.
    cs : float or (...) array
        Spherical aberration, mm.
    amplitude_contrast : float or (...) array
        Fraction, 0 to 1.
    voltage : float or (...) array
        kV.
    scale : float or (...) array
        Factor of the amplitude, 1 for none.
    b_factor : float or (...) array
        Å², positive damps.

    References
    ----------
    Mindell & Grigorieff, J. Struct. Biol. 142 (2003), Eq. 1 to 5.
    """

    defocus_u: Any
    defocus_v: Any
    angle: Any = 0.0
    phase_shift: Any = 0.0
    cs: Any = 2.7
    amplitude_contrast: Any = 0.1
    voltage: Any = 300.0
    scale: Any = 1.0
    b_factor: Any = 0.0

    @classmethod
    def of_defocus(cls, defocus: npt.ArrayLike, **others: Any) -> "Ctf":
        """Return the CTF without astigmatism at `defocus` Å; `others` are the remaining attributes."""
        return cls(np.asarray(defocus, float), np.asarray(defocus, float), **others)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array of images; () for one."""
        return np.broadcast_shapes(*(np.shape(getattr(self, f.name)) for f in fields(self)))

    @property
    def defocus(self) -> np.ndarray:
        """The mean defocus in Å."""
        return (np.asarray(self.defocus_u, float) + self.defocus_v) / 2

    def __getitem__(self, index: Any) -> "Ctf":
        """Return the CTF of some of the images, indexed as an array of the shape `shape`."""
        shape = self.shape
        return Ctf(**{f.name: np.broadcast_to(getattr(self, f.name), shape)[index] for f in fields(self)})

    def with_defocus_added(self, defocus: npt.ArrayLike) -> "Ctf":
        """Return the CTF with `defocus` Å added to both axes; its shape and that of the images are broadcast."""
        return replace(
            self, defocus_u=self.defocus_u + np.asarray(defocus), defocus_v=self.defocus_v + np.asarray(defocus)
        )

    def values(
        self,
        kx: npt.ArrayLike,
        ky: npt.ArrayLike,
        *,
        contrast: Contrast = "white",
        dtype: npt.DTypeLike = np.float32,
        ignore_first_peak: bool = False,
    ) -> np.ndarray:
        """Return the CTF at frequencies.

        Parameters
        ----------
        kx, ky : arrays
            1/Å, broadcast against each other.
        contrast : {"white", "dark", "flipped"}
            "dark" has the opposite sign, "flipped" the size alone.
        dtype : dtype
            Of the result; the phase is computed in double precision.
        ignore_first_peak : bool
            Take the sine as 1 up to its first extremum (RELION's "ignore CTFs until first peak").

        Returns
        -------
        (..., *k) array
            The shape of the images, then that of the frequencies.
        """
        k2, _, phase, envelope = self._terms(kx, ky)
        sine = np.where(np.abs(phase) < np.pi / 2, 1.0, np.sin(phase)) if ignore_first_peak else np.sin(phase)
        return np.asarray(_signed(envelope * sine, contrast), dtype)

    def phase(self, kx: npt.ArrayLike, ky: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the phase in radians, whose sine :meth:`values` takes, and scale with envelope, at frequencies."""
        return self._terms(kx, ky)[2:]

    def image(self, shape: tuple[int, int], pixel_size: float, *, contrast: Contrast = "white") -> np.ndarray:
        """Return the float32 CTF in the order of ``rfft2`` of images of `shape` (rows, columns), Å a pixel."""
        return self.values(*image_frequencies(shape, pixel_size), contrast=contrast)

    def derivatives(
        self, kx: npt.ArrayLike, ky: npt.ArrayLike, *, contrast: Contrast = "white", dtype: npt.DTypeLike = np.float32
    ) -> CtfDerivatives:
        """Return the derivatives of :meth:`values` by the parameters that are refined; arguments as there."""
        k2, turn, phase, envelope = self._terms(kx, ky)
        length = _over(wavelength(self.voltage), k2.ndim)
        slope = envelope * np.cos(phase)
        if contrast == "flipped":
            slope = slope * np.where(np.sin(phase) * envelope < 0, -1, 1)
        elif _signed(1.0, contrast) < 0:
            slope = -slope
        by_defocus = slope * (np.pi * length * k2)
        astigmatism = _over(np.asarray(self.defocus_u, float) - self.defocus_v, k2.ndim)
        parts = (
            by_defocus,
            by_defocus * 0.5 * np.cos(turn),
            by_defocus * astigmatism * np.sin(turn) * np.deg2rad(1),
            slope * np.deg2rad(1),
            slope * (-0.5 * np.pi * 1e7 * length**3 * k2**2),
        )
        shape = np.broadcast_shapes(*(part.shape for part in parts))
        return CtfDerivatives(*(np.broadcast_to(np.asarray(part, dtype), shape) for part in parts))

    def _terms(self, kx: npt.ArrayLike, ky: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return k², twice the angle from the astigmatism's axis, the phase in radians, and scale with envelope."""
        x, y = np.broadcast_arrays(np.asarray(kx, float), np.asarray(ky, float))
        k2, n = x**2 + y**2, x.ndim
        length = _over(wavelength(self.voltage), n)
        u, v = (_over(a, n) for a in (self.defocus_u, self.defocus_v))
        turn = 2 * (np.arctan2(y, x) - np.deg2rad(_over(self.angle, n)))
        defocus = (u + v) / 2 + (u - v) / 2 * np.cos(turn)
        constant = np.arcsin(_over(self.amplitude_contrast, n)) + np.deg2rad(_over(self.phase_shift, n))
        phase = np.pi * length * defocus * k2 - 0.5 * np.pi * 1e7 * _over(self.cs, n) * length**3 * k2**2 + constant
        return k2, turn, phase, _over(self.scale, n) * np.exp(-0.25 * _over(self.b_factor, n) * k2)


def _over(values: npt.ArrayLike, dimensions: int) -> np.ndarray:
    """Return per-image values with axes for the frequencies behind."""
    array = np.asarray(values, float)
    return array.reshape(array.shape + (1,) * dimensions)


def _signed(values: Any, contrast: Contrast) -> Any:
    if contrast not in CONTRASTS:
        raise ValueError(f"contrast must be one of {', '.join(CONTRASTS)}, got {contrast!r}")
    return {"white": values, "dark": -values, "flipped": np.abs(values)}[contrast]
