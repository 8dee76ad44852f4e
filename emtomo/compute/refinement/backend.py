"""Where sections are taken, poses climbed and particles inserted: on the CPU or on a CUDA device."""

import math
from typing import Any, Protocol

import numpy as np

from emtomo.compute.device import select_cuda
from emtomo.compute.kernels import fourier_cpu
from emtomo.compute.refinement.maximisation import partial_sums
from emtomo.compute.refinement.reference import PAD

_PAD = np.float32(PAD)
LANES = 1024  # threads of a likelihood; each keeps sums of its own


class Backend(Protocol):
    """What refinement asks of a device; arrays come and go as numpy arrays."""

    parallel: bool

    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """Return `(o, 2 n)` real and imaginary parts of the reference at R.T k."""

    def climb(
        self, k: np.ndarray, data: np.ndarray, weight: np.ndarray, size: int, rotation: np.ndarray, shift: np.ndarray,
        centre_rotation: np.ndarray, centre_shift: np.ndarray, precision: np.ndarray, limits: np.ndarray, most: int,
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Return log posterior density, rotation, shift and information at the top of the nearest peak."""

    def sums(self, radius: float) -> Any:
        """Return empty sums on the device."""

    def insert(
        self, sums: Any, k: np.ndarray, data: np.ndarray, weight: np.ndarray, size: int, rotation: np.ndarray,
        shift: np.ndarray, factor: float,
    ) -> None:  # fmt: skip
        """Add a particle to sums."""

    def collected(self, sums: Any) -> np.ndarray:
        """Return sums as a numpy array."""


class Cpu:
    """The compiled drivers; a caller's threads work side by side."""

    parallel = True

    def __init__(self, reference: np.ndarray) -> None:
        self.reference = reference

    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """See :class:`Backend`."""
        out = np.empty((len(rotations), 2 * len(k)), np.float32)
        fourier_cpu.sections(self.reference, _PAD, k, np.ascontiguousarray(rotations, np.float32), out)
        return out

    def climb(self, k: np.ndarray, *arguments: Any) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """See :class:`Backend`."""
        return fourier_cpu.climb(self.reference, _PAD, k, *arguments)

    def sums(self, radius: float) -> np.ndarray:
        """See :class:`Backend`."""
        return partial_sums(radius)

    def insert(
        self, sums: np.ndarray, k: np.ndarray, data: np.ndarray, weight: np.ndarray, size: int, rotation: np.ndarray,
        shift: np.ndarray, factor: float,
    ) -> None:  # fmt: skip
        """See :class:`Backend`."""
        reach = size // 2
        table, here = np.empty((3, 2 * reach + 1), np.complex64), np.empty(len(k), np.complex64)
        fourier_cpu.phases(shift, size, reach, table)
        fourier_cpu.moved(k, data, table, here)
        fourier_cpu.insert(k, _PAD, here, weight, rotation.astype(np.float32), np.float32(factor), sums)

    def collected(self, sums: np.ndarray) -> np.ndarray:
        """See :class:`Backend`."""
        return sums


class Cuda:
    """The CUDA drivers; one caller at a time. Newton's steps are decided on the host."""

    parallel = False

    def __init__(self, reference: np.ndarray, device: str) -> None:
        self.cuda = select_cuda(device)
        self.reference = self.cuda.to_device(reference)
        self._kept: dict[int, tuple[np.ndarray, Any]] = {}

    def _frequencies(self, k: np.ndarray) -> Any:
        """Return a device copy of frequencies, made once for all particles."""
        if id(k) not in self._kept:
            self._kept[id(k)] = (k, self.cuda.to_device(np.ascontiguousarray(k, np.float32)))
        return self._kept[id(k)][1]

    def sections(self, k: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """See :class:`Backend`."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, sections_cuda

        out = self.cuda.device_array((len(rotations), 2 * len(k)), np.float32)
        turns = self.cuda.to_device(np.ascontiguousarray(rotations, np.float32))
        blocks = (len(rotations) * len(k) + THREADS - 1) // THREADS
        sections_cuda[blocks, THREADS](self.reference, _PAD, self._frequencies(k), turns, out)
        return out.copy_to_host()

    def climb(
        self, k: np.ndarray, data: np.ndarray, weight: np.ndarray, size: int, rotation: np.ndarray, shift: np.ndarray,
        centre_rotation: np.ndarray, centre_shift: np.ndarray, precision: np.ndarray, limits: np.ndarray, most: int,
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """See :class:`Backend`; the steps of ``fourier_cpu.climb``."""
        d = self.cuda.to_device(np.ascontiguousarray(data, np.complex64))
        w = self.cuda.to_device(np.ascontiguousarray(weight, np.float32))
        best, place, information = -np.inf, (rotation.astype(float), shift.astype(float)), np.eye(6)
        here, step = place, np.zeros(6)
        for _ in range(most + 1):
            density, gradient, hessian = self._likelihood(k, d, w, size, *here)
            density += fourier_cpu.log_prior(*here, centre_rotation, centre_shift, precision, gradient, hessian)
            if density > best:
                gain, best, place, information = density - best, density, here, hessian
                damped = hessian + np.diag(1e-6 * hessian.diagonal() + 1e-12)
                step = np.linalg.solve(damped, gradient)
                promise = 0.5 * step @ gradient
                lengths = np.linalg.norm(step.reshape(2, 3), axis=1)
                step = step * min(1.0, *(limits / np.maximum(lengths, 1e-12)))
                if promise < 1e-3 or gain < 1e-3:
                    break
            else:
                step = 0.4 * step
            here = fourier_cpu.turned(place[0], step[:3]), place[1] + step[3:]
        return float(best), place[0], place[1], information

    def _likelihood(
        self, k: np.ndarray, data: Any, weight: Any, size: int, rotation: np.ndarray, shift: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        from emtomo.compute.kernels.fourier_cuda import SUMS, THREADS, likelihood_cuda

        lanes = min(LANES, (len(k) + 3) // 4)
        out = self.cuda.device_array((lanes, SUMS), np.float64)
        r, t = (self.cuda.to_device(np.ascontiguousarray(a, np.float32)) for a in (rotation, shift))
        blocks = (lanes + THREADS - 1) // THREADS
        turn = np.float32(2 * math.pi / size)
        likelihood_cuda[blocks, THREADS](self.reference, _PAD, self._frequencies(k), data, weight, r, t, turn, out)
        sums = out.copy_to_host().sum(axis=0)
        hessian = np.zeros((6, 6))
        hessian[np.tril_indices(6)] = sums[7:]
        return float(sums[0]), sums[1:7].copy(), hessian + np.tril(hessian, -1).T

    def sums(self, radius: float) -> Any:
        """See :class:`Backend`."""
        return self.cuda.to_device(partial_sums(radius))

    def insert(
        self, sums: Any, k: np.ndarray, data: np.ndarray, weight: np.ndarray, size: int, rotation: np.ndarray,
        shift: np.ndarray, factor: float,
    ) -> None:  # fmt: skip
        """See :class:`Backend`."""
        from emtomo.compute.kernels.fourier_cuda import THREADS, insert_cuda

        d = self.cuda.to_device(np.ascontiguousarray(data, np.complex64))
        w, r, t = (self.cuda.to_device(np.ascontiguousarray(a, np.float32)) for a in (weight, rotation, shift))
        turn = np.float32(2 * math.pi / size)
        blocks = (len(k) + THREADS - 1) // THREADS
        insert_cuda[blocks, THREADS](self._frequencies(k), _PAD, d, w, r, t, turn, np.float32(factor), sums)

    def collected(self, sums: Any) -> np.ndarray:
        """See :class:`Backend`."""
        return sums.copy_to_host()


def backend_of(reference: np.ndarray, device: str) -> Backend:
    """Return the backend of a device for a reference's padded transform."""
    return Cpu(reference) if device == "cpu" else Cuda(reference, device)
