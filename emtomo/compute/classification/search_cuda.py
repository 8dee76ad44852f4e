"""The search of :mod:`emtomo.compute.classification.search` on a CUDA device: products there, probabilities here."""

from typing import Any

import numpy as np

from emtomo.compute.classification.search import CELLS, DEEP, Chunk, ImageClassSums, Tables, sort_entries
from emtomo.compute.device import device_arrays

PIECE_BYTES = 2**27  # of the largest array of a piece
PIECE_MOST = 256  # particles, or entries of sums, of one piece


class DeviceTables:
    """What images are compared with, on the device; arrays are CuPy's, in numba's simulator numpy's.

    Parameters
    ----------
    tables : Tables
    device : str
        cuda or cuda:N.
    """

    def __init__(self, tables: Tables, device: str) -> None:
        self.tables, self.xp = tables, device_arrays(device)
        to, search = self.xp.asarray, tables.search
        self.phase = to(tables.cosine + 1j * tables.sine)
        self.near_cosine, self.near_sine = to(tables.near_cosine), to(tables.near_sine)
        self.near_phase = to(tables.near_cosine + 1j * tables.near_sine)
        self.real, self.imag, self.power = to(tables.real.T.copy()), to(tables.imag.T.copy()), to(tables.power.T.copy())
        sections = search.sections
        self.classes, self.angles, self.count = sections.real.shape
        self.sections = to((sections.real + 1j * sections.imag).reshape(-1, self.count))
        self.prior, self.near_prior, self.log_share = to(tables.prior), to(tables.near_prior), to(tables.log_share)
        rows = len(search.shifts) * self.real.shape[1] + 3 * CELLS * 2 * self.count
        self.piece = int(np.clip(PIECE_BYTES // (4 * rows), 1, PIECE_MOST))

    def host(self, values: Any) -> np.ndarray:
        """Return a device's array as numpy's."""
        return np.asarray(values) if self.xp is np else self.xp.asnumpy(values)


def search_poses_cuda(chunk: Chunk, device: DeviceTables) -> None:
    """Fill in what is found of the images of a chunk; as :func:`~emtomo.compute.classification.search.search_poses`."""
    from emtomo.compute.kernels.classification_cpu import NOTHING, choose_poses

    half_turn = device.angles // 3
    for first in range(0, len(chunk.real), device.piece):
        part = slice(first, first + device.piece)
        image = device.xp.asarray(chunk.real[part] + 1j * chunk.imag[part])
        square = device.xp.asarray(chunk.square[part])
        value, cell, shift = _choose_cells(image, square, device)
        fine = (3 * (cell % (2 * half_turn))[..., None] + np.arange(-1, 2)) % (2 * device.angles)
        conjugate = fine >= device.angles
        row = (cell // (2 * half_turn))[..., None] * device.angles + fine % device.angles
        scores = _score_near(image, square, shift, row, conjugate, device)
        value[value < value[:, :1] - np.float32(DEEP)] = NOTHING
        wide = value.shape[1]  # less than CELLS, where there are not so many pairs of class and angle
        chunk.shift[part, :wide], chunk.row[part, :wide] = shift, row
        chunk.conjugate[part, :wide] = conjugate
        posterior = np.zeros(scores.shape, np.float32)
        choose_poses(
            value, cell, chunk.shift[part, :wide], half_turn, scores, device.classes,
            posterior, chunk.best[part], chunk.certainty[part], chunk.gain[part],
        )  # fmt: skip
        chunk.posterior[part, :wide] = posterior


def _choose_cells(image: Any, square: Any, device: DeviceTables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, cells and shifts of the best pairs of class and angle; see the CPU's kernel ``choose_cells``."""
    xp, (some, flat) = device.xp, device.real.shape
    fill, two = (np.float32(factor * device.tables.search.fill) for factor in (1, 2))
    count, shifts = len(image), len(device.phase)
    moved = (image[:, None, :some] * device.phase[None, :, :some]).reshape(-1, some)
    even = xp.ascontiguousarray(moved.real) @ device.real
    odd = xp.ascontiguousarray(moved.imag) @ device.imag
    even, odd = (two * product.reshape(count, shifts, flat) for product in (even, odd))
    even += device.prior[None, :, None]
    norm = fill * (square[:, :some] @ device.power) - xp.repeat(device.log_share, flat // device.classes)
    both = even + odd, even - odd  # half a turn on, the product with the imaginary part has the other sign
    best = xp.concatenate([one.max(axis=1) - norm for one in both], axis=1)
    at = xp.concatenate([one.argmax(axis=1) for one in both], axis=1)
    chosen = xp.argsort(-best, axis=1)[:, :CELLS]
    value, shift, chosen = (
        device.host(a) for a in (xp.take_along_axis(best, chosen, 1), xp.take_along_axis(at, chosen, 1), chosen)
    )
    angles = flat // device.classes
    half, pair = np.divmod(chosen, flat)
    cell = (2 * (pair // angles) + half) * angles + pair % angles
    return value.astype(np.float32), cell.astype(np.int32), shift.astype(np.int32)


def _score_near(
    image: Any, square: Any, shift: np.ndarray, row: np.ndarray, conjugate: np.ndarray, device: DeviceTables
) -> np.ndarray:
    """Return the scores (b, c, 3, 9) of three angles and nine shifts about every cell."""
    xp, count = device.xp, len(image)
    fill, two = (np.float32(factor * device.tables.search.fill) for factor in (1, 2))
    at, rows = xp.asarray(shift), xp.asarray(row)
    section = device.sections[rows]
    section = xp.where(xp.asarray(conjugate)[..., None], section.conj(), section)
    product = (image[:, None] * device.phase[at]).conj()[:, :, None] * section
    products = xp.ascontiguousarray(product.real).reshape(-1, device.count) @ device.near_cosine.T
    products += xp.ascontiguousarray(product.imag).reshape(-1, device.count) @ device.near_sine.T
    power = section.real**2 + section.imag**2
    norm = (power * square[:, None, None]).sum(axis=3)
    scores = two * products.reshape(count, *row.shape[1:], -1) - fill * norm[..., None]
    scores += device.near_prior[at][:, :, None] + device.log_share[rows // device.angles][..., None]
    return np.ascontiguousarray(device.host(scores), np.float32)


def add_chunk_cuda(chunk: Chunk, device: DeviceTables, shell: np.ndarray, sums: ImageClassSums) -> None:
    """Add the images of a chunk to the sums of their classes; as on the CPU."""
    xp, entries = device.xp, sort_entries(chunk)
    real, imag, weight = (xp.asarray(a) for a in (sums.real, sums.imag, sums.weight))
    images, squares = xp.asarray(chunk.real + 1j * chunk.imag), xp.asarray(chunk.square)
    of_shell = xp.asarray(np.arange(sums.cross.shape[1]) == shell[:, None]).astype(np.float32)
    for first in range(0, len(entries.row), PIECE_MOST):
        part = slice(first, first + PIECE_MOST)
        particle, row = xp.asarray(entries.particle[part]), xp.asarray(entries.row[part])
        posterior = xp.asarray(entries.weights[part])
        values = (
            (posterior.astype(np.complex64) @ device.near_phase)
            * device.phase[xp.asarray(entries.shift[part])]
            * images[particle]
        )
        values = xp.where(xp.asarray(entries.conjugate[part])[:, None], values.conj(), values)
        square = posterior.sum(axis=1)[:, None] * squares[particle]
        section = device.sections[row]
        for total, more in ((real, values.real), (imag, values.imag), (weight, square)):
            xp.add.at(total, row, xp.ascontiguousarray(more))
        cross = (values * section.conj()).real @ of_shell
        power = (square * (section.real**2 + section.imag**2)) @ of_shell
        group = chunk.group[entries.particle[part]]
        np.add.at(sums.cross, group, device.host(cross))
        np.add.at(sums.power, group, device.host(power))
    sums.real[...], sums.imag[...], sums.weight[...] = (device.host(a) for a in (real, imag, weight))
    sums.count_mass(entries, device.tables)
