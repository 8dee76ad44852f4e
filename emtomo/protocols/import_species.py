"""Protocol: bring a species of M into the project."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam

from emtomo.compute.symmetry import parse_symmetry
from emtomo.compute.tilt.particle_motion import ParticleMotions
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import mrc, names
from emtomo.io.m_population import MSpecies, read_species
from emtomo.io.particles import convert_frame
from emtomo.io.warp_m import read_m, read_samples
from emtomo.objects import SetOfParticleSeries, coordinates_frame
from emtomo.objects.exchange import sizes_of
from emtomo.objects.particle_motions import motion_texts
from emtomo.objects.population import Species
from emtomo.objects.position_check import check_positions
from emtomo.wording import count_text


class ImportSpecies(EmtomoProtocol):
    """Import a species that M refined: half maps, mask, and the poses and halves of its particles.

    The files lie beside the .species file, as M has them. Particles are matched to the tilt series by the names of
    these; of poses at several times, the first is taken.
    """

    NAME = "import-species"
    _label = "import species (M)"
    _possibleOutputs = {"species": Species}
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        form.addParam("file", PathParam, label="Species file", help="A .species file of M, in its folder.")
        self._add_input(
            form, "tilt_series", "SetOfTiltSeries", "Tilt series", "Imported from M's .xml files: of its last version."
        )

    def _check(self) -> list[str]:
        species = self._species()
        parse_symmetry(species.symmetry)
        for ending in ("half1.mrc", "half2.mrc", "mask.mrc"):
            shape = mrc.read_header(species.beside(ending)).shape
            if len(set(shape)) != 1 or shape != mrc.read_header(species.beside("half1.mrc")).shape:
                return [f"{species.beside(ending)}: maps and mask must be cubes of one size, got {shape}."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.import_step)

    def import_step(self) -> None:
        """Copy the maps, match the particles, register."""
        self.forget_remarks()
        species = self._species()
        files = {}
        for ending in ("half1", "half2", "mask"):
            files[ending] = self._getExtraPath(f"{ending}.mrc")
            shutil.copyfile(species.beside(f"{ending}.mrc"), files[ending])
        halves = [mrc.read_volume(files[half]) for half in ("half1", "half2")]
        average = self._getExtraPath("average.mrc")
        mrc.write_volume(average, ((halves[0] + halves[1]) / 2).astype(np.float32), species.pixel_size)
        frame = self._particles(species)
        path = self._getExtraPath("particles.sqlite")
        optics = {name: getattr(self.input_tilt_series.get(), name).get() for name in ("voltage", "cs")}
        box = halves[0].shape[0]
        SetOfParticleSeries.save(path, frame, pixel_size=species.pixel_size, box_size=box, white=True, **optics)
        made = Species(
            name=species.name,
            file=average,
            half1_file=files["half1"],
            half2_file=files["half2"],
            mask_file=files["mask"],
            pixel_size=species.pixel_size,
            box_size=box,
            symmetry=parse_symmetry(species.symmetry),
            resolution=max(species.resolution, 0.0),
            diameter=min(species.diameter, box * species.pixel_size),
            particles=len(frame),
            particles_file=path,
        )
        self._register(self.input_tilt_series, species=made)

    # --- helpers ---

    def _species(self) -> MSpecies:
        if not self.file.get():
            raise EmtomoError("Species file must not be empty.")
        return read_species(Path(self.file.get()))

    def _particles(self, species: MSpecies) -> pd.DataFrame:
        """Return the poses in Å from the tomograms' centres."""
        series, path = self.input_tilt_series.get(), species.beside("particles.star")
        particles = read_m(path)
        samples = read_samples(path, particles)
        if samples is None:
            self.remark(*particles.notes)
        else:
            self.remark(f"The particles move: they have poses at {samples[1].shape[1]} times of the exposure.")
        if particles.rotations is None or "half" not in particles.columns:
            raise FormatError(path, "a species' particles need wrpAngleRot1, Tilt1, Psi1 and wrpRandomSubset.")
        if not np.isin(particles.columns["half"], (1, 2)).all():
            raise FormatError(path, "wrpRandomSubset must be 1 or 2.")
        named = np.array([names.stem(str(name)) for name in particles.tomograms], object)
        found, missing, _ = names.match_names(list(dict.fromkeys(named)), series.tomogram_ids())
        if missing:
            lost = int(np.isin(named, missing).sum())
            self.remark(f"No tilt series for {lost} of {count_text(len(named), 'particle')} ({', '.join(missing)}).")
        kept = np.isin(named, list(found))
        if not kept.any():
            raise EmtomoError(
                f"No particle of {path.name} lies in these tilt series: it names {', '.join(missing)}, the series are "
                f"{', '.join(series.tomogram_ids())}."
            )
        particles = particles.select(kept)
        particles.tomograms = np.array([found[name] for name in named[kept]], object)
        motions = None if samples is None else ParticleMotions.between(*(each[kept] for each in samples))
        texts = np.array(motion_texts(motions, len(particles)), object)
        here = convert_frame(particles, "angstrom", "centre", volumes=sizes_of(series))
        parts = []
        for name in dict.fromkeys(here.tomograms):
            mine = here.tomograms == name
            assert here.rotations is not None
            one = coordinates_frame(str(name), here.centres[mine], here.rotations[mine])
            parts.append(one.assign(half=here.columns["half"][mine], motion=texts[mine]))
        frame = pd.concat(parts, ignore_index=True)
        self.remark(*check_positions(frame, series, source=path.name))
        return frame
