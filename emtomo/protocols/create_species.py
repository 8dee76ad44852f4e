"""Protocol: what belongs to one kind of particle, for multi-particle refinement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.masks import soften
from emtomo.compute.positions import check_finite
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.names import find_name_problem
from emtomo.objects import SetOfParticleSeries, positions_of
from emtomo.objects.half_sets import check_half_sets
from emtomo.objects.population import Species
from emtomo.objects.volume_arrays import halves_of, resample_to_box
from emtomo.options import Param

EXPAND, EDGE = 3.0, 6.0  # voxels by which a binary mask is grown and softened, as in M


@dataclass(frozen=True, kw_only=True)
class SpeciesOptions:
    """What is said of a kind of particle."""

    name: Annotated[
        str,
        Param(
            "Name",
            "Of the species; outputs and files are called by it.",
            validate=lambda name: find_name_problem(name, "Name"),
        ),
    ] = "particle"
    diameter: Annotated[
        float,
        Param("Diameter", "Of the particle. 0: the longest extent of the mask.", unit="Å", ge=0),
    ] = 0.0
    symmetry: Annotated[
        str, Param("Symmetry group", "Cn, Dn, T, O, I1 or I2. Empty: the one that the average was made with.")
    ] = ""


class CreateSpecies(EmtomoProtocol):
    """Combine what multi-particle refinement needs of one kind of particle: half maps, mask and poses.

    The poses are those of a refinement, whose halves stay what they are. A binary mask gets a soft edge; a soft one
    stays. Species with populations are what M has under these names.
    """

    NAME = "create-species"
    _label = "create species"
    _possibleOutputs = {"species": Species}
    OPTIONS = (SpeciesOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "average", "Average", "Average", "With half maps, of the finest pixel size.")
        self._add_input(
            form,
            "subtomograms",
            "SetOfSubtomograms,SetOfParticleSeries",
            "Particles",
            "Refined, with the halves that the half maps are made from.",
        )
        self._add_input(form, "mask", "Mask", "Mask", "Binary or soft, of the particle.")

    def _check(self) -> list[str]:
        errors, options = [], self.options(SpeciesOptions)
        try:
            halves_of(self.input_average.get())
            self._symmetry()
        except EmtomoError as error:
            errors.append(str(error))
        if not options.name.strip():
            errors.append("Name must not be empty.")
        particles = self.input_subtomograms.get()
        frame = particles.frame(["r11", "half"])
        if not len(frame):
            return [*errors, "There is no particle."]
        unknown, apart = int(frame["r11"].isna().sum()), frame["half"].fillna(0).astype(int).isin([1, 2])
        if unknown:
            errors.append(f"{unknown} of {len(frame)} {particles.NOUN} have no orientation.")
        if not apart.all():
            errors.append(
                f"{int((~apart).sum())} of {len(frame)} {particles.NOUN} are in no half set: take those that "
                "refine-poses gives, from whose halves the half maps are made."
            )
        elif frame["half"].nunique() < 2:
            errors.append("All particles are in one half set; the other half map has none.")
        elif not errors:
            check_half_sets(self.input_average, particles)
        average = self.input_average.get()
        edge = float(average.pixel_size.get()) * int(average.box_size.get())
        if options.diameter > edge:
            errors.append(f"Diameter must be at most the average's box, {edge:g} Å, got {options.diameter:g} Å.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.create_step)

    def create_step(self) -> None:
        """Write mask and particles, register the species."""
        self.forget_remarks()
        average, options = self.input_average.get(), self.options(SpeciesOptions)
        uncertain = check_half_sets(self.input_average, self.input_subtomograms.get())
        self.remark(*([uncertain] if uncertain else []))
        pixel, n = float(average.pixel_size.get()), int(average.box_size.get())
        mask, remark = resample_to_box(self.input_mask.get(), n, pixel, "mask")
        self.remark(*([remark] if remark else []))
        inside = mask > 0.5
        if not inside.any():
            raise EmtomoError("The mask has no voxel above 0.5 in the average's box.")
        if np.isin(mask, (0, 1)).all():
            mask = soften(inside, EXPAND, EDGE)
            self.remark(f"The binary mask was extended by {EXPAND:g} voxels and got a soft edge of {EDGE:g}.")
        mask_file = self._getExtraPath("mask.mrc")
        mrc.write_volume(mask_file, np.clip(mask, 0, 1).astype(np.float32), pixel)
        count, particles_file = self._write_particles(pixel, n)
        species = Species(
            **{name: value for name, value in average.values().items() if name != "particles"},
            name=options.name,
            mask_file=mask_file,
            diameter=options.diameter or min(_extent(inside) * pixel, n * pixel),
            particles_file=particles_file,
            particles=count,
        )
        species.symmetry.set(self._symmetry())
        self._register(self.input_average, species=species)

    # --- helpers ---

    def _symmetry(self) -> str:
        return parse_symmetry(self.options(SpeciesOptions).symmetry.strip() or self.input_average.get().symmetry.get())

    def _write_particles(self, pixel: float, n: int) -> tuple[int, str]:
        """Write the poses at their refined centres; return their number and file."""
        source = self.input_subtomograms.get()
        frame = source.frame()
        points = positions_of(frame) + frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float)
        check_finite(points, "The position of particle")
        for k, axis in enumerate("xyz"):
            frame[axis], frame[f"shift_{axis}"] = points[:, k], 0.0
        frame = frame.drop(columns=["file", "index", "ctf_file", "visible"], errors="ignore")
        path = Path(self._getExtraPath("particles.sqlite"))
        optics = {name: getattr(source, name).get() for name in ("voltage", "cs", "amplitude_contrast")}
        SetOfParticleSeries.save(path, frame, pixel_size=pixel, box_size=n, white=True, **optics)
        return len(frame), str(path)


def _extent(inside: np.ndarray) -> float:
    """Return the diameter in voxels of the smallest sphere about the centre that holds all that is inside."""
    places = np.argwhere(inside) - np.array(inside.shape) // 2
    return 2 * float(np.sqrt((places**2).sum(axis=1).max())) + 1
