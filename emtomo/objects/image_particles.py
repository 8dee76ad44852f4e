"""Particles of micrographs as refinement reads them: one image each, with its CTF."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtomo.compute.likelihood.views import ImageParticles, ImageViews
from emtomo.compute.optics.ctf import Ctf
from emtomo.errors import EmtomoError
from emtomo.io import mrc

IDENTITY = np.eye(3)[None]


@dataclass
class StackedParticles:
    """Called with the number of a particle it returns its image; it may travel to other processes.

    Attributes
    ----------
    files : list of str
    index : (n,) int array
        Place of every image in its stack.
    size : int
    pixel_size : float
    sign : int
        -1 where particles are dark.
    ctf : Ctf or None
        Of shape (n,); without it nothing is corrected.
    squared : bool
        Images were multiplied with their CTF.
    """

    files: list[str]
    index: np.ndarray
    size: int
    pixel_size: float
    sign: int
    ctf: Ctf | None
    squared: bool
    _stacks: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        absolute = {name: str(Path(name).absolute()) for name in set(self.files)}
        self.files = [absolute[name] for name in self.files]  # one text for each file, which travels once

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the mapped files."""
        return {**vars(self), "_stacks": {}}

    def stack(self, file: str) -> np.ndarray:
        """Return a stack of images, mapped and not read.

        Raises
        ------
        EmtomoError
            If it is not one of such images.
        """
        if file not in self._stacks:
            stack = mrc.open_volume(file)
            if stack.shape[1:] != (self.size, self.size):
                raise EmtomoError(
                    f"{file}: images must be {self.size} pixels wide and high, got {stack.shape[2]} × {stack.shape[1]}."
                )
            self._stacks[file] = stack
        return self._stacks[file]

    def check(self) -> None:
        """Raise an error where a stack does not have an image that is asked for."""
        for file, last in pd.Series(self.index).groupby(np.array(self.files, object)).max().items():
            there = len(self.stack(str(file)))
            if last >= there:
                raise EmtomoError(f"{file}: image {int(last) + 1} is asked for, there are {there}.")

    def __call__(self, i: int) -> ImageViews:
        """Return the image of particle `i`."""
        image = np.float32(self.sign) * np.asarray(self.stack(self.files[i])[self.index[i]], np.float32)[None]
        weights = None
        if self.ctf is not None:
            weights = self.ctf[i].image((self.size, self.size), self.pixel_size)[None]
            weights = weights * weights if self.squared else weights
        return ImageViews(image, IDENTITY, weights, np.zeros((1, 2)))


@dataclass(frozen=True)
class StackedParticleImages:
    """Images of stacks, indexed by the numbers of particles as an array (p, n, n) is; they are read when asked for."""

    particles: StackedParticles

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all images as an array."""
        return len(self), self.particles.size, self.particles.size

    def __len__(self) -> int:
        return len(self.particles.files)

    def __getitem__(self, members: np.ndarray, /) -> np.ndarray:
        """Return the images (m, n, n) of these numbers."""
        out = np.empty((len(members), *self.shape[1:]), np.float32)
        for image, i in zip(out, members, strict=True):
            image[:] = self.particles(int(i)).images[0]
        return out


def image_source(images: StackedParticles) -> ImageParticles:
    """Return the particles of stacks as refinement takes them."""
    images.check()
    kind = "none" if images.ctf is None else "ctf_squared" if images.squared else "ctf"
    return ImageParticles(
        images.size, images.pixel_size, [1] * len(images.files), images, kind, images.squared,
        common_rotations=IDENTITY,
    )  # fmt: skip
