"""Which groups of parameters a series can bear, of those that were asked for."""

import numpy as np

from emtomo.compute.multiparticle.least_squares import PopulationImages
from emtomo.compute.multiparticle.optics_parameters import Magnifications, OpticsOfTilts
from emtomo.compute.multiparticle.options import MultiParticleOptions, parse_grid
from emtomo.compute.multiparticle.parameters import ImageShifts, ImageWarps, ParameterBlock, StageAngles, VolumeWarps
from emtomo.compute.multiparticle.state import SeriesState
from emtomo.wording import count_text

PARTICLES_PER_NODE = 10
IMAGES_PER_NODE = 15  # of a volume warp, whose nodes in time share the images
FIXED_MEAN = 1.0  # Å of defocus
FIXED_SIZE = 1e-5  # of the magnification of a single series
FEWEST_DOSES = 3  # tilts for every node in time


def cap_grid(grid: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return the grid with its longest sides shortened until it has at most so many nodes, 1 at least."""
    sides = list(grid)
    while np.prod(sides) > max(1, most):
        longest = int(np.argmax(sides))
        sides[longest] -= 1
    return tuple(sides)


def choose_blocks(
    images: PopulationImages, state: SeriesState, options: MultiParticleOptions, alone: bool = False
) -> tuple[list[ParameterBlock], list[tuple[str, str]]]:
    """Return blocks in the order in which they are tried, and name and sentence of what was changed about them.

    Grids have at most a node for every ten particles; a volume warp's nodes in time at most one for three tilts; and
    optics and magnification are left alone where no species is resolved well enough: at low resolution the reference
    and they make up for each other. Differences of defocus between tilts, which all see the same reference, come first.
    A reference of one series `alone` is as large as its magnification makes it, of which only what differs between
    directions is refined.
    """
    count, tilts, geometry = len(state), len(state.geometry), state.geometry
    blocks: list[ParameterBlock] = []
    remarks: list[tuple[str, str]] = []
    if (grid := parse_grid(options.image_warp, 2)) is not None:
        capped = cap_grid(grid, count // PARTICLES_PER_NODE)
        if capped != grid:
            remarks.append(("image warp", _smaller(capped, count)))
        blocks.append(
            ImageShifts(tilts, options.shift_prior)
            if capped == (1, 1)
            else ImageWarps(tilts, (capped[0], capped[1]), _image_size(state), options.shift_prior, options.warp_prior)
        )
    if options.stage_angles:
        blocks.append(StageAngles(tilts, float(np.deg2rad(options.stage_prior))))
    if (grid := parse_grid(options.volume_warp, 4)) is not None:
        space = cap_grid(grid[:3], count // PARTICLES_PER_NODE)
        used = int(images.used.sum())
        times = min(grid[3], tilts // FEWEST_DOSES, used // IMAGES_PER_NODE // int(np.prod(space)))
        if times < 2:
            few = f"left out, too few: {count_text(count, 'particle')} in {count_text(tilts, 'tilt')}."
            remarks.append(("volume warp", few))
        else:
            capped = (*space, times)
            if capped != grid:
                remarks.append(("volume warp", _smaller(capped, count)))
            doses = float(geometry.dose.min()), float(geometry.dose.max())
            x, y, z, t = capped
            blocks.append(VolumeWarps((x, y, z, t), _volume_size(state), doses, options.warp_prior))
    optics = [
        ("magnification", options.magnification, options.magnification_prior / 100),
        ("defocus", options.defocus, options.defocus_prior),
        ("astigmatism", options.astigmatism, options.defocus_prior / 5),
        ("phase", options.phase, float(np.deg2rad(options.phase_prior))),
        ("cs", options.cs, options.cs_prior),
    ]
    best = min(one.references.resolution for one in images.species)
    for name, wanted, width in optics:
        if wanted and best <= options.optics_resolution:
            if name == "magnification" and alone:
                remarks.append((name, "of one series only what differs between directions: its map is as large as it."))
            blocks.append(
                Magnifications(width, FIXED_SIZE if alone else None)
                if name == "magnification"
                else OpticsOfTilts(tilts, name, width)
            )
        elif wanted and name == "defocus" and best <= options.defocus_resolution:
            blocks.append(OpticsOfTilts(tilts, name, width, FIXED_MEAN))
            remarks.append((name, f"its mean stays, since the references show {best:.1f} Å."))
        elif wanted:
            needed = max(options.optics_resolution, options.defocus_resolution if name == "defocus" else 0.0)
            sentence = f"left out: the references show {best:.1f} Å, and {needed:g} Å are needed."
            remarks.append((name, sentence))
    return blocks, remarks


def _smaller(grid: tuple[int, ...], particles: int) -> str:
    return f"{' x '.join(map(str, grid))} nodes, for {count_text(particles, 'particle')}."


def _image_size(state: SeriesState) -> tuple[float, float]:
    """Return x, y of the images in Å; where nobody knows it, what holds all particles."""
    if state.geometry.image_size is not None:
        return state.geometry.image_size
    reach = 2.1 * np.abs(state.project()[..., :2]).max(axis=(0, 1))
    return float(reach[0]), float(reach[1])


def _volume_size(state: SeriesState) -> tuple[float, float, float]:
    if state.geometry.volume_size is not None:
        return state.geometry.volume_size
    x, y, z = 2.1 * np.maximum(np.abs(state.positions).max(axis=(0, 1)), 1.0)
    return float(x), float(y), float(z)
