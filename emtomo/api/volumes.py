"""Work on one volume: denoise it, mask it, sharpen it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from emtomo.api.keywords import accept_options, merge_options
from emtomo.checks import check_array, check_pixel_size, check_volume
from emtomo.compute import denoise as denoising
from emtomo.compute import masks
from emtomo.compute import postprocess as postprocessing
from emtomo.compute.denoise import DenoiseOptions
from emtomo.compute.fourier.filters import ball
from emtomo.compute.masks import MaskOptions
from emtomo.compute.postprocess import Postprocessed, PostprocessOptions
from emtomo.errors import EmtomoError

EDGE = 3.0  # voxels of the soft edge of a sphere that stands for a mask


@accept_options(DenoiseOptions)
def denoise(
    tomogram: np.ndarray,
    options: DenoiseOptions | None = None,
    *,
    device: str = "cpu",
    progress: Callable[[float, float], None] | None = None,
    **keywords: Any,
) -> np.ndarray:
    """Denoise a tomogram by edge-enhancing diffusion or Beltrami flow; edges stay, the grey scale too.

    Parameters
    ----------
    tomogram : (z, y, x) array
        All values finite.
    options : DenoiseOptions, optional
        Or give its fields as keywords.
    device : {"cpu", "cuda", "cuda:N"}
    progress : callable, optional
        Called with the iterations done and the iterations in all.

    Returns
    -------
    (z, y, x) float32 array

    Raises
    ------
    EmtomoError
        If an option is unknown or out of bounds, or the tomogram has not three axes or holds NaN or infinity.

    References
    ----------
    Moreno et al., Bioinformatics 34:3776 (2018), Eq. 1; Fernandez, BMC Bioinformatics 10:178 (2009).

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> noisy = np.random.default_rng(1).normal(size=(16, 32, 32))
    >>> smooth = emtomo.denoise(noisy, method="eed", iterations=5)
    >>> smooth.shape, bool(smooth.std() < 0.5 * noisy.std())
    ((16, 32, 32), True)
    """
    merged = merge_options(DenoiseOptions, options, keywords)
    return denoising.denoise(check_volume(tomogram, "tomogram", finite=False), merged, device=device, progress=progress)


@accept_options(MaskOptions)
def create_mask(
    volume: np.ndarray, pixel_size: float, options: MaskOptions | None = None, **keywords: Any
) -> np.ndarray:
    """Make a mask with a soft edge: from a density's threshold, or a sphere or cylinder.

    Parameters
    ----------
    volume : (z, y, x) array
        Bright particle; for a sphere or cylinder its shape alone counts.
    pixel_size : float
        Å per voxel.
    options : MaskOptions, optional
        Or give its fields as keywords.

    Returns
    -------
    (z, y, x) float32 array
        From 0 to 1.

    Raises
    ------
    EmtomoError
        If an option is unknown or out of bounds, the pixel size is not above 0, the density holds NaN or infinity, or
        no voxel or every voxel would be inside.

    Examples
    --------
    >>> import numpy as np
    >>> import emtomo
    >>> mask = emtomo.create_mask(np.zeros((32, 32, 32)), 10.0, shape="sphere", diameter=160, soft_edge=0)
    >>> float(mask[16, 16, 16]), float(mask[0, 16, 16])
    (1.0, 0.0)
    """
    merged = merge_options(MaskOptions, options, keywords)
    values = check_volume(volume, "volume", finite=merged.shape in masks.BY_DENSITY)
    return masks.create_mask(values, check_pixel_size(pixel_size), merged)


@accept_options(PostprocessOptions)
def postprocess(
    half1: np.ndarray,
    half2: np.ndarray,
    pixel_size: float,
    mask: np.ndarray | None = None,
    options: PostprocessOptions | None = None,
    *,
    mtf: np.ndarray | None = None,
    **keywords: Any,
) -> Postprocessed:
    """Average two half maps, weight the average by their FSC, sharpen it and filter it at its resolution.

    Parameters
    ----------
    half1, half2 : (n, n, n) arrays
        Unfiltered half maps.
    pixel_size : float
        Å per voxel.
    mask : (n, n, n) array, optional
        From 0 to 1; by default a soft-edged sphere as large as the box.
    options : PostprocessOptions, optional
        Or give its fields as keywords.
    mtf : (n // 2 + 1,) array, optional
        The detector's modulation transfer function in every shell.

    Returns
    -------
    Postprocessed
        The sharpened map ``volume``, ``resolution`` in Å, ``bfactor``, FSC ``curves``, Guinier plot and remarks.

    Raises
    ------
    EmtomoError
        If an option is unknown or out of bounds, the maps are not cubic, of one size and finite, or they show no
        resolution.

    References
    ----------
    Rosenthal & Henderson, J. Mol. Biol. 333 (2003), Eq. 7 and 12.
    """
    merged = merge_options(PostprocessOptions, options, keywords)
    first, second = check_volume(half1, "first half map"), check_volume(half2, "second half map")
    if first.shape != second.shape or len(set(first.shape)) != 1:
        raise EmtomoError(f"The half maps must be cubes of one size, got {first.shape} and {second.shape}.")
    n = first.shape[0]
    within = ball(n, n / 2 - EDGE, EDGE) if mask is None else np.clip(check_volume(mask, "mask"), 0, 1)
    transfer = None if mtf is None else check_array(mtf, "The modulation transfer function", (n // 2 + 1,))
    return postprocessing.postprocess(first, second, within, check_pixel_size(pixel_size), merged, transfer)
