"""Launches of the kernels on a CUDA device; arrays are CuPy's, in numba's simulator numpy's."""

import math
from typing import Any

import numpy as np

from emtomo.compute.device import device_arrays
from emtomo.compute.fourier.padded_reference import PAD

LANES = 256  # at most, that add up one pose's likelihood


class Cuda:
    """Launches the kernels for views whose frequencies are `k`.

    Parameters
    ----------
    k : (n, 3) array
        Of a view's packed data.
    size : int
        Edge of the boxes or images.
    device : str
        cuda or cuda:N.
    """

    def __init__(self, k: np.ndarray, size: int, device: str) -> None:
        self.xp = device_arrays(device)
        self.k = self.float32(k)
        self.phase_per_voxel = np.float32(2 * math.pi / size)

    def float32(self, values: Any) -> Any:
        """Return values as contiguous float32 on the device."""
        return self.xp.ascontiguousarray(self.xp.asarray(values, np.float32))

    def host(self, values: Any) -> np.ndarray:
        """Return a device's array as numpy's."""
        return values if self.xp is np else self.xp.asnumpy(values)

    def phases(self, k: Any, shifts: np.ndarray) -> Any:
        """Return exp(2 pi i k shift / size), `(v, n)` complex64, which moves views by minus their shifts (v, 3)."""
        angle = self.float32(shifts) @ k.T * self.phase_per_voxel
        return (self.xp.cos(angle) + 1j * self.xp.sin(angle)).astype(np.complex64)

    def sections(self, reference: Any, k: Any, rotations: np.ndarray) -> Any:
        """Return `(o, 2 n)` real and imaginary parts of a padded reference at R.T k."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, sections_cuda

        out = self.xp.empty((len(rotations), 2 * len(k)), np.float32)
        blocks = -(-len(rotations) * len(k) // THREADS)
        sections_cuda[blocks, THREADS](reference, np.float32(PAD), k, self.float32(rotations), out)
        return out

    def likelihoods(
        self,
        reference: Any,
        chosen: Any,
        views: "CudaViews",
        data: Any,
        weight: Any,
        owner: np.ndarray,
        rotations: np.ndarray,
        shifts: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return log likelihoods (p), gradients (p, 6) and information (p, 6, 6) of poses.

        Parameters
        ----------
        reference : array
            As :func:`~emtomo.compute.fourier.padded_reference.transform_padded` returns it.
        chosen : (m,) int array
            Frequencies that count.
        views : CudaViews
        data, weight : (v, n) arrays
            Divided by the noise.
        owner : (p,) int array
            Whose pose it is.
        rotations, shifts : (p, 3, 3) and (p, 3) arrays
        """
        from emtomo.compute.kernels.fourier_cuda import SUMS, THREADS, likelihoods_cuda

        lanes = int(np.clip(len(chosen) // 8, 1, LANES))
        out = self.xp.empty((len(owner), lanes, SUMS), np.float32)
        poses = self.xp.asarray(owner, np.int32), self.float32(rotations), self.float32(shifts)
        blocks = -(-len(owner) * lanes // THREADS)
        likelihoods_cuda[blocks, THREADS](
            reference, np.float32(PAD), self.k, chosen, views.rotations, views.first, data, weight, *poses,
            self.phase_per_voxel, out,
        )  # fmt: skip
        sums = self.host(out.sum(axis=1, dtype=np.float64))
        rows, columns = np.tril_indices(6)
        information = np.empty((len(owner), 6, 6))
        information[:, rows, columns] = information[:, columns, rows] = sums[:, 7:]
        return sums[:, 0], sums[:, 1:7], information

    def insert(
        self,
        views: "CudaViews",
        data: Any,
        weight: Any,
        owner: np.ndarray,
        rotations: np.ndarray,
        shifts: np.ndarray,
        factors: np.ndarray,
        sums: Any,
        *,
        k: Any = None,
        pad: int = PAD,
    ) -> None:
        """Add particles in poses to sums, each with its factor; `k` are the data's frequencies where not all."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, inserts_cuda

        k = self.k if k is None else k
        poses = self.xp.asarray(owner, np.int32), self.float32(rotations), self.float32(shifts)
        blocks = -(-len(owner) * len(k) // THREADS)
        inserts_cuda[blocks, THREADS](
            k, np.float32(pad), views.rotations, views.first, data, weight, *poses, self.phase_per_voxel,
            self.float32(factors), sums,
        )  # fmt: skip

    def residuals(
        self,
        reference: Any,
        explained: Any,
        views: "CudaViews",
        groups: int,
        data: Any,
        weight: Any,
        rotations: np.ndarray,
        shifts: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return `(groups, n)` the power that the reference leaves of all particles, and their weights.

        `explained` says which frequencies the reference reaches; data and weights are not divided by the noise.
        """
        from emtomo.compute.kernels.fourier_cuda import THREADS, residuals_cuda

        power, measured = (self.xp.zeros((groups, len(self.k)), np.float32) for _ in range(2))
        poses = self.float32(rotations), self.float32(shifts)
        blocks = -(-len(self.k) // THREADS)
        residuals_cuda[blocks, THREADS](
            reference, np.float32(PAD), self.k, explained, views.rotations, views.owner, views.group, data, weight,
            *poses, self.phase_per_voxel, power, measured,
        )  # fmt: skip
        return self.host(power), self.host(measured)


class CudaViews:
    """The views of some particles on the device: of particle b, rows ``first[b]`` to ``first[b + 1]``."""

    def __init__(self, cuda: Cuda, rotations: np.ndarray, first: np.ndarray, group: np.ndarray) -> None:
        owner = np.repeat(np.arange(len(first) - 1), np.diff(first))
        self.rotations = cuda.float32(rotations)
        self.first, self.owner, self.group = (cuda.xp.asarray(a, np.int32) for a in (first, owner, group))
