"""Pictures of what a parameter will do, before anything runs; the values come from compute, this only chooses them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.compute.denoise import DenoiseOptions, denoise
from emtomo.compute.fourier.filters import lowpass
from emtomo.compute.masks import MaskOptions, create_mask
from emtomo.compute.slices import contrast_limits
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError
from emtomo.gui.core.import_preview import preview_files
from emtomo.gui.core.model_preview import preview_models
from emtomo.gui.core.preview import Maker, Preview, grey, options_of
from emtomo.gui.core.wizards import Texts, input_of
from emtomo.io import mrc
from emtomo.objects import SetOfTomograms
from emtomo.wording import count_text

LARGEST = 256  # voxels that a preview works on
MIDDLE = 24, 192, 192  # z, y, x; voxels of a tomogram that are denoised


def has_preview(protocol: str, name: str) -> bool:
    """Return whether a field has a preview."""
    return (protocol, name) in _MAKERS


def preview(project: EmtomoProject, protocol: str, name: str, texts: Texts, folder: Path = Path()) -> Preview:
    """Return the preview of a field; called in the project's thread.

    Parameters
    ----------
    project : EmtomoProject
    protocol, name : str
    texts : dict
        Of all fields.
    folder : Path
        What file names are relative to.

    Raises
    ------
    EmtomoError
        If the input that it works on is not there.
    """
    return _MAKERS[protocol, name](project, texts, name, folder)


def _on_volume(source: str, make: Callable[[np.ndarray, float, Texts, str], Preview]) -> Maker:
    label = {"tomograms": "the tomograms", "reference": "the reference", "average": "the average"}.get(
        source, "the volume"
    )

    def preview_input(project: EmtomoProject, texts: Texts, name: str, folder: Path) -> Preview:
        """Read the volume that the form names and make its preview."""
        value = input_of(project, texts, source, label)
        volume, size = _volume(value, Path(project.path))
        return make(volume, size, texts, name)

    return preview_input


def _volume(value: Any, project: Path) -> tuple[np.ndarray, float]:
    if isinstance(value, SetOfTomograms):
        file = project / str(value.frame(["file"])["file"].iloc[0])
        whole = mrc.open_volume(file)
        middle = [slice(max(0, (n - m) // 2), (n + m + 1) // 2) for n, m in zip(whole.shape, MIDDLE, strict=True)]
        return np.asarray(whole[tuple(middle)], np.float32), float(value.pixel_size.get())
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


def _lowpass(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    if len({*volume.shape}) != 1:
        raise EmtomoError(f"The preview needs a cubic volume, this is {'×'.join(map(str, volume.shape[::-1]))}.")
    middle = volume[len(volume) // 2]
    limits = contrast_limits(middle)

    def draw(resolution: float) -> tuple[np.ndarray, np.ndarray, str]:
        """Return the middle slice before and after the low-pass filter, and what was done."""
        filtered = lowpass(volume, size, max(resolution, 2 * size))
        return grey(middle, limits), grey(filtered[len(volume) // 2]), f"low-pass at {resolution:.1f} Å"

    high = min(len(volume) * size / 3, 150.0)
    return Preview("Low-pass filter", "Å", 2 * size, max(high, 4 * size), _number(texts, name, 40.0) or 40.0, draw)


def _denoise(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    """Return what the whole filter makes of the middle of a tomogram."""
    options, k = options_of(DenoiseOptions, texts), len(volume) // 2
    limits = contrast_limits(volume[k])
    longest = {"eed": 60, "bflow": 250}[options.method]
    low, high, value = {"iterations": (0, longest, options.steps), "sigma": (0.0, 5.0, options.sigma)}[name]
    shape = "×".join(map(str, volume.shape[::-1]))

    def draw(chosen: float) -> tuple[np.ndarray, np.ndarray, str]:
        """Return the middle slice before and after denoising, and what was done."""
        now = replace(options, sigma=chosen) if name == "sigma" else replace(options, iterations=int(round(chosen)))
        filtered = denoise(volume, now)
        sentence = f"{now.method}, {count_text(now.steps, 'iteration')}, Gaussian of {now.sigma:.2g} voxels before it"
        return grey(volume[k], limits), grey(filtered[k], limits), f"{sentence}; the middle {shape} voxels"

    unit = "voxel" if name == "sigma" else ""
    return Preview("Denoising", unit, low, high, value, draw, whole=name == "iterations")


def _mask(volume: np.ndarray, size: float, texts: Texts, name: str) -> Preview:
    def options(threshold: float) -> MaskOptions:
        """Return the options of the form with this threshold."""
        return MaskOptions(
            threshold=threshold,
            lowpass=_number(texts, "lowpass", 0.0),
            extend=_number(texts, "extend", 3.0),
            soft_edge=_number(texts, "soft_edge", 6.0),
        )

    k = len(volume) // 2
    low, high = (float(v) for v in np.percentile(volume, [50, 99.9]))
    plain = grey(volume[k])

    def draw(threshold: float) -> tuple[np.ndarray, np.ndarray, str]:
        """Return the middle slice without and with the mask over it, and how much it fills."""
        mask = create_mask(volume, size, options(threshold))
        share = mask[k][::-1].clip(0, 1)
        tinted = np.repeat(plain[:, :, None], 3, axis=2).astype(np.float32)
        tinted = (
            tinted * (1 - 0.45 * share[:, :, None]) + np.array([230, 159, 0], np.float32) * 0.45 * share[:, :, None]
        )
        filled = float(mask.mean())
        return plain, tinted.astype(np.uint8), f"threshold {threshold:.4g}: {filled:.1%} of the box is inside"

    return Preview("Mask", "", low, high, _number(texts, name, (low + high) / 2), draw)


_MAKERS: dict[tuple[str, str], Maker] = {
    ("create-mask", "threshold"): _on_volume("volume", _mask),
    ("create-mask", "lowpass"): _on_volume("volume", _lowpass),
    ("refine-poses", "initial_lowpass"): _on_volume("reference", _lowpass),
    ("match-template", "lowpass"): _on_volume("reference", _lowpass),
    ("postprocess", "lowpass"): _on_volume("average", _lowpass),
    ("denoise-tomograms", "sigma"): _on_volume("tomograms", _denoise),
    ("denoise-tomograms", "iterations"): _on_volume("tomograms", _denoise),
    ("model-workflow", "cropping"): preview_models,
    ("import-tomograms", "files"): preview_files,
    ("import-volume", "file"): preview_files,
    ("import-micrographs", "files"): preview_files,
    ("import-tilt-series", "files"): preview_files,
}
PREVIEWED = tuple(_MAKERS)
