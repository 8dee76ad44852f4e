"""Protocol: bring a volume's symmetry axes to the standard place."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pyworkflow.object import Object
from pyworkflow.protocol.params import Form

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.symmetrisation import Axes, detect_symmetry, find_axes, symmetrise
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.engine.table import TableSet
from emtomo.io import mrc
from emtomo.objects import (
    SetOfParticles,
    SetOfParticleSeries,
    SetOfSubtomograms,
    Volume,
    rotation_columns,
    rotations_of,
)
from emtomo.objects.particle_input import OTHER_NAMES, OUTPUTS
from emtomo.objects.volume_arrays import box_problem, volume_of
from emtomo.options import Param

LOW = 0.5


@dataclass(frozen=True, kw_only=True)
class AlignSymmetryOptions:
    """Which axes are looked for."""

    symmetry: Annotated[
        str,
        Param(
            "Symmetry group",
            "Point group: Cn, Dn, T, O, I1 or I2. auto scores C2 to C8, D2 to D8, T, O and I1 and "
            "takes the largest group that fits.",
        ),
    ] = "auto"
    recentre: Annotated[bool, Param("Search the centre?", "Also move the point on all axes to the box's centre.")] = (
        True
    )


class AlignSymmetry(EmtomoProtocol):
    """Find the symmetry axes of a volume, rotate it to RELION's convention for them, and symmetrize it.

    Particles that were aligned to the volume are turned with it if they are given.
    """

    NAME = "align-symmetry"
    _label = "align symmetry axes"
    _possibleOutputs = {
        "volume": Volume,
        "symmetrized": Volume,
        "subtomograms": SetOfSubtomograms,
        "particles": SetOfParticles,
        "particle_series": SetOfParticleSeries,
    }
    OPTIONS = (AlignSymmetryOptions,)
    OTHER_NAMES = OTHER_NAMES

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "volume", "Volume,Average", "Volume", "Made without symmetry.")
        self._add_input(
            form,
            "subtomograms",
            "SetOfSubtomograms,SetOfParticles,SetOfParticleSeries",
            "Particles",
            "Aligned to the volume; their orientations and shifts follow it.",
            optional=True,
        )

    def _check(self) -> list[str]:
        problem = box_problem(self.input_volume.get())
        if problem:
            return [problem]
        name = self.options(AlignSymmetryOptions).symmetry
        if name.lower() == "auto":
            return []
        group = parse_symmetry(name)
        return ["C1 has no axes to find."] if group == "C1" else []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.align_step)

    def align_step(self) -> None:
        """Find the axes, turn, symmetrize and register."""
        self.forget_remarks()
        options, source = self.options(AlignSymmetryOptions), self.input_volume.get()
        volume = volume_of(source)
        group, axes = self._axes(volume, options)
        size = source.pixel_size.get()
        where = ", ".join(f"{c * size:.1f}" for c in axes.centre)
        agreement = f"correlate {axes.score:.2f} on average" if np.isfinite(axes.score) else "have no finite power"
        self.remark(f"{group}: shells {agreement}; the axes meet at {where} Å.")
        if not axes.score >= LOW:
            self.remark("That is little: this may not be the symmetry.")
        turned = rotate_boxes(volume[None], axes.rotation[None], axes.centre[None])[0]
        outputs: dict[str, Object] = {}
        for name, voxels in (("volume", turned), ("symmetrized", symmetrise(turned, group))):
            path = self._getExtraPath(f"{name}.mrc")
            mrc.write_volume(path, voxels, size)
            outputs[name] = Volume(file=path, pixel_size=size, box_size=source.box_size.get())
        if not self.input_subtomograms.pointsNone():
            items = self.input_subtomograms.get()
            name = OUTPUTS.get(type(items).__name__, "particle_series")
            outputs[name] = self._rotate_rows(items, name, axes, size)
        self._register(self.input_volume, **outputs)

    # --- helpers ---

    def _axes(self, volume: np.ndarray, options: AlignSymmetryOptions) -> tuple[str, Axes]:
        if options.symmetry.lower() != "auto":
            group = parse_symmetry(options.symmetry)
            return group, find_axes(volume, group, recentre=options.recentre)
        found = detect_symmetry(volume, recentre=options.recentre)
        scores = ", ".join(f"{name} {axes.score:.2f}" for name, axes in found.items())
        self.remark(f"Scores: {scores}.")
        group = next(iter(found))
        return group, found[group]

    def _rotate_rows(self, items: TableSet, name: str, axes: Axes, pixel_size: float) -> TableSet:
        """Return the particles, their poses now for the turned volume."""
        frame = items.frame()
        old = rotations_of(frame)
        new = old @ axes.rotation
        frame = frame.assign(**rotation_columns(new, len(frame)))
        shift = old @ (axes.centre * pixel_size)
        for k, axis in enumerate("xyz"):
            if f"shift_{axis}" in frame:  # of images only x and y
                frame[f"shift_{axis}"] += shift[:, k]
        out = type(items).create(self._getPath(f"{name}.sqlite"))
        out.copy_fields(items)
        out.extend(frame)
        return out
