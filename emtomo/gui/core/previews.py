"""Pictures of what a parameter will do, before anything runs; the values come from compute, this only chooses them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.compute.fourier.filters import lowpass
from emtomo.compute.masks import MaskOptions, create_mask
from emtomo.compute.slices import contrast_limits, draw_slice, smooth
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.gui.core.wizards import Texts, input_of
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms

LARGEST = 256  # voxels that a preview works on


@dataclass(frozen=True)
class Preview:
    """One parameter's preview.

    Attributes
    ----------
    title, unit : str
    low, high, value : float
        Of the slider.
    draw : callable
        value → two pictures, before and after, `(y, x)` uint8 or `(y, x, 3)`, and a sentence.
    """

    title: str
    unit: str
    low: float
    high: float
    value: float
    draw: Callable[[float], tuple[np.ndarray, np.ndarray, str]]


def has_preview(protocol: str, name: str) -> bool:
    """Return whether a field has a preview."""
    return (protocol, name) in _PREVIEWS


def preview(project: EmtomoProject, protocol: str, name: str, texts: Texts) -> Preview:
    """Return the preview of a field; called in the project's thread.

    Raises
    ------
    EmtomoError
        If the input that it works on is not there.
    """
    source, make = _PREVIEWS[protocol, name]
    label = {"tomograms": "the tomograms", "reference": "the reference", "average": "the average"}.get(
        source, "the volume"
    )
    value = input_of(project, texts, source, label)
    volume, size = _volume(value, Path(project.path))
    return make(volume, size, texts, name)


def _volume(value: Any, project: Path) -> tuple[np.ndarray, float]:
    if isinstance(value, SetOfTomograms):
        file = project / str(value.frame(["file"])["file"].iloc[0])
        whole = mrc.open_volume(file)
        return np.asarray(whole[whole.shape[0] // 2], np.float32)[None], float(value.pixel_size.get())
    volume = mrc.read_volume(project / str(value.file.get()))
    if max(volume.shape) > LARGEST:
        start = [max(0, (n - LARGEST) // 2) for n in volume.shape]
        volume = volume[tuple(slice(s, s + LARGEST) for s in start)]
    return np.asarray(volume, np.float32), float(value.pixel_size.get() or 1.0)


def _number(texts: Texts, name: str, otherwise: float) -> float:
    try:
        return float(texts.get(name, "") or otherwise)
    except ValueError:
        return otherwise


def _grey(plane: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    return draw_slice(plane, 0, 0, 1.0, limits or contrast_limits(plane), plane.shape)[::-1]  # type: ignore[arg-type]


def _lowpass(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    if len({*volume.shape}) != 1:
        raise EmtomoError(f"The preview needs a cubic volume, this is {'×'.join(map(str, volume.shape[::-1]))}.")
    middle = volume[len(volume) // 2]
    limits = contrast_limits(middle)

    def draw(resolution: float) -> tuple[np.ndarray, np.ndarray, str]:
        filtered = lowpass(volume, size, max(resolution, 2 * size))
        return _grey(middle, limits), _grey(filtered[len(volume) // 2]), f"low-pass at {resolution:.1f} Å"

    high = min(len(volume) * size / 3, 150.0)
    return Preview("Low-pass filter", "Å", 2 * size, max(high, 4 * size), _number(texts, name, 40.0) or 40.0, draw)


def _gauss(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    plane = volume[len(volume) // 2]

    def draw(sigma: float) -> tuple[np.ndarray, np.ndarray, str]:
        return _grey(plane), _grey(smooth(plane, sigma)), f"Gaussian of {sigma:.2f} voxels"

    return Preview("Gaussian filter", "voxel", 0.0, 5.0, _number(texts, name, 0.5), draw)


def _mask(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    def options(threshold: float) -> MaskOptions:
        return MaskOptions(
            threshold=threshold,
            lowpass=_number(texts, "lowpass", 0.0),
            extend=_number(texts, "extend", 3.0),
            soft_edge=_number(texts, "soft_edge", 6.0),
        )

    k = len(volume) // 2
    low, high = (float(v) for v in np.percentile(volume, [50, 99.9]))
    grey = _grey(volume[k])

    def draw(threshold: float) -> tuple[np.ndarray, np.ndarray, str]:
        mask = create_mask(volume, size, options(threshold))
        share = mask[k][::-1].clip(0, 1)
        tinted = np.repeat(grey[:, :, None], 3, axis=2).astype(np.float32)
        tinted = (
            tinted * (1 - 0.45 * share[:, :, None]) + np.array([230, 159, 0], np.float32) * 0.45 * share[:, :, None]
        )
        filled = float(mask.mean())
        return grey, tinted.astype(np.uint8), f"threshold {threshold:.4g}: {filled:.1%} of the box is inside"

    return Preview("Mask", "", low, high, _number(texts, name, (low + high) / 2), draw)


_PREVIEWS: dict[tuple[str, str], tuple[str, Callable[[np.ndarray, float, Texts, str], Preview]]] = {
    ("create-mask", "threshold"): ("volume", _mask),
    ("create-mask", "lowpass"): ("volume", _lowpass),
    ("refine-poses", "initial_lowpass"): ("reference", _lowpass),
    ("match-template", "lowpass"): ("reference", _lowpass),
    ("postprocess", "lowpass"): ("average", _lowpass),
    ("denoise-tomograms", "sigma"): ("tomograms", _gauss),
}
PREVIEWED = tuple(_PREVIEWS)
