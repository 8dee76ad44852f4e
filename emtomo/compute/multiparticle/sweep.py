"""One sweep over all images of a series: log likelihood, gradient and Fisher information of every image."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from emtomo.compute.device import threads
from emtomo.compute.fourier.padded_reference import PAD
from emtomo.compute.multiparticle.images import SpeciesImages
from emtomo.compute.multiparticle.state import SeriesState, image_places
from emtomo.compute.optics.ctf import Ctf, wavelength

ROTATION, SHIFT, DEFOCUS = slice(0, 3), slice(3, 5), 5  # where they stand among an image's parameters
BASIC, OPTICS, MAGNIFICATION = 6, 4, 4  # numbers of them: the first three, further optics, magnification
BLOCKS = 8  # of particles, for every thread


class SweepStatistics(NamedTuple):
    """What a sweep finds; q parameters of an image.

    In this order: rotation about the image's axes (3, radians), shift (2, Å), defocus (Å); with optics also the two
    parts of the astigmatism (Å, half of U - V times cosine and sine of twice the angle), phase (radians) and Cs (mm);
    with magnification its xx, xy, yx, yy.

    Attributes
    ----------
    score : (p, t) array
        Log likelihood against no particle.
    gradient : (p, t, q) array
    information : (p, t, q, q) array
    """

    score: np.ndarray
    gradient: np.ndarray
    information: np.ndarray


@dataclass(frozen=True)
class ImageModel:
    """Noise and amplitude of one species' images.

    Attributes
    ----------
    inverse_noise : (t, s) array
        1 / standard deviation of the noise in every shell of every tilt.
    amplitude : (2, s) array
        By which the references of the halves are multiplied in every shell.
    weights : (t, s) array
        What dose and thickness leave of the amplitude.
    factor : (p,) array
        Of every particle's amplitude.
    precision : (s,) array
        1 / variance of the mean amplitude of both halves.
    """

    inverse_noise: np.ndarray
    amplitude: np.ndarray
    weights: np.ndarray
    factor: np.ndarray
    precision: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Optics:
    """Phases of the tilts' CTF at an image's packed frequencies.

    Attributes
    ----------
    phase : (t, n) float32 array
        Without the mean defocus.
    derivatives : (1 or 5, n) float32 array
        By mean defocus (Å), astigmatism (2, Å), phase (radians) and Cs (mm).
    """

    phase: np.ndarray
    derivatives: np.ndarray


def tabulate_optics(ctf: Ctf, images: SpeciesImages, *, all_of_them: bool) -> Optics:
    """Return the phases of the CTF of (t,) tilts at the images' frequencies.

    References
    ----------
    Mindell & Grigorieff, J. Struct. Biol. 142 (2003), Eq. 1 to 5; the same formula as :class:`.Ctf`.
    """
    k = images.coefficients.k[:, :2].astype(float) / (images.coefficients.size * images.pixel_size)
    square, turn = (k**2).sum(axis=1), 2 * np.arctan2(k[:, 1], k[:, 0])
    length = float(np.mean(wavelength(ctf.voltage)))
    by_defocus = np.pi * length * square
    rows = np.stack([
        by_defocus, by_defocus * np.cos(turn), by_defocus * np.sin(turn), np.ones(len(k)),
        -0.5e7 * np.pi * length**3 * square**2,
    ])  # fmt: skip
    every = ctf.shape[0]
    half = (np.asarray(ctf.defocus_u, float) - ctf.defocus_v) / 2
    angle = 2 * np.deg2rad(np.asarray(ctf.angle, float))
    values = np.stack(
        [
            np.broadcast_to(value, (every,))
            for value in (
                half * np.cos(angle),
                half * np.sin(angle),
                np.arcsin(np.asarray(ctf.amplitude_contrast, float)) + np.deg2rad(np.asarray(ctf.phase_shift, float)),
                np.asarray(ctf.cs, float),
            )
        ],
        axis=1,
    )
    return Optics((values @ rows[1:]).astype(np.float32), rows[: 5 if all_of_them else 1].astype(np.float32))


def sweep(
    images: SpeciesImages,
    state: SeriesState,
    model: ImageModel,
    *,
    slopes: bool = True,
    optics: bool = False,
    magnification: bool = False,
    used: np.ndarray | None = None,
    device: str = "cpu",
) -> SweepStatistics:
    """Compare all images of one species with their own half's reference.

    Parameters
    ----------
    images : SpeciesImages
    state : SeriesState
        Of the same particles.
    model : ImageModel
    slopes : bool
        Whether gradients and information are wanted, or the log likelihood alone.
    optics, magnification : bool
        Whether the derivatives by them are.
    used : (p, t) bool array, optional
        Fewer images than those the particles have.
    device : {"cpu", "cuda", "cuda:N"}
    """
    from emtomo.compute.kernels import image_fit_cpu

    arguments = _arguments(images, state, used, optics)
    q = (BASIC + OPTICS * optics + MAGNIFICATION * magnification) * slopes
    band = images.coefficients.shell
    inverse = np.ascontiguousarray(model.inverse_noise[:, band], np.float32)
    amplitude = (model.amplitude[:, None] * model.weights[None])[..., band] * inverse
    weighting = inverse, amplitude.astype(np.float32), model.factor.astype(np.float32)
    score = np.zeros(images.used.shape)
    gradient, information = np.zeros((*score.shape, q)), np.zeros((*score.shape, q, q))
    everything: tuple[Any, ...] = *arguments.images, *arguments.places, *arguments.optics, *weighting, magnification
    if device == "cpu":

        def work(first: int, last: int) -> None:
            """Correlate the images from `first` to before `last`."""
            image_fit_cpu.fit_images(first, last, *everything, score, gradient, information)

        _in_blocks(work, len(images))
    else:
        from emtomo.compute.multiparticle.sweep_cuda import fit_on_device

        fit_on_device(device, everything, (score, gradient, information))
    if q:
        pixels = 1 / images.pixel_size
        gradient[..., SHIFT] *= pixels
        information[..., SHIFT, :] *= pixels
        information[..., SHIFT] *= pixels
    return SweepStatistics(score, gradient, information)


def correlate(images: SpeciesImages, state: SeriesState, used: np.ndarray | None = None) -> np.ndarray:
    """Return (p, t, s, 3) sums over shells of X V*, of the power of V and of X.

    X are the images as they are, V the sections times the CTF, without weights.
    """
    from emtomo.compute.kernels import image_fit_cpu

    a = _arguments(images, state, used, optics=False)
    out = np.zeros((*images.used.shape, int(images.coefficients.shell.max()) + 1, 3))
    shell = images.coefficients.shell

    def work(first: int, last: int) -> None:
        """Fill in the sums of some images."""
        image_fit_cpu.correlate_images(first, last, *a.images, *a.places, *a.optics, shell, out)

    _in_blocks(work, len(images))
    return out


@dataclass(frozen=True)
class Arguments:
    """What the kernels take, in their order.

    Attributes
    ----------
    images : tuple
        References, padding, frequencies, data, which images are used, which reference is a particle's.
    places : tuple
        Rotations, magnification, shifts in pixels, size.
    optics : tuple
        Phase, its derivatives, defocus of every image.
    """

    images: tuple[Any, ...]
    places: tuple[Any, ...]
    optics: tuple[Any, ...]


def _arguments(images: SpeciesImages, state: SeriesState, used: np.ndarray | None, optics: bool) -> Arguments:
    seen, geometry, size = image_places(state), state.geometry, images.coefficients.size
    assert geometry.ctf is not None
    shifts = np.zeros((*images.used.shape, 3))
    shifts[..., :2] = (seen.places - images.corners) / images.pixel_size
    defocus = np.broadcast_to(geometry.ctf.defocus, (len(geometry),)) + geometry.hand * seen.heights
    magnification = np.eye(2) if geometry.magnification is None else geometry.magnification
    table = tabulate_optics(geometry.ctf, images, all_of_them=optics)
    chosen = images.used if used is None else images.used & used
    return Arguments(
        (images.references.transforms, np.float32(PAD), images.coefficients.k, images.data,
         np.ascontiguousarray(chosen), (images.half - 1).astype(np.int64)),
        (seen.rotations.astype(np.float32), magnification.astype(np.float32), shifts, size),
        (table.phase, table.derivatives, defocus.astype(np.float32)),
    )  # fmt: skip


def _in_blocks(work: Callable[[int, int], None], count: int) -> None:
    """Call `work` with first and last + 1 of blocks of particles, on all threads."""
    blocks = max(1, min(count, threads() * BLOCKS))
    edges = np.linspace(0, count, blocks + 1).astype(int)
    if threads() == 1 or blocks == 1:
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            work(int(first), int(last))
        return
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(lambda pair: work(int(pair[0]), int(pair[1])), zip(edges[:-1], edges[1:], strict=True)))
