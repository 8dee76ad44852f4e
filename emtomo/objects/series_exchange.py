"""Particle series as files of RELION 5: stacks of images, particles, tomograms and the set of both."""

from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.io import star
from emtomo.io.particles_star import box_optics
from emtomo.io.relion_tilts import write_tomograms
from emtomo.io.relion_write import write_relion
from emtomo.objects.exchange import particles_of_set, sizes_of
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.tilt_exchange import tilts_of
from emtomo.objects.tilt_series import SetOfTiltSeries

PARTICLES, TOMOGRAMS, BOTH = "particles.star", "tomograms.star", "optimisation_set.star"


def write_relion5(found: SetOfParticleSeries, series: SetOfTiltSeries, folder: Path) -> list[str]:
    """Write particles.star, tomograms.star with a file for every tilt series, and optimisation_set.star.

    Files of an earlier try are replaced. Names of stacks are absolute.

    Parameters
    ----------
    found : SetOfParticleSeries
        With images on disk, one stack a particle.
    series : SetOfTiltSeries
        From which they were cut.
    folder : Path

    Returns
    -------
    list of str
        Sentences on what could not be written.
    """
    names = [name for name in series.tomogram_ids() if name in set(found.tomogram_ids())]
    tilts = [tilts_of(series, name) for name in names]
    unsized = [one.name for one in tilts if one.volume_size is None]
    if unsized:
        return [f"No STAR files for RELION 5, which needs the size of the tomograms: {', '.join(unsized)} has none."]
    frame, particles = found.frame(), particles_of_set(found)
    optics = box_optics(
        float(found.pixel_size.get()),
        int(found.box_size.get()),
        {name: float(getattr(found, name).get()) for name in ("voltage", "cs", "amplitude_contrast")},
    )
    optics["rlnImageDimensionality"] = 2
    optics["rlnTomoTiltSeriesPixelSize"] = float(series.pixel_size.get())
    optics["rlnTomoSubtomogramBinning"] = float(found.pixel_size.get()) / float(series.pixel_size.get())
    optics["rlnCtfDataAreCtfPremultiplied"] = int(bool(found.premultiplied.get()))
    particles.optics, particles.family = optics, "relion"
    kept = {name: ~series.images(name)["excluded"].to_numpy(bool) for name in names}
    shown = [
        "[" + ",".join(np.array(list(text))[kept[name]]) + "]"
        for name, text in zip(frame["tomogram_id"], frame["visible"], strict=True)
    ]
    particles.other = pd.DataFrame(
        {
            "rlnOpticsGroup": np.ones(len(frame), int),
            "rlnImageName": [str(Path(file).absolute()) for file in frame["file"]],
            "rlnTomoVisibleFrames": shown,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    for old in [folder / TOMOGRAMS, *(folder / f"{name}.star" for name in names)]:
        old.unlink(missing_ok=True)
    write_relion(folder / PARTICLES, particles, "relion5", pixel_size=float(series.pixel_size.get()),
                 volumes=sizes_of(series))  # fmt: skip
    write_tomograms(folder / TOMOGRAMS, tilts)
    both = {"rlnTomoParticlesFile": PARTICLES, "rlnTomoTomogramsFile": TOMOGRAMS}
    star.write_blocks(folder / BOTH, {"": both})
    return []
