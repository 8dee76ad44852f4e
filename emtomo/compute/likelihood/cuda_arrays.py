"""A reference on a CUDA device, and the kernels that work on it; arrays are CuPy's, in numba's simulator numpy's."""

import math
from typing import Any

import numpy as np

from emtomo.compute.device import device_arrays
from emtomo.compute.fourier.padded_reference import PAD

_PAD = np.float32(PAD)
LANES = 256  # at most, that add up one pose's likelihood


class Cuda:
    """Launches the kernels for particles whose frequencies are `k`.

    Parameters
    ----------
    reference : array
        As :func:`~emtomo.compute.fourier.padded_reference.transform_padded` returns it.
    k : (n, 3) array
        Of the packed data.
    size : int
        Edge of the boxes.
    device : str
        cuda or cuda:N.
    """

    def __init__(self, reference: np.ndarray, k: np.ndarray, size: int, device: str) -> None:
        self.xp = device_arrays(device)
        self.reference, self.k = self.xp.asarray(reference), self.float32(k)
        self.turn = np.float32(2 * math.pi / size)

    def float32(self, values: Any) -> Any:
        """Return values as contiguous float32 on the device."""
        return self.xp.ascontiguousarray(self.xp.asarray(values, np.float32))

    def host(self, values: Any) -> np.ndarray:
        """Return a device's array as numpy's."""
        return values if self.xp is np else self.xp.asnumpy(values)

    def sections(self, k: Any, rotations: np.ndarray) -> Any:
        """Return `(o, 2 n)` real and imaginary parts of the reference at R.T k."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, sections_cuda

        out = self.xp.empty((len(rotations), 2 * len(k)), np.float32)
        blocks = -(-len(rotations) * len(k) // THREADS)
        sections_cuda[blocks, THREADS](self.reference, _PAD, k, self.float32(rotations), out)
        return out

    def likelihoods(
        self, chosen: Any, data: Any, weight: Any, owner: np.ndarray, rotations: np.ndarray, shifts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return log likelihoods (p), gradients (p, 6) and information (p, 6, 6) of poses.

        Parameters
        ----------
        chosen : (m,) int array
            Frequencies that count.
        data, weight : (b, n) arrays
            Divided by the noise.
        owner : (p,) int array
            Whose pose it is.
        rotations, shifts : (p, 3, 3) and (p, 3) arrays
        """
        from emtomo.compute.kernels.fourier_cuda import SUMS, THREADS, likelihoods_cuda

        lanes = int(np.clip(len(chosen) // 8, 1, LANES))
        out = self.xp.empty((len(owner), lanes, SUMS), np.float32)
        place = self.xp.asarray(owner, np.int32), self.float32(rotations), self.float32(shifts)
        blocks = -(-len(owner) * lanes // THREADS)
        likelihoods_cuda[blocks, THREADS](self.reference, _PAD, self.k, chosen, data, weight, *place, self.turn, out)
        sums = self.host(out.sum(axis=1, dtype=np.float64))
        rows, columns = np.tril_indices(6)
        information = np.empty((len(owner), 6, 6))
        information[:, rows, columns] = information[:, columns, rows] = sums[:, 7:]
        return sums[:, 0], sums[:, 1:7], information

    def insert(
        self,
        data: Any,
        weight: Any,
        owner: np.ndarray,
        rotations: np.ndarray,
        shifts: np.ndarray,
        factors: np.ndarray,
        sums: Any,
    ) -> None:
        """Add particles in poses to sums, each with its factor."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, inserts_cuda

        place = self.xp.asarray(owner, np.int32), self.float32(rotations), self.float32(shifts)
        blocks = -(-len(owner) * len(self.k) // THREADS)
        inserts_cuda[blocks, THREADS](self.k, _PAD, data, weight, *place, self.turn, self.float32(factors), sums)

    def residuals(
        self, inside: Any, data: Any, weight: Any, rotations: np.ndarray, shifts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for every frequency the power that the reference leaves of all particles, and their weights.

        `inside` says which frequencies the reference explains; data and weights are not divided by the noise.
        """
        from emtomo.compute.kernels.fourier_cuda import THREADS, residuals_cuda

        power, measured = (self.xp.zeros(len(self.k), np.float32) for _ in range(2))
        place = self.float32(rotations), self.float32(shifts)
        blocks = -(-len(self.k) // THREADS)
        residuals_cuda[blocks, THREADS](
            self.reference, _PAD, self.k, inside, data, weight, *place, self.turn, power, measured
        )
        return self.host(power), self.host(measured)
