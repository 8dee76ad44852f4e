"""Protocol: find particles on micrographs by class averages, or by projections of a map."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pyworkflow.protocol.params import Form

from emtomo.compute.fourier.projections import Projector
from emtomo.compute.picking.choice import TEMPLATE_DISTANCE, choose_templates
from emtomo.compute.picking.options import TemplateChoice, TemplateOptions
from emtomo.compute.picking.preparation import search_pixel_size
from emtomo.compute.picking.references import RotatedTemplates, rotate_templates, view_rotations
from emtomo.compute.picking.search import search_templates
from emtomo.compute.symmetry import parse_symmetry
from emtomo.engine.identity import content_digest
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.io.peak_files import digest_of, read_peaks, read_templates, write_search, write_templates
from emtomo.objects import SetOfCoordinates2D
from emtomo.objects.micrograph_picks import (
    SearchNotes,
    add_picks,
    leave_out_problems,
    noting_problem,
    read_all_peaks,
    read_micrograph,
    search_key,
    write_notes,
)
from emtomo.objects.optics_fields import DEFOCUS_FIELDS
from emtomo.objects.volume_arrays import volume_of
from emtomo.options import Param
from emtomo.wording import count_text, list_text

TEMPLATES = "templates.npz"
ALIKE = 0.005  # relative difference of pixel sizes up to which micrographs share templates


@dataclass(frozen=True, kw_only=True)
class MatchTemplate2DOptions:
    """What becomes of the picks."""

    box_size: Annotated[
        int | None,
        Param("Box size", "For display and extraction. Empty: one and a half mask diameters.", unit="pixel", ge=1),
    ] = None


class MatchTemplate2D(EmtomoProtocol):
    """Find particles on micrographs by class averages or by projections of a map, at all angles in the plane.

    Score maps and peaks are kept in the run: threshold, distance and the limits of noise are changed without another
    search, and micrographs that were searched are not searched again unless the templates, the filters or the
    micrograph change.
    """

    NAME = "match-template-2d"
    _label = "match template on micrographs"
    _possibleOutputs = {"coordinates": SetOfCoordinates2D}
    OPTIONS = (TemplateChoice, TemplateOptions, MatchTemplate2DOptions)
    STEPS_APART = ("search_step",)
    STEPS_PER = "micrograph"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "micrographs", "SetOfMicrographs", "Micrographs", "Where to look.")
        self._add_input(
            form, "classes", "SetOfClasses2D", "2D references", "Class averages of white particles; or", optional=True
        )
        self._add_input(
            form,
            "volume",
            "Volume,Average",
            "3D reference",
            "a map of a white particle.",
            optional=True,
        )

    def _check(self) -> list[str]:
        classes, volume, micrographs = (getattr(self, f"input_{n}").get() for n in ("classes", "volume", "micrographs"))
        if (classes is None) == (volume is None):
            return ["Give 2D references or a 3D reference, one of the two."]
        options, errors = self.options(TemplateOptions), []
        if not len(micrographs):
            errors.append("There are no micrographs to pick on: the input is an empty set.")
        if classes is not None and not len(classes):
            errors.append("There are no references: the set of classes is empty.")
        try:
            if options.ctf_corrected:
                micrographs.ctf()
            parse_symmetry(options.symmetry)
        except EmtomoError as error:
            errors.append(str(error))
        if options.highpass is not None and options.highpass <= options.lowpass:
            errors.append(
                f"The high-pass filter ({options.highpass:g} Å) must be coarser than the low-pass filter "
                f"({options.lowpass:g} Å)."
            )
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        names = self.input_micrographs.get().group_ids()
        first = self._insertFunctionStep(self.prepare_step, prerequisites=[])
        done = [
            self._insertFunctionStep(self.search_step, name, k, len(names), prerequisites=[first])
            for k, name in enumerate(names)
        ]
        self._insertFunctionStep(self.choose_step, names, prerequisites=done)

    def prepare_step(self) -> None:
        """Make the templates at the pixel size of the search."""
        micrographs = self.input_micrographs.get()
        size = self._search_size(micrographs.shape(micrographs.group_ids()[0]))
        path, key = self._getExtraPath(TEMPLATES), digest_of(self._searched())
        if read_templates(path, key) is None:
            write_templates(path, self._templates(size), key)

    def search_step(self, micrograph_id: str, number: int, total: int) -> None:
        """Search one micrograph, unless its peaks are there."""
        micrographs, options = self.input_micrographs.get(), self.options(TemplateOptions)
        frame = micrographs.frame(tomogram_id=micrograph_id)
        ctf = micrographs.ctf(frame)[0] if options.ctf_corrected else None
        optics = [micrographs.voltage.get(), micrographs.cs.get(), micrographs.amplitude_contrast.get()]
        columns = ["file", *(f.name for f in DEFOCUS_FIELDS if ctf is not None)]
        size, searched = float(micrographs.pixel_size.get()), self._searched()
        with noting_problem(self._getExtraPath(), micrograph_id):
            known = [searched, optics if ctf is not None else []]
            key = search_key(frame.iloc[0][columns], size, self._white(), known)
            if read_peaks(self._getExtraPath(), micrograph_id, key) is None:
                image = read_micrograph(str(frame["file"].iloc[0]))
                templates = read_templates(self._getExtraPath(TEMPLATES), digest_of(searched))
                wanted = self._search_size(image.shape)
                if templates is None or abs(templates.bank.pixel_size / wanted - 1) > ALIKE:
                    templates = self._templates(wanted)
                found = search_templates(image, size, self._white(), templates, options, ctf)
                diameters = np.full(len(found.peaks), templates.diameter)
                write_search(self._getExtraPath(), micrograph_id, found, diameters, key)
        self.progress(number + 1, total)

    def choose_step(self, micrograph_ids: list[str]) -> None:
        """Choose among the peaks of all micrographs and register."""
        self.forget_remarks()
        size = float(self.input_micrographs.get().pixel_size.get())
        templates = read_templates(self._getExtraPath(TEMPLATES))
        if templates is None:
            raise EmtomoError("The templates of this run are not there any more: run it again from the start.")
        micrograph_ids, left_out = leave_out_problems(self._getExtraPath(), micrograph_ids)
        found, sizes = read_all_peaks(self._getExtraPath(), micrograph_ids)
        distance = TEMPLATE_DISTANCE * templates.diameter
        choice = choose_templates(found, size, distance, self.options(TemplateChoice))
        angles = [float(angle) for angle in templates.angles]
        notes = SearchNotes("template", size, distance, angles, choice.threshold, choice.upper, micrograph_ids)
        write_notes(self._getExtraPath(), notes)
        box = self.options(MatchTemplate2DOptions).box_size or 2 * int(np.ceil(0.75 * templates.diameter / size))
        out = SetOfCoordinates2D.create(self._getPath("coordinates.sqlite"), pixel_size=size, box_size=box)
        self.remark(
            f"{count_text(len(templates.bank), 'template')}, "
            f"{count_text(len(templates.angles), 'angle')} of each reference, within a mask of "
            f"{templates.diameter:.0f} Å, as combinations of {count_text(len(templates.bank.basis), 'image')}.",
            *self._empty_classes(),
            *add_picks(out, micrograph_ids, choice, sizes, notes),
            *left_out,
        )
        self._register(self.input_micrographs, coordinates=out)

    # --- helpers ---

    def _search_size(self, shape: tuple[int, ...]) -> float:
        options = self.options(TemplateOptions)
        return search_pixel_size(
            shape, float(self.input_micrographs.get().pixel_size.get()), options.lowpass, options.shrink
        )

    def _white(self) -> bool:
        """Return whether particles on the micrographs are as bright as the references."""
        return bool(self.input_micrographs.get().white.get()) or not self.options(TemplateOptions).inverted

    def _searched(self) -> Any:
        """Return all that the templates depend on, as plain values."""
        given = self.input_classes.get() or self.input_volume.get()
        files = sorted(set(given.frame()["file"])) if self.input_classes.get() is not None else [given.file.get()]
        digests = [content_digest(str(file), None) for file in files]
        if self.input_classes.get() is not None:
            digests += [given.frame()[["file", "index"]].to_numpy().tolist()]
        return [asdict(self.options(TemplateOptions)), float(given.pixel_size.get()), digests]

    def _averages(self) -> np.ndarray:
        """Return the class averages; those of classes without members have one value throughout."""
        frame = self.input_classes.get().frame()
        stacks = {file: mrc.open_volume(str(file)) for file in frame["file"].unique()}
        places = zip(frame["file"], frame["index"], strict=True)
        return np.stack([np.asarray(stacks[file][int(k)], np.float32) for file, k in places])

    def _empty_classes(self) -> list[str]:
        """Return a sentence about classes that are no references."""
        if self.input_classes.get() is None:
            return []
        empty = np.flatnonzero(np.ptp(self._averages(), axis=(1, 2)) == 0)
        numbers = self.input_classes.get().frame()["class_number"].to_numpy(int)[empty]
        if not len(empty):
            return []
        return [
            f"{count_text(len(empty), 'class has', 'classes have')} an empty average "
            f"({list_text([str(number) for number in numbers], '')}) and no template; templates are numbered without."
        ]

    def _templates(self, pixel_size: float) -> RotatedTemplates:
        """Return the references, filtered, at all angles, at the pixel size of the search."""
        options, classes = self.options(TemplateOptions), self.input_classes.get()
        if classes is not None:
            averages = self._averages()
            filled = np.ptp(averages, axis=(1, 2)) > 0
            images = averages[filled] if filled.any() else averages
            return rotate_templates(images, float(classes.pixel_size.get()), pixel_size, options)
        volume = self.input_volume.get()
        views = Projector(volume_of(volume)).images(view_rotations(options.view_step, options.symmetry))
        return rotate_templates(views, float(volume.pixel_size.get()), pixel_size, options)
