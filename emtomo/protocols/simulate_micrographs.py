"""Protocol: micrographs with known truth, to try any single-particle workflow on."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.particle_extraction import ExtractParticlesOptions, extract_particles, nearest_pixels
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.io.molecules import read_density
from emtomo.objects import (
    SetOfCoordinates2D,
    SetOfMicrographs,
    SetOfParticles,
    Volume,
    coordinates_2d_frame,
    rotation_columns,
)
from emtomo.options import Param
from emtomo.synthetic.micrographs import (
    MicrographOptions,
    MicrographSimulator,
    SimulatedMicrograph,
    particle_density,
    particle_diameter,
)
from emtomo.wording import count_text

ROOM = 1.5  # box of the true particles, in diameters


@dataclass(frozen=True, kw_only=True)
class SimulateMicrographsOptions:
    """How many micrographs."""

    number: Annotated[int, Param("Micrographs", "Each with particles and defocus of its own.", ge=1, le=10000)] = 4


class SimulateMicrographs(EmtomoProtocol):
    """Simulate micrographs of particles of known positions, orientations and CTF, with junk, ice and carbon if wanted.

    Outputs the micrographs with their true CTF, the true coordinates, images of the particles with their true
    orientations, and the map that they show.
    """

    NAME = "simulate-micrographs"
    _label = "simulate micrographs"
    _possibleOutputs = {
        "micrographs": SetOfMicrographs,
        "truth": SetOfCoordinates2D,
        "particles": SetOfParticles,
        "volume": Volume,
    }
    OPTIONS = (SimulateMicrographsOptions, MicrographOptions)
    STEPS_APART = ("simulate_step",)
    STEPS_PER = "micrograph"
    READS = ("molecule",)

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        add_optional_path(
            form,
            "molecule",
            "Molecule",
            "PDB, mmCIF or MRC file, in place of the built-in particle; atoms are rotated about their centre of "
            "mass, a map about its centre voxel.",
        )

    def _check(self) -> list[str]:
        options = self.options(MicrographOptions)
        if options.min_defocus > options.max_defocus:
            return [
                f"Smallest defocus must not exceed the largest ({options.max_defocus:g} Å), "
                f"got {options.min_defocus:g} Å."
            ]
        diameter = particle_diameter(self._density(), options.pixel_size)
        room = min(options.size_x, options.size_y) * options.pixel_size
        if diameter > room:
            return [f"The particle of {diameter:.0f} Å does not fit into micrographs of {room:.0f} Å."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        n = self.options(SimulateMicrographsOptions).number
        done = [self._insertFunctionStep(self.simulate_step, k, n, prerequisites=[]) for k in range(n)]
        self._insertFunctionStep(self.output_step, n, prerequisites=done)

    def simulate_step(self, number: int, total: int) -> None:
        """Make one micrograph, and the images of its particles."""
        simulator, name = self._simulator(), self._name(number)
        made = simulator.make(number)
        size = simulator.options.pixel_size
        mrc.write_volume(self._getExtraPath(f"{name}.mrc"), made.image[None], size)
        frame = self._cut(name, made, simulator)
        SetOfParticles.save(self._getExtraPath(f"{name}.sqlite"), frame)
        self.progress(number + 1, total)

    def output_step(self, total: int) -> None:
        """Register micrographs and truth."""
        self.forget_remarks()
        simulator = self._simulator()
        options = simulator.options
        optics = {name: getattr(options, name) for name in ("voltage", "cs", "amplitude_contrast")}
        size, box = options.pixel_size, self._box(simulator)
        micrographs = SetOfMicrographs.create(
            self._getPath("micrographs.sqlite"), pixel_size=size, white=options.white, **optics
        )
        micrographs.extend(pd.DataFrame([self._micrograph(simulator, k) for k in range(total)]))
        frames = [SetOfParticles.open(self._getExtraPath(f"{self._name(k)}.sqlite")).frame() for k in range(total)]
        frame = pd.concat(frames, ignore_index=True)
        frame["particle_id"] = np.arange(1, len(frame) + 1)
        particles = SetOfParticles.create(
            self._getPath("particles.sqlite"), pixel_size=size, box_size=box, white=True, **optics
        )
        particles.extend(frame)
        truth = SetOfCoordinates2D.create(self._getPath("truth.sqlite"), pixel_size=size, box_size=box)
        for k in range(total):
            mine = frame[frame["micrograph_id"] == self._name(k)]
            centres = mine[["x", "y"]].to_numpy(float) + mine[["shift_x", "shift_y"]].to_numpy(float)
            truth.extend(coordinates_2d_frame(self._name(k), centres, picker="truth", diameter=simulator.diameter))
        path = self._getExtraPath("volume.mrc")
        mrc.write_volume(path, simulator.density, size)
        wanted = total * options.per_micrograph
        if len(frame) < wanted:
            self.remark(f"There was room for {len(frame)} of {count_text(wanted, 'particle')}.")
        self.remark(f"The particle has a diameter of {simulator.diameter:.0f} Å.")
        volume = Volume(file=path, pixel_size=size, box_size=len(simulator.density))
        self._register(None, micrographs=micrographs, truth=truth, particles=particles, volume=volume)

    # --- helpers ---

    def _density(self) -> np.ndarray:
        options, path = self.options(MicrographOptions), self.molecule.get()
        if path:
            return read_density(path, options.pixel_size)
        return particle_density(options.shape, options.pixel_size)

    def _simulator(self) -> MicrographSimulator:
        return MicrographSimulator(self.options(MicrographOptions), self._density())

    @staticmethod
    def _box(simulator: MicrographSimulator) -> int:
        return max(8, 2 * int(np.ceil(ROOM * simulator.diameter / simulator.options.pixel_size / 2)))

    @staticmethod
    def _name(number: int) -> str:
        return f"mic_{number + 1:03d}"

    def _micrograph(self, simulator: MicrographSimulator, number: int) -> dict[str, object]:
        ctf = simulator.ctf(number)
        return {
            "micrograph_id": self._name(number),
            "file": self._getExtraPath(f"{self._name(number)}.mrc"),
            "size_x": simulator.options.size_x,
            "size_y": simulator.options.size_y,
            "defocus_u": ctf.defocus_u,
            "defocus_v": ctf.defocus_v,
            "defocus_angle": ctf.angle,
        }

    def _cut(self, name: str, made: SimulatedMicrograph, simulator: MicrographSimulator) -> pd.DataFrame:
        """Write the images of a micrograph's particles and return their rows."""
        size, n = simulator.options.pixel_size, len(made.positions)
        nearest, rest = nearest_pixels(made.positions, size)
        options = ExtractParticlesOptions(
            box_size=self._box(simulator), invert=not simulator.options.white, border="pad"
        )
        stack = self._getExtraPath(f"{name}_particles.mrcs")
        if n:
            mrc.write_volume(stack, extract_particles(made.image, nearest, options)[0], size, stack=True)
        centres = nearest * size
        columns = {"x": centres[:, 0], "y": centres[:, 1], "shift_x": rest[:, 0], "shift_y": rest[:, 1]}
        return pd.DataFrame(
            {
                "micrograph_id": np.full(n, name, object),
                **columns,
                **rotation_columns(made.rotations, n),
                "file": stack,
                "index": np.arange(n),
                "defocus_u": float(made.ctf.defocus_u),
                "defocus_v": float(made.ctf.defocus_v),
                "defocus_angle": float(made.ctf.angle),
            }
        )
