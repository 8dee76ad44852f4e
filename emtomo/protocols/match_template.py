"""Protocol: find copies of a reference in tomograms."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.device import check_device
from emtomo.compute.matching.match import TILE, Match, Matcher
from emtomo.compute.matching.model import MaskedReference, automatic_mask
from emtomo.compute.matching.options import PeakOptions, ScanOptions
from emtomo.compute.matching.scan import tile_of_memory
from emtomo.compute.matching.weighting import Transfer, wedge_transfer
from emtomo.compute.optics.ctf import Contrast
from emtomo.compute.positions import from_voxels
from emtomo.compute.symmetry import parse_symmetry
from emtomo.compute.tilt.wedge import tilt_transfer
from emtomo.engine.form import add_device
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, coordinates_frame
from emtomo.objects.candidates import choose, keep_candidates
from emtomo.objects.surfaces import surface_of
from emtomo.objects.volume_arrays import resample_to_box
from emtomo.options import Param


@dataclass(frozen=True, kw_only=True)
class MatchOptions:
    """What becomes of the picks, and what is known of the tomograms."""

    box_size: Annotated[
        int | None, Param("Box size", "For display and extraction. Empty: the reference's.", unit="voxel", ge=1)
    ] = None
    group: Annotated[int, Param("Group", "Kept on every coordinate.", ge=0)] = 1
    ctf: Annotated[
        str,
        Param(
            "CTF of the tomograms",
            "With tilt series: whether the images' phases were flipped, nothing was "
            "corrected, or the CTF is not to be taken into account.",
            choices=("flipped", "not corrected", "ignore"),
        ),
    ] = "flipped"
    surface_distance: Annotated[
        float, Param("Distance to the surface", "With meshes: centres farther away are not searched.", unit="Å", gt=0)
    ] = 100.0
    cone: Annotated[
        float,
        Param(
            "Cone",
            "With meshes: angle between the reference's z axis and the normal, at most.",
            unit="°",
            gt=0,
            le=180,
        ),
    ] = 45.0
    keep_scores: Annotated[
        bool, Param("Keep the scores", "Write the best score and the orientation's number of every voxel of the scan.")
    ] = False


class MatchTemplate(EmtomoProtocol):
    """Find copies of a reference, with their orientations, by a noise-weighted correlation.

    The cut is set by how many places pure noise would give. All candidates are kept, so that pick-again changes cut,
    distance and number in a second.
    """

    NAME = "match-template"
    _label = "match template"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (PeakOptions, ScanOptions, MatchOptions)
    STEPS_APART = ("match_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Tomograms", "Where to look.")
        self._add_input(form, "reference", "Volume,Average", "Reference", "White particle; any pixel size.")
        self._add_input(
            form,
            "mask",
            "Mask,Volume",
            "Mask",
            "Within which the reference is compared. Empty: a sphere around its density.",
            optional=True,
        )
        self._add_input(
            form,
            "tilt_series",
            "SetOfTiltSeries",
            "Tilt series",
            "Weigh the reference tilt by tilt, with dose and CTF. Empty: by the tomograms' tilt range.",
            optional=True,
        )
        self._add_input(
            form,
            "meshes",
            "SetOfMeshes,SetOfCoordinates3D",
            "Surface",
            "Models, or oriented coordinates of model-workflow: look only near them and along their normals.",
            optional=True,
        )
        add_device(form)

    def _check(self) -> list[str]:
        check_device(self.device.get())
        parse_symmetry(self.options(ScanOptions).symmetry)
        peaks = self.options(PeakOptions)
        if not peaks.false_alarms and not peaks.number_of_particles:
            return ["Without a threshold (false alarms 0) the number of particles must be given."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insert_per_tomogram(self.match_step, self.input_tomograms.get().tomogram_ids(), self.output_step)

    def match_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Match in one tomogram."""
        tomograms = self.input_tomograms.get()
        row = tomograms.frame(tomogram_id=tomogram_id).iloc[0]
        size, volume = tomograms.pixel_size.get(), mrc.open_volume(row["file"])
        model, sentences = self._model()
        matcher = Matcher(
            volume,
            size,
            bool(tomograms.white.get()),
            model,
            self._transfer(row, model),
            self.options(ScanOptions),
            tile_of_memory(TILE),
            self.device.get(),
        )
        guide = None
        if not self.input_meshes.pointsNone():
            options = self.options(MatchOptions)
            surface = surface_of(self.input_meshes.get(), tomogram_id, options.surface_distance / 2)
            guide = matcher.guide(*surface, options.surface_distance, options.cone, size)
        wanted = self.options(PeakOptions).number_of_particles
        found = matcher.locate(guide, wanted, lambda done, all_: self.progress(number + done / all_, total))
        if found.inverted:
            sentences.append(
                f"{tomogram_id}: inverted contrast matches clearly better; is the reference dark, or are the "
                "particles of the tomograms white (an option of import-tomograms)?"
            )
        self._keep(tomogram_id, found, volume.shape, model.radius * size, sentences)
        self.progress(number + 1, total)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Choose among the candidates of all tomograms and register."""
        self.forget_remarks()
        pixel, group = self.input_tomograms.get().pixel_size.get(), self.options(MatchOptions).group
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"), pixel_size=pixel, box_size=self._box_size()
        )
        self.remark(*choose(self._getExtraPath(), tomogram_ids, self.options(PeakOptions), out, group))
        self._register(self.input_tomograms, coordinates=out)

    # --- helpers ---

    def _box_size(self) -> int:
        """Return the box in voxels of the tomograms."""
        reference = self.input_reference.get()
        ratio = reference.pixel_size.get() / self.input_tomograms.get().pixel_size.get()
        return self.options(MatchOptions).box_size or int(np.ceil(reference.box_size.get() * ratio))

    def _model(self) -> tuple[MaskedReference, list[str]]:
        """Return what is looked for, at the tomograms' pixel size, and what was done to it."""
        reference, pixel = self.input_reference.get(), self.input_tomograms.get().pixel_size.get()
        size = int(np.ceil(reference.box_size.get() * reference.pixel_size.get() / pixel - 1e-3))
        array, changed = resample_to_box(reference, size, pixel, "reference")
        sentences = [changed] if changed else []
        if self.input_mask.pointsNone():
            return MaskedReference.of(array, automatic_mask(array)), sentences
        mask, changed = resample_to_box(self.input_mask.get(), size, pixel, "mask")
        return MaskedReference.of(array, np.clip(mask, 0, 1)), sentences + ([changed] if changed else [])

    def _transfer(self, row: pd.Series, model: MaskedReference) -> Transfer:
        """Return what the tilts of a tomogram pass on."""
        series = None if self.input_tilt_series.pointsNone() else self.input_tilt_series.get()
        name = str(row["tomogram_id"])
        if series is None or name not in series.tomogram_ids():
            return wedge_transfer(float(row["tilt_min"]), float(row["tilt_max"]))
        geometry = series.geometry(name)
        pixel = self.input_tomograms.get().pixel_size.get()
        ctf: dict[str, Contrast | None] = {"flipped": "flipped", "not corrected": "white", "ignore": None}
        return tilt_transfer(geometry, pixel, 2 * model.radius, ctf[self.options(MatchOptions).ctf])

    def _keep(self, name: str, found: Match, shape: tuple[int, ...], radius: float, sentences: list[str]) -> None:
        """Write all candidates, how they were found and, if wanted, the scores."""
        size = self.input_tomograms.get().pixel_size.get()
        places = found.places
        frame = coordinates_frame(
            name, from_voxels(places.positions, shape, size), places.rotations, score=places.scores, picker="template"
        )
        if self.options(MatchOptions).keep_scores:
            scores = np.where(np.isfinite(found.scores), found.scores, 0).astype(np.float32)
            step = size * found.binning
            mrc.write_volume(self._getExtraPath(f"{name}_scores.mrc"), scores, step)
            mrc.write_volume(self._getExtraPath(f"{name}_orientations.mrc"), found.which.astype(np.float32), step)
            np.save(self._getExtraPath(f"{name}_rotations.npy"), found.rotations, allow_pickle=False)
        about = {"cells": found.cells, "radius": radius, "sentences": sentences}
        keep_candidates(self._getExtraPath(), name, frame, about)
