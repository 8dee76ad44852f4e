"""Edge-preserving denoising of tomograms: Beltrami flow and edge-enhancing diffusion."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from emtomo.compute.device import check_device, select_cuda, threads
from emtomo.compute.noise import noise_level
from emtomo.errors import EmtomoError
from emtomo.options import Param, check_options

DEPTH, HEIGHT = 64, 16
SLICES = 64
Progress = Callable[[float, float], None]


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions:
    """How a tomogram is denoised."""

    method: Annotated[
        str,
        Param(
            "Denoising method",
            "Edge-enhancing diffusion (eed) smooths along surfaces; Beltrami flow (bflow) smooths "
            "everywhere but across strong edges.",
            choices=("eed", "bflow"),
        ),
    ] = "eed"
    sigma: Annotated[
        float,
        Param(
            "Sigma Gaussian filter",
            "Gaussian filter before the diffusion; 0 switches it off, 0.5 to 1 is sensible, more blurs.",
            unit="voxel",
            ge=0,
            le=10,
        ),
    ] = 0.5
    iterations: Annotated[
        int | None,
        Param(
            "Number of iterations",
            "Steps of the diffusion. Empty: 10 for eed (10 to 60 is sensible), 70 for bflow (50 to 250).",
            ge=0,
            le=10000,
        ),
    ] = None
    lambda_: Annotated[
        float,
        Param("Lambda", "eed: gradients below it are smoothed, above it kept. -1 takes the mean gradient of "
              "the tomogram, anew at each iteration.", unit="noise levels", ge=-1, expert=True, when=("method", "eed")),
    ] = -1.0  # fmt: skip
    time_step: Annotated[
        float | None,
        Param(
            "Time step",
            "Step of the explicit scheme; above 0.15 it is not stable. Empty: 0.1 for eed, 0.15 for bflow.",
            gt=0,
            le=0.15,
            expert=True,
        ),
    ] = None
    grey_scale: Annotated[
        float,
        Param("Grey scale", "bflow: the tomogram is scaled so that its noise has this standard deviation; "
              "higher keeps weaker edges and smooths less.", gt=0, le=1000, expert=True, when=("method", "bflow")),
    ] = 5.0  # fmt: skip
    linear: Annotated[
        bool,
        Param(
            "Smooth along lines only",
            "eed: smooth along the direction of least change only, instead of within the whole surface.",
            expert=True,
            when=("method", "eed"),
        ),
    ] = False

    @property
    def steps(self) -> int:
        """Iterations, with the default of the method."""
        return self.iterations if self.iterations is not None else {"eed": 10, "bflow": 70}[self.method]

    @property
    def dt(self) -> float:
        """Time step, with the default of the method."""
        return self.time_step if self.time_step is not None else {"eed": 0.1, "bflow": 0.15}[self.method]


FAINT, HUGE = 1e-12, 1e12  # between them, squares are far from the ends of float32


def denoise(
    volume: np.ndarray, options: DenoiseOptions, *, device: str = "cpu", progress: Progress | None = None
) -> np.ndarray:
    """Return `volume` denoised, on its own grey scale.

    Parameters
    ----------
    volume : (z, y, x) array
        At least 1 voxel along each axis, all finite.
    options : DenoiseOptions
    device : {"cpu", "cuda", "cuda:N"}
    progress : callable, optional
        Called with iterations done and iterations in all.

    Returns
    -------
    (z, y, x) float32 array

    Raises
    ------
    EmtomoError
        If an option is out of bounds or the volume is not 3D, or holds NaN or infinity.

    References
    ----------
    .. [1] Fernandez, TOMOBFLOW, BMC Bioinformatics 10:178 (2009).
    .. [2] Moreno et al., TomoEED, Bioinformatics 34:3776 (2018), Eq. 1.
    .. [3] Weickert, Anisotropic diffusion in image processing (1998), sections 1.4 and 3.4.2.
    """
    check_options(options)
    check_device(device)
    values = np.array(volume, np.float32, order="C")
    if values.ndim != 3 or values.size == 0:
        raise EmtomoError(f"A tomogram has three axes and at least one voxel, got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise EmtomoError("The tomogram holds NaN or infinity; mend it before denoising.")
    # squares of very large or small values are no float32: a power of two changes no digit
    largest = float(np.abs(values).max())
    unit = 2.0 ** np.floor(np.log2(largest)) if largest > 0 and not FAINT < largest < HUGE else 1.0
    if unit != 1.0:
        values = (values.astype(np.float64) / unit).astype(np.float32)
    level = noise_level(values) or float(values.std()) or 1.0
    mean, scale = float(values.mean()), (options.grey_scale if options.method == "bflow" else 1.0) / level
    values -= np.float32(mean)
    values *= np.float32(scale)
    if options.sigma > 0:
        values = _blurred(values, options.sigma)
    flow = _flow_cuda if device != "cpu" else _flow_cpu
    values = flow(values, options, device, progress)
    values /= np.float32(scale)
    values += np.float32(mean)
    return values if unit == 1.0 else (values.astype(np.float64) * unit).astype(np.float32)


def _flow_cpu(values: np.ndarray, options: DenoiseOptions, device: str, progress: Progress | None) -> np.ndarray:
    from emtomo.compute.kernels import diffusion_cpu as kernels

    other = np.empty_like(values)
    for step in range(options.steps):
        if options.method == "bflow":
            kernels.beltrami_cpu(values, np.float32(4 * options.dt), other)
        else:
            contrast = options.lambda_
            if contrast < 0:
                contrast = _mean_gradient(values)
            kernels.eed_cpu(values, np.float32(options.dt), _inverse_k2(contrast), options.linear, DEPTH, HEIGHT, other)
        values, other = other, values
        if progress:
            progress(step + 1, options.steps)
    return values


def _flow_cuda(values: np.ndarray, options: DenoiseOptions, device: str, progress: Progress | None) -> np.ndarray:
    cuda = select_cuda(device)
    from emtomo.compute.kernels import diffusion_cuda as kernels

    shape, grid, runs = values.shape, kernels.grid_of(values.shape), kernels.runs_of(values.shape)
    here, other = cuda.to_device(values), cuda.to_device(np.empty_like(values))
    tensor = None
    if options.method == "eed":
        tensor = cuda.device_array((shape[0], 6, shape[1], shape[2]), np.float32)
    for step in range(options.steps):
        if options.method == "bflow":
            kernels.beltrami_cuda[grid, kernels.BLOCK](here, np.float32(4 * options.dt), other)
        else:
            contrast = options.lambda_
            if contrast < 0:
                contrast = _mean_gradient_cuda(here, cuda)
            kernels.tensor_cuda[runs, kernels.RUN_BLOCK](here, _inverse_k2(contrast), options.linear, tensor)
            kernels.flow_cuda[grid, kernels.BLOCK](here, np.float32(options.dt), tensor, other)
        here, other = other, here
        if progress:
            progress(step + 1, options.steps)
    return here.copy_to_host()


def _mean_gradient(values: np.ndarray) -> float:
    """Return the mean of |∇I| over at least SLICES evenly spread slices (all, if there are not so many).

    Every fourth slice of 256 gives the mean to better than a thousandth in a quarter of the time.
    """
    from emtomo.compute.kernels.diffusion_cpu import gradient_sums_cpu

    stride = max(1, values.shape[0] // SLICES)
    partial = np.empty((values.shape[0] + stride - 1) // stride)
    gradient_sums_cpu(values, stride, partial)
    return float(partial.sum() / (len(partial) * values[0].size))


def _mean_gradient_cuda(values: Any, cuda: Any) -> float:
    """Return what :func:`_mean_gradient` does, of a device's array."""
    from emtomo.compute.kernels.diffusion_cuda import gradient_sums_cuda

    nz, ny, nx = values.shape
    stride = max(1, nz // SLICES)
    partial = cuda.device_array(((nz + stride - 1) // stride, nx), np.float32)
    gradient_sums_cuda[((nx + 31) // 32, (len(partial) + 3) // 4), (32, 4)](values, stride, partial)
    return float(partial.copy_to_host().mean(dtype=float) / ny)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return what scipy's Gaussian filter does, of slabs side by side."""
    from scipy.ndimage import gaussian_filter

    out = np.empty_like(values)
    halo = int(4 * sigma + 0.5)  # as far as scipy's kernel reaches
    cuts = np.linspace(0, len(values), min(len(values), 4 * threads()) + 1).astype(int)

    def fill(a: int, b: int) -> None:
        low = max(0, a - halo)
        out[a:b] = gaussian_filter(values[low : b + halo], sigma)[a - low : b - low]

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, cuts[:-1], cuts[1:]))
    return out


def _inverse_k2(contrast: float) -> np.float32:
    """Return 1 / K² for products of undivided differences summed over 3×3×3 voxels (4 × 27 as large)."""
    return np.float32(1.0 / (108.0 * max(contrast, 1e-12) ** 2))
