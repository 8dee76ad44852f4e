"""The first half of an iteration of 2D classification: blocks of images against all averages, here or elsewhere."""

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from emtomo.compute.classification.grey_scales import GreySums
from emtomo.compute.classification.images import ImagePreparation, MaskedImages
from emtomo.compute.classification.references import Rotations
from emtomo.compute.classification.search import (
    CHUNK,
    Assignments,
    Chunk,
    ClassSearch,
    ImageClassSums,
    Tables,
    add_chunk,
    read_poses,
    search_poses,
)
from emtomo.compute.classification.search_cuda import DeviceTables, add_chunk_cuda, search_poses_cuda
from emtomo.compute.classification.state import ClassificationState
from emtomo.compute.map_reduce import MapReduce, OnProgress

LEAST_SHARE = 1e-3  # of an equal one, that a class counts with


@dataclass(frozen=True)
class Grids:
    """Where images are compared with averages: see :func:`~emtomo.compute.classification.search.shift_grids`.

    Attributes
    ----------
    rotations : Rotations
    shifts : (s, 2) array
    near : (9, 2) array
    coarse_radius : float
        Shells of the coarse pass.
    """

    rotations: Rotations
    shifts: np.ndarray
    near: np.ndarray
    coarse_radius: float


@dataclass(frozen=True)
class ImageBlock:
    """Images that are added up together; it is never divided, so that sums do not depend on where they are made.

    Attributes
    ----------
    members : (m,) int array
        Numbers of the images.
    """

    members: np.ndarray

    def __len__(self) -> int:
        return len(self.members)

    def parts(self, n: int) -> list["ImageBlock"]:
        """Return the block itself."""
        return [self]


@dataclass(frozen=True)
class BlockSums:
    """What a block gives.

    Attributes
    ----------
    members : (m,) int array
    found : Assignments
        Of the members, in their order.
    data, weights : (K, 2 m + 1, m + 1) arrays
        Sums of the classes as padded transforms.
    mass : (K,) array
        Sums of probabilities.
    square_shift : float
        Sum of squared shifts, x and y together.
    grey : GreySums
    """

    members: np.ndarray
    found: Assignments
    data: np.ndarray
    weights: np.ndarray
    mass: np.ndarray
    square_shift: float
    grey: GreySums

    def combine(self, other: "BlockSums") -> "BlockSums":
        """Return what both blocks give together."""
        return BlockSums(
            np.append(self.members, other.members),
            self.found.append(other.found),
            self.data + other.data,
            self.weights + other.weights,
            self.mass + other.mass,
            self.square_shift + other.square_shift,
            self.grey.combine(other.grey),
        )


class Expectation:
    """What all blocks of an iteration share; they go one after the other in a process, each in all its threads.

    On a CUDA device images are compared and added up there; they are transformed in the threads.

    Parameters
    ----------
    images : MaskedImages
        All of them, kept in this process; in others a block's are read and prepared when it comes.
    state : ClassificationState
        Before the iteration.
    grids : Grids
    device : {"cpu", "cuda", "cuda:N"}
    """

    parallel = False

    def __init__(self, images: MaskedImages, state: ClassificationState, grids: Grids, device: str = "cpu") -> None:
        none = np.zeros(0)
        bare = replace(state, data=none, weights=none, mass=none)  # of mini-batches, for the other half of an iteration
        self.__setstate__({"preparation": images.preparation, "state": bare, "grids": grids, "device": device})
        self._images: MaskedImages | None = images

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("preparation", "state", "grids", "device")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.preparation: ImagePreparation = state["preparation"]
        self.state: ClassificationState = state["state"]
        self.grids: Grids = state["grids"]
        self.device: str = state["device"]
        self._images, self.lock = None, threading.Lock()

    @cached_property
    def tables(self) -> Tables:
        """What the kernels compare images with."""
        state, grids, plane = self.state, self.grids, self.preparation.plane
        sections = grids.rotations.sections(state.references, plane.count(state.radius))
        least = LEAST_SHARE / len(state.share)
        search = ClassSearch(
            grids.rotations, sections, grids.shifts, grids.near, plane.count(min(grids.coarse_radius, state.radius)),
            state.sigma, np.log(np.maximum(state.share, least)), self.preparation.fill,
        )  # fmt: skip
        return Tables(plane, search)

    @cached_property
    def device_tables(self) -> DeviceTables:
        """The tables on the device."""
        return DeviceTables(self.tables, self.device)

    def search(self, chunk: Chunk, sums: ImageClassSums) -> None:
        """Find the poses of a chunk's images, and add these up."""
        shell = self.preparation.plane.shell[: chunk.real.shape[1]]
        if self.device == "cpu":
            search_poses(chunk, self.tables)
            add_chunk(chunk, self.tables, shell, sums)
        else:
            search_poses_cuda(chunk, self.device_tables)
            add_chunk_cuda(chunk, self.device_tables, shell, sums)

    def take(self, members: np.ndarray) -> tuple[MaskedImages, np.ndarray]:
        """Return images among which are those of `members`, and their numbers there."""
        if self._images is not None:
            return self._images, members
        return MaskedImages(self.preparation, members), np.arange(len(members))


def assign_images(
    shared: Expectation, members: np.ndarray, map_reduce: MapReduce, on_progress: OnProgress
) -> BlockSums:
    """Return what the images of `members` give, in blocks that depend on nothing but their number."""
    blocks = [ImageBlock(members[first : first + CHUNK]) for first in range(0, len(members), CHUNK)]
    return map_reduce(assign_block, shared, [blocks], on_progress)[0]


def assign_block(shared: Expectation, block: ImageBlock, on_progress: OnProgress) -> BlockSums:
    """Find the classes and poses of a block's images and add them up."""
    with shared.lock:
        state, tables, members = shared.state, shared.tables, block.members
        images, places = shared.take(members)
        images.centre(places, state.centre[members], state.noise)
        count = tables.search.sections.real.shape[2]
        chunk, power = weigh(images, places, state.centre[members], state, count)
        groups, shells = state.noise.shape
        sums, grey = ImageClassSums(tables.search, groups, shells), GreySums(groups, images.plane.shell_counts)
        shared.search(chunk, sums)
        grey.add(chunk.group, power)
        grey.cross, grey.power = sums.cross, sums.power
        shape = tables.search.sections.real.shape
        rows = (array.reshape(shape) for array in (sums.real, sums.imag, sums.weight))
        data, weights = shared.grids.rotations.insert(*rows)
        found = read_poses(chunk, tables)
        on_progress(len(block))
        return BlockSums(members, found, data, weights, sums.mass, sums.square_shift, grey)


def weigh(
    images: MaskedImages, places: np.ndarray, centres: np.ndarray, state: ClassificationState, count: int
) -> tuple[Chunk, np.ndarray]:
    """Return some images multiplied with their CTF, over the noise; and the power of their shells.

    Parameters
    ----------
    images : MaskedImages
    places : (m,) int array
        Numbers among them.
    centres : (m, 2) array
        x, y in pixels.
    state : ClassificationState
    count : int
        Frequencies in use.
    """
    group, plane = images.group[places], images.plane
    left = (centres - images.place[places]).astype(np.float32)
    spectra = images.spectra[places]
    power = plane.shell_means(spectra.real**2 + spectra.imag**2)
    weight = (1 / state.noise)[group][:, plane.shell[:count]].astype(np.float32)
    ctf = state.contrast[group, None].astype(np.float32)
    if images.ctf is not None:
        ctf = ctf * images.ctf[places, :count]
    weighted = spectra[:, :count] * plane.phases(left, count) * (ctf * weight)
    square = np.asarray(ctf * ctf * weight, np.float32)
    return Chunk(np.ascontiguousarray(weighted.real), np.ascontiguousarray(weighted.imag), square, group), power
