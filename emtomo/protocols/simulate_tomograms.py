"""Protocol: tomograms with known truth, to try any workflow on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.tilt.geometry import TiltGeometry, tilt_geometry
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.io import mrc
from emtomo.io.convert_tilts import write_series
from emtomo.io.molecules import read_density
from emtomo.objects import (
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfTiltSeries,
    SetOfTomograms,
    coordinates_frame,
)
from emtomo.objects.exchange import export_set
from emtomo.objects.series_warps import warps_json
from emtomo.objects.tilt_exchange import tilts_of
from emtomo.objects.tilt_series import image_columns
from emtomo.options import Param
from emtomo.synthetic.errors import ErrorOptions, disturb_geometry, disturb_poses
from emtomo.synthetic.imaging import acquisition_order, reconstruct, take_tilt_series, tilt_angles
from emtomo.synthetic.particle_imaging import Kind, Shells, image_particles
from emtomo.synthetic.phantom import Arrangement, PhantomOptions, arrange_particles, make_phantom, user_points

BOX = 32


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """How many samples."""

    number: Annotated[int, Param("Tomograms", "Samples, each with a seed of its own.", ge=1, le=1000)] = 1
    clicks: Annotated[int, Param("Points per vesicle", "What a user would pick.", ge=4, le=1000)] = 30


class SimulateTomograms(EmtomoProtocol):
    """Simulate tomograms of vesicles with membrane proteins, and of soluble proteins, of known poses.

    Tilt series with CTF, dose, noise and missing wedge; reconstruction by weighted
    back-projection. Outputs the tomograms, the tilt series, the true poses (group 1
    membrane proteins, group 2 soluble ones) and points as a user would click them.

    Membrane proteins may form hexagonal lattices, and the metadata may be in error: stage angles, image shifts, warps
    of images and volume, defocus, poses. The tilt series, the tomograms and the coordinates are then what the metadata
    say; the true tilt series, which has the same images, and the truth are what is so.
    """

    NAME = "simulate-tomograms"
    _label = "simulate tomograms"
    _possibleOutputs = {
        "tomograms": SetOfTomograms,
        "tilt_series": SetOfTiltSeries,
        "true_tilt_series": SetOfTiltSeries,
        "truth": SetOfCoordinates3D,
        "coordinates": SetOfCoordinates3D,
        "meshes": SetOfMeshes,
    }
    OPTIONS = (SimulateOptions, PhantomOptions, ErrorOptions)
    STEPS_APART = ("simulate_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        for name, where in (
            ("membrane_molecule", "its origin (of a map: centre) lies in the middle of the membrane, z outward"),
            ("soluble_molecule", "rotated about its centre of mass (of a map: centre)"),
        ):
            add_optional_path(
                form,
                name,
                name.replace("_", " ").capitalize(),
                f"PDB, mmCIF or MRC file; {where}. Empty: a molecule of Gaussian balls.",
            )

    def _check(self) -> list[str]:
        molecules = self._molecules()
        if self.options(PhantomOptions).arrangement == "hexagonal":
            for k in range(self.options(SimulateOptions).number):
                arrange_particles(self._options(k), molecules)
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        n = self.options(SimulateOptions).number
        done = [self._insertFunctionStep(self.simulate_step, k, n, prerequisites=[]) for k in range(n)]
        self._insertFunctionStep(self.output_step, n, prerequisites=done)

    def simulate_step(self, number: int, total: int) -> None:
        """Make one sample, image it, reconstruct it."""
        options = self._options(number)
        name, size = self._name(number), options.pixel_size

        def report(a: float, b: float) -> None:
            self.progress(number + 0.8 * a / b, total)

        phantom: Arrangement
        if self._by_particles():
            phantom = arrange_particles(options, self._molecules())
            series = image_particles(
                [Kind(phantom.templates[k], p.positions, p.rotations) for k, p in phantom.particles.items()],
                Shells(phantom.centres, phantom.radii),
                self._true_geometry(number),
                (options.size_y, options.size_x),
                snr=options.snr,
                structural_noise=options.structural_noise,
                thickness=options.size_z * options.pixel_size,
                seed=options.seed + 1,
                progress=report,
            )
        else:
            phantom = made = make_phantom(options, self._molecules())
            series = take_tilt_series(made.density, options, progress=report)
            mrc.write_volume(self._getExtraPath(f"{name}_density.mrc"), made.density, size)
        Path(self._images_file(number)).parent.mkdir(exist_ok=True)
        mrc.write_volume(self._images_file(number), series, size, stack=True)
        mrc.write_volume(self._getExtraPath(f"{name}.mrc"), reconstruct(series, options), size)
        for kind, template in phantom.templates.items():
            mrc.write_volume(self._getExtraPath(f"{kind}.mrc"), template, size)
        self.progress(number + 1, total)

    def output_step(self, total: int) -> None:
        """Register tomograms, tilt series, truth and clicks; write the metadata as files that can be imported."""
        self.forget_remarks()
        options = self._options(0)
        molecules = self._molecules()
        samples = [(k, arrange_particles(self._options(k), molecules)) for k in range(total)]
        tomograms = SetOfTomograms.create(self._getPath("tomograms.sqlite"), pixel_size=options.pixel_size)
        tomograms.extend(pd.DataFrame([self._tomogram(k) for k in range(total)]))
        series = self._set_of_series("tilt_series", total, true=False)
        common = {"pixel_size": options.pixel_size, "box_size": BOX}
        truth = SetOfCoordinates3D.create(self._getPath("truth.sqlite"), **common)
        meshes = SetOfMeshes.create(self._getPath("meshes.sqlite"), **common)
        outputs = {"tomograms": tomograms, "tilt_series": series, "truth": truth, "meshes": meshes}
        if self._by_particles():
            outputs["true_tilt_series"] = self._set_of_series("true_tilt_series", total, true=True)
            outputs["coordinates"] = SetOfCoordinates3D.create(self._getPath("coordinates.sqlite"), **common)
        for k, phantom in samples:
            for group, kind in enumerate(("membrane", "soluble"), 1):
                some = phantom.particles[kind]
                truth.extend(
                    coordinates_frame(self._name(k), some.positions, some.rotations, group=group, picker="truth")
                )
                if self._by_particles():
                    poses = disturb_poses(some.positions, some.rotations, self.options(ErrorOptions), 2 * k + group)
                    outputs["coordinates"].extend(
                        coordinates_frame(self._name(k), *poses, group=group, picker="simulated")
                    )
            meshes.extend(self._clicks(k, phantom))
        folder = Path(self._getExtraPath())
        if self._by_particles():
            self.remark(f"Files to import: {folder / 'series'} (Warp), {folder / 'particles.tbl'} and .doc (Dynamo).")
        self._register(None, **outputs)
        if self._by_particles():
            for name in series.tomogram_ids():
                write_series([tilts_of(series, name)], folder / "series" / f"{name}.xml", "warp-xml")
            export_set(outputs["coordinates"], tomograms, folder / "particles.tbl", "dynamo")

    # --- helpers ---

    def _molecules(self) -> dict[str, np.ndarray]:
        """Return the densities of the molecules that the user gave, at the sample's pixel size."""
        size, found = self.options(PhantomOptions).pixel_size, {}
        for kind in ("membrane", "soluble"):
            path = getattr(self, f"{kind}_molecule").get()
            if path:
                found[kind] = read_density(path, size, about_mass=kind == "soluble")
        return found

    def _options(self, number: int) -> PhantomOptions:
        options = self.options(PhantomOptions)
        return replace(options, seed=options.seed + 1000 * number)

    @staticmethod
    def _name(number: int) -> str:
        return f"sim_{number + 1:02d}"

    def _images_file(self, number: int) -> str:
        if self._by_particles():  # in a folder with their metadata
            return self._getExtraPath("series", f"{self._name(number)}.mrc")
        return self._getExtraPath(f"{self._name(number)}_tilts.mrc")

    def _tomogram(self, number: int) -> dict[str, object]:
        options = self._options(number)
        return {
            "tomogram_id": self._name(number),
            "file": self._getExtraPath(f"{self._name(number)}.mrc"),
            "size_x": options.size_x,
            "size_y": options.size_y,
            "size_z": options.size_z,
            "tilt_min": float(tilt_angles(options)[0]),
            "tilt_max": float(tilt_angles(options)[-1]),
            "tilt_step": options.tilt_step,
            "tilt_axis_angle": 0.0,
        }

    def _by_particles(self) -> bool:
        """Return whether images are made of single particles, whose geometry may be anything."""
        errors, options = self.options(ErrorOptions), self.options(PhantomOptions)
        on_lattice, of_ice = options.arrangement == "hexagonal", options.structural_noise > 0
        return on_lattice or of_ice or errors.of_series or errors.of_poses

    def _given_columns(self, number: int) -> dict[str, np.ndarray]:
        """Return what the metadata say of every tilt."""
        options = self._options(number)
        angles = tilt_angles(options)
        order = acquisition_order(angles)
        defocus = np.full(len(angles), options.defocus)
        return {
            "angle": angles,
            "acquisition_order": order + 1,
            "dose": options.dose * order,
            "defocus_u": defocus,
            "defocus_v": defocus,
        }

    def _true_geometry(self, number: int) -> TiltGeometry:
        """Return how the images are taken."""
        options = self._options(number)
        pixel = options.pixel_size
        given = tilt_geometry(
            self._given_columns(number),
            pixel_size=pixel,
            image_size=(options.size_x * pixel, options.size_y * pixel),
            volume_size=(options.size_x * pixel, options.size_y * pixel, options.size_z * pixel),
        )
        return disturb_geometry(given, self.options(ErrorOptions), number)

    def _set_of_series(self, name: str, total: int, *, true: bool) -> SetOfTiltSeries:
        """Return the tilt series with what the metadata say, or with the geometry that the images have."""
        pixel = self.options(PhantomOptions).pixel_size
        out = SetOfTiltSeries.create(self._getPath(f"{name}.sqlite"), pixel_size=pixel)
        for k in range(total):
            options, file = self._options(k), self._images_file(k)
            row = {"tomogram_id": self._name(k), "file": file, "size_x": options.size_x, "size_y": options.size_y}
            row |= {f"volume_{a}": getattr(options, f"size_{a}") * pixel for a in "xyz"}
            images = pd.DataFrame(self._given_columns(k))
            if true:
                geometry = self._true_geometry(k)
                row["warps"] = warps_json(geometry.image_warp, geometry.volume_warp)
                images = image_columns(geometry)
            images = images.assign(tomogram_id=self._name(k), file=file, index=np.arange(len(images)))
            out.extend(pd.DataFrame([row]), images)
        return out

    def _clicks(self, number: int, phantom: Arrangement) -> pd.DataFrame:
        options = self._options(number)
        clicks = user_points(
            phantom,
            (options.size_z, options.size_y, options.size_x),
            options.pixel_size,
            per_vesicle=self.options(SimulateOptions).clicks,
            noise=1.0,
            seed=options.seed,
        )
        rows = [(self._name(number), g, "vesicle", role, *p) for g, role, p in clicks]
        return pd.DataFrame(rows, columns=["tomogram_id", "group", "model", "role", "x", "y", "z"])
