"""Protocol: cut images of particles out of micrographs."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.particle_extraction import (
    ExtractParticlesOptions,
    boxes_inside,
    boxes_touching,
    extract_particles,
    nearest_pixels,
    project_point,
    size_errors,
)
from emtomo.engine.lineage import upstream
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.objects import SetOfMicrographs, SetOfParticles, rotations_of
from emtomo.objects.optics_fields import DEFOCUS_FIELDS, without_ctf
from emtomo.options import Param
from emtomo.wording import count_text, list_text, no_match_text, share_text

BATCH_BYTES = 64 * 2**20
OUTSIDE, NOT_FINITE = "box does not fit into the micrograph", "box holds pixels that are no numbers"


@dataclass(frozen=True, kw_only=True)
class ReExtractOptions:
    """How refined particles are cut again, and a second size."""

    second_box_size: Annotated[
        int,
        Param(
            "Second box size (pix)",
            "The same particles once more, in another box of the micrographs; 0: none.",
            unit="pixel",
            ge=0,
            le=4096,
        ),
    ] = 0
    second_rescale: Annotated[
        int,
        Param("Second re-scaled size (pixels)", "Of the second box, even; 0: as cut.", unit="pixel", ge=0, le=4096),
    ] = 0
    recenter: Annotated[
        bool,
        Param(
            "Re-center refined coordinates?",
            "Of particles with refined poses: the point below becomes the centre; what is left of a pixel is kept as "
            "shift.",
        ),
    ] = False
    recenter_x: Annotated[
        float, Param("Re-center on X", "In the reference, from its centre.", unit="pixel", expert=True)
    ] = 0.0
    recenter_y: Annotated[
        float, Param("Re-center on Y", "In the reference, from its centre.", unit="pixel", expert=True)
    ] = 0.0
    recenter_z: Annotated[
        float, Param("Re-center on Z", "In the reference, from its centre.", unit="pixel", expert=True)
    ] = 0.0


class ExtractParticles(EmtomoProtocol):
    """Cut images of particles out of micrographs: inverted, rescaled and normalised.

    From particles, cuts them again at their refined centres, in another box or at another pixel size. Boxes keep whole
    pixels; what is left of the position stands as a shift. One stack per micrograph.
    """

    NAME = "extract-particles"
    _label = "extract particles"
    _possibleOutputs = {"particles": SetOfParticles, "second_particles": SetOfParticles}
    OPTIONS = (ExtractParticlesOptions, ReExtractOptions)
    STEPS_APART = ("extract_step",)
    STEPS_PER = "micrograph"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates2D,SetOfParticles",
            "Input coordinates",
            "Picks; or particles of a classification or refinement, which are cut again at their refined centres.",
        )
        self._add_input(
            form,
            "micrographs",
            "SetOfMicrographs",
            "Micrographs",
            "Where to cut, with their CTF. Empty: the micrographs in which the particles were picked.",
            optional=True,
        )

    def _check(self) -> list[str]:
        micrographs = self._micrographs()
        variants = self._variants()
        errors = [sentence for options in variants.values() for sentence in size_errors(options)]
        known, wanted = set(micrographs.group_ids()), self.input_coordinates.get().group_ids()
        if wanted and not known & set(wanted):
            errors.append(no_match_text("micrograph", wanted, sorted(known)))
        if not wanted:
            errors.append("There are no particles to extract: the input is an empty set.")
        return errors

    # --- steps ---

    def _insertAllSteps(self) -> None:
        known = set(self._micrographs().group_ids())
        names = [name for name in self.input_coordinates.get().group_ids() if name in known]
        self._insert_per_tomogram(self.extract_step, names, self.output_step)

    def extract_step(self, micrograph_id: str, number: int, total: int) -> None:
        """Cut all particles of one micrograph into one stack a size."""
        micrographs, variants = self._micrographs(), self._variants()
        row = micrographs.frame(tomogram_id=micrograph_id).iloc[0]
        image = np.asarray(mrc.open_volume(row["file"])[0], np.float32)
        size = float(micrographs.pixel_size.get())
        frame = self._rows(micrograph_id, row)
        centres, rest = nearest_pixels(frame[["x", "y"]].to_numpy(float), size)
        largest = max(options.box_size for options in variants.values())
        fits = boxes_inside if next(iter(variants.values())).border == "drop" else boxes_touching
        reason = np.where(fits(centres, largest, (image.shape[0], image.shape[1])), "", OUTSIDE)
        reason[(reason == "") & ~_finite(image, centres, largest)] = NOT_FINITE
        kept = reason == ""
        left_out = frame.loc[~kept, ["micrograph_id", "x", "y"]].assign(reason=reason[~kept])
        _write_table(left_out, Path(self._part(micrograph_id, "left_out.csv")))
        frame, centres, rest = frame[kept].reset_index(drop=True), centres[kept], rest[kept]
        for k, axis in enumerate("xy"):
            frame[axis], frame[f"shift_{axis}"] = centres[:, k] * size, rest[:, k]
        for variant, options in variants.items():
            stack = self._stack(variant, micrograph_id)
            cut = replace(options, invert=options.invert and not micrographs.white.get())
            seed = zlib.crc32(micrograph_id.encode())
            constant = self._cut(image, centres, cut, stack, size * options.scale, seed)
            rows = frame.assign(file=stack, index=np.arange(len(frame)))
            SetOfParticles.save(self._part(micrograph_id, f"{variant}.sqlite"), rows)
        _write_table(frame.loc[constant, ["micrograph_id", "x", "y"]], Path(self._part(micrograph_id, "constant.csv")))
        self.progress(number + 1, total)

    def output_step(self, names: list[str]) -> None:
        """Register the particles of all micrographs, and list those that were left out."""
        self.forget_remarks()
        micrographs, outputs = self._micrographs(), {}
        ids: np.ndarray | None = None
        for variant, options in self._variants().items():
            parts = [SetOfParticles.open(self._part(name, f"{variant}.sqlite")).frame() for name in names]
            frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
            if len(frame) == 0:
                raise EmtomoError(
                    f"No box of {options.box_size} pixels fits into a micrograph; take pad or a smaller box."
                )
            ids = _numbers(frame) if ids is None else ids
            out = SetOfParticles.create(self._getPath(f"{variant}.sqlite"))
            out.copy_fields(micrographs)
            out.pixel_size.set(float(micrographs.pixel_size.get()) * options.scale)
            out.box_size.set(options.final_box)
            out.white.set(bool(micrographs.white.get()) or options.invert)
            out.extend(frame.assign(particle_id=ids))
            outputs[variant] = out
        self._remark_left_out(names)
        missing = without_ctf(frame)
        if missing:
            self.remark(f"The CTF of {count_text(len(missing), 'micrograph')} is not known ({list_text(missing, '')}).")
        self._register(self.input_coordinates, **outputs)

    # --- helpers ---

    def _micrographs(self) -> SetOfMicrographs:
        """Return the micrographs to cut: those chosen, else those in which the particles were picked."""
        if not self.input_micrographs.pointsNone():
            return self.input_micrographs.get()
        found = upstream(self.input_coordinates, SetOfMicrographs)
        if found is None:
            raise EmtomoError("The micrographs in which the particles were picked are not known; choose micrographs.")
        return found

    def _variants(self) -> dict[str, ExtractParticlesOptions]:
        """Return the options of each output; a box of 0 is that of the coordinates."""
        first, again = self.options(ExtractParticlesOptions), self.options(ReExtractOptions)
        if not first.box_size:
            source, size = self.input_coordinates.get(), self._micrographs().pixel_size.get()
            box = float(source.box_size.get() or 0) * float(source.pixel_size.get() or size) / float(size)
            if not box:
                raise EmtomoError("Particle box size must be given: the coordinates do not say one.")
            first = replace(first, box_size=2 * round(box / 2))
        variants = {"particles": first}
        if again.second_box_size:
            second = replace(first, box_size=again.second_box_size, rescale=again.second_rescale)
            variants["second_particles"] = second
        return variants

    def _rows(self, micrograph_id: str, micrograph: pd.Series) -> pd.DataFrame:
        """Return the particles of a micrograph as columns of particles, x and y at the centres to cut."""
        source = self.input_coordinates.get()
        frame = source.frame(tomogram_id=micrograph_id)
        if not isinstance(source, SetOfParticles):
            frame = frame[["micrograph_id", "x", "y", "score"]].copy()
        else:
            point = np.zeros(3)
            options = self.options(ReExtractOptions)
            if options.recenter:
                point = np.array([options.recenter_x, options.recenter_y, options.recenter_z]) * source.pixel_size.get()
            moved = project_point(point, rotations_of(frame), frame["psi"].to_numpy(float))
            for k, axis in enumerate("xy"):
                frame[axis] = frame[axis] + frame[f"shift_{axis}"] + moved[:, k]
        for field in DEFOCUS_FIELDS:
            own = frame[field.name].to_numpy(float) if field.name in frame else np.full(len(frame), np.nan)
            frame[field.name] = np.where(np.isfinite(own), own, float(micrograph[field.name]))
        return frame

    def _cut(
        self,
        image: np.ndarray,
        centres: np.ndarray,
        options: ExtractParticlesOptions,
        stack: str,
        pixel_size: float,
        seed: int,
    ) -> np.ndarray:
        """Write one stack, and return which images have a constant background."""
        if not len(centres):
            return np.zeros(0, bool)
        Path(stack).parent.mkdir(exist_ok=True)
        m = options.final_box
        batch = max(1, BATCH_BYTES // (4 * max(m, options.box_size) ** 2))
        constant = []
        with mrc.StackWriter(stack, (len(centres), m, m), pixel_size, batch) as writer:
            for first in range(0, len(centres), batch):
                part = centres[first : first + batch]
                images, flat = extract_particles(image, part, options, seed=seed + first)
                writer.batch(len(part))[:] = images
                constant.append(flat)
        return np.concatenate(constant)

    def _remark_left_out(self, names: list[str]) -> None:
        tables = [pd.read_csv(self._part(name, "left_out.csv"), dtype={"micrograph_id": str}) for name in names]
        table = pd.concat(tables, ignore_index=True)
        if len(table):
            path = Path(self._getExtraPath("left_out.csv"))
            _write_table(table, path)
            for reason, count in table["reason"].value_counts().items():
                self.remark(
                    f"{count_text(count, 'particle was', 'particles were')} "
                    f"left out: the {reason}; they are listed in {path.name}."
                )
        flat = sum(len(pd.read_csv(self._part(name, "constant.csv"))) for name in names)
        if flat:
            self.remark(
                f"{count_text(flat, 'particle has', 'particles have')} a constant background and are not normalised."
            )
        known = self._micrographs().group_ids()
        picked = set(self.input_coordinates.get().group_ids())
        empty = [name for name in known if name not in picked]
        if empty:
            self.remark(f"{share_text(len(empty), len(known), 'micrograph', 'has')} no picks ({list_text(empty, '')}).")
        missing = sorted(picked - set(known))
        if missing:
            self.remark(f"No micrograph for the particles of {list_text(missing, '')}.")

    def _stack(self, variant: str, micrograph_id: str) -> str:
        return self._getExtraPath(variant, f"{micrograph_id}.mrcs")

    def _part(self, micrograph_id: str, what: str) -> str:
        return self._getExtraPath(f"{micrograph_id}.{what}")


def _finite(image: np.ndarray, centres: np.ndarray, box_size: int) -> np.ndarray:
    """Return which boxes hold finite pixels alone."""
    bad = ~np.isfinite(image)
    if not bad.any():
        return np.ones(len(centres), bool)
    total = np.zeros((bad.shape[0] + 1, bad.shape[1] + 1), np.int64)
    total[1:, 1:] = bad.cumsum(axis=0).cumsum(axis=1)
    low = np.clip(centres - box_size // 2, 0, np.array(bad.shape)[::-1])
    high = np.clip(centres - box_size // 2 + box_size, 0, np.array(bad.shape)[::-1])
    (x0, y0), (x1, y1) = low.T, high.T
    return np.asarray(total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0] == 0)


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    """Return the particles' own numbers where all have different ones, else 1, 2, 3 …"""
    ids = frame["particle_id"].to_numpy()
    return ids if (ids > 0).all() and len(np.unique(ids)) == len(ids) else np.arange(1, len(frame) + 1)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    table.to_csv(part, index=False)
    part.replace(path)
