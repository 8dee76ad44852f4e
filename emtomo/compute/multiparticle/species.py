"""Species: half maps of a kind of particle, their resolution, and the references made from them."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.fourier.filters import ball, radial_filter
from emtomo.compute.fourier.padded_reference import transform_padded
from emtomo.compute.fourier.reconstruction import Sums, solve
from emtomo.compute.fourier.shell_correlation import (
    FscCurves,
    first_shell_below,
    shells_of,
    solvent_corrected_fsc,
)
from emtomo.compute.fourier.transforms import irfftn, rfftn
from emtomo.compute.likelihood.pose_estimator import EDGE
from emtomo.compute.multiparticle.images import References
from emtomo.compute.optics.ctf import Ctf
from emtomo.compute.refinement.refine import FSC_THRESHOLD, remove_fine_detail
from emtomo.compute.symmetry import parse_symmetry
from emtomo.compute.tilt.particle_images import count_alias_free
from emtomo.errors import EmtomoError

SHARED_BELOW = 40.0  # Å: coarser shells are the same in both halves' references, so that they do not drift apart
LARGEST_SHARED = 0.5  # of the shells in which the halves agree; were all shared, agreement would say nothing
MASK_MARGIN = 1.15  # of a particle's diameter, in which its mask is 1 where none was given
FEWEST_SHELLS = 3.0
WIDEST_GAP = 16  # of the box, by which it is divided


@dataclass(frozen=True)
class Species:
    """A kind of particle.

    Attributes
    ----------
    name : str
    halves : dict
        Half maps 1 and 2, (n, n, n), white, unfiltered.
    pixel_size, diameter : float
        Å.
    symmetry : str
    mask : (n, n, n) array or None
        0 to 1.

    Raises
    ------
    EmtomoError
        If the maps or the mask are of different sizes, or the particle does not fit in the box.
    """

    name: str
    halves: dict[int, np.ndarray]
    pixel_size: float
    diameter: float
    symmetry: str = "C1"
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (self.size,) * 3
        maps = {f"half map {h}": volume for h, volume in self.halves.items()}
        for what, volume in (maps | ({"mask": self.mask} if self.mask is not None else {})).items():
            if volume.shape != shape:
                raise EmtomoError(f"{self.name}: the {what} must be {self.size} voxels wide, got {volume.shape}.")
        if not 0 < self.diameter <= self.size * self.pixel_size:
            raise EmtomoError(
                f"{self.name}: the diameter must be above 0 and at most the box, {self.size * self.pixel_size:g} Å, "
                f"got {self.diameter:g} Å."
            )
        parse_symmetry(self.symmetry)

    @property
    def size(self) -> int:
        """Edge of the box in voxels."""
        return int(self.halves[1].shape[0])

    def soft_mask(self) -> np.ndarray:
        """Return the mask, a ball about the particle where none was given."""
        if self.mask is not None:
            return np.asarray(self.mask, np.float32)
        radius = min(MASK_MARGIN * self.diameter / 2 / self.pixel_size, self.size / 2 - EDGE)
        return ball(self.size, max(radius, 1.0), EDGE)


@dataclass(frozen=True)
class MeasuredMaps:
    """Half maps with their FSC within the species' mask.

    Attributes
    ----------
    halves : dict of (n, n, n) arrays
    curves : FscCurves
    shell : float
        To which the halves agree.
    compared : float
        To which they agree but for gaps, as zeros of the CTF leave them.
    resolution : float
        Å; nan where there is nothing to compare.
    """

    halves: dict[int, np.ndarray]
    curves: FscCurves
    shell: float
    resolution: float
    compared: float

    @property
    def quality(self) -> float:
        """Sum of the corrected correlations up to the first shell without one: larger is better."""
        reached = int(np.ceil(self.shell)) + 1
        return float(np.clip(self.curves.corrected[1:reached], 0, 1).sum())


def measure_maps(species: Species, halves: dict[int, np.ndarray]) -> MeasuredMaps:
    """Return half maps with their solvent-corrected FSC, as :class:`.Refinement` measures it."""
    n = species.size
    curves = solvent_corrected_fsc(halves[1], halves[2], species.soft_mask())
    first = 1 + n // 32
    shell = min(first_shell_below(curves.corrected, FSC_THRESHOLD, first), n / 2)
    compared = min(shell_beyond_gaps(curves.corrected, FSC_THRESHOLD, first, n // WIDEST_GAP), n / 2)
    return MeasuredMaps(halves, curves, shell, curves.resolution(n, species.pixel_size, FSC_THRESHOLD, first), compared)


def shell_beyond_gaps(curve: np.ndarray, threshold: float, first: int, widest: int) -> float:
    """Return the shell beyond which a curve stays below a threshold, gaps of at most so many shells apart.

    A gap ends where two shells in turn are above the threshold, which noise hardly ever is. Where all tilts are at
    nearly the same defocus, a zero of the CTF leaves such a gap, and shells behind it tell the most of defocus.
    """
    reached = first_shell_below(curve, threshold, first)
    while np.isfinite(reached):
        below = int(np.floor(reached)) + 1
        again = [s for s in range(below, min(below + widest, len(curve) - 2) + 1) if min(curve[s : s + 2]) >= threshold]
        if not again:
            break
        reached = first_shell_below(curve, threshold, again[0])
    return reached


def maps_of_sums(sums: dict[int, Sums]) -> dict[int, np.ndarray]:
    """Return the half maps of completed sums."""
    return {h: solve(one) for h, one in sums.items()}


def average_of_sums(sums: dict[int, Sums], curves: FscCurves) -> np.ndarray:
    """Return the average of both halves, filtered by what their correlation says of it.

    References
    ----------
    Rosenthal & Henderson, J. Mol. Biol. 333 (2003), Eq. 7.
    """
    n = sums[1].size
    whole = Sums(n, sums[1].radius, sums[1].data + sums[2].data, sums[1].weights + sums[2].weights)
    correlation = np.clip(curves.corrected, 0.05, 1.0)
    weight = np.append(np.sqrt(2 * correlation / (1 + correlation)), 0.0)
    return radial_filter(solve(whole) * ball(n, n / 2 - EDGE, EDGE), weight)


def make_references(species: Species, maps: MeasuredMaps, ctf: Ctf, share: float = 1.0) -> References | None:
    """Return the references of a species; None where its halves agree in too few shells.

    Each half is weighted by the correlation (the Wiener filter of a half map), masked, and cut off where the halves
    agree no longer, gaps left out; 40 Å and coarser is their mean, at most half of these shells. The box is widened
    until it holds what the CTF spreads.

    Parameters
    ----------
    species : Species
    maps : MeasuredMaps
    ctf : Ctf
        Of all tilts of all series.
    share : float
        Of the shells that are used.
    """
    n = species.size
    reached = min(maps.compared, n / 2 - 1) * share
    if not np.isfinite(maps.resolution) or reached < FEWEST_SHELLS:
        return None
    shared = share_coarse_shells(
        maps.halves, min(n * species.pixel_size / SHARED_BELOW, LARGEST_SHARED * maps.compared)
    )
    weight = np.append(np.clip(maps.curves.corrected, 0, 1), 0.0)
    mask, size = species.soft_mask(), widen_box(species, ctf, reached)
    transforms = []
    for h in (1, 2):
        volume = remove_fine_detail(radial_filter(shared[h], weight) * mask, reached)
        before = size // 2 - n // 2
        transforms.append(transform_padded(np.pad(volume, [(before, size - n - before)] * 3), reached * size / n))
    return References(size, species.pixel_size, reached * size / n, np.stack(transforms))


def widen_box(species: Species, ctf: Ctf, shell: float) -> int:
    """Return the edge of windows in voxels that hold what the CTF spreads of the particle up to a shell; even."""
    pixel = species.size * species.pixel_size / (2 * shell)
    wanted = count_alias_free(ctf, pixel, species.diameter) * pixel / species.pixel_size
    return max(species.size, 2 * int(np.ceil(wanted / 2)))


def share_coarse_shells(halves: dict[int, np.ndarray], shell: float) -> dict[int, np.ndarray]:
    """Return half maps whose shells up to `shell` are the mean of both."""
    n = halves[1].shape[0]
    spectra = {h: rfftn(np.asarray(volume, np.float32)) for h, volume in halves.items()}
    coarse = shells_of(n) <= shell
    mean = (spectra[1][coarse] + spectra[2][coarse]) / 2
    for spectrum in spectra.values():
        spectrum[coarse] = mean
    return {h: irfftn(spectrum, (n, n, n)) for h, spectrum in spectra.items()}
