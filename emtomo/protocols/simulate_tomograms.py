"""Protocol: tomograms with known truth, to try any workflow on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form, PathParam

from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError
from emtomo.io import images, mrc
from emtomo.io.atoms import read_atoms
from emtomo.objects import (
    SetOfCoordinates3D,
    SetOfMeshes,
    SetOfTiltSeries,
    SetOfTomograms,
    coordinates_frame,
)
from emtomo.options import Param
from emtomo.synthetic.imaging import acquisition_order, reconstruct, take_tilt_series, tilt_angles
from emtomo.synthetic.molecules import density_of_atoms, density_of_map
from emtomo.synthetic.phantom import Phantom, PhantomOptions, make_phantom, user_points

BOX = 32


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """How many samples."""

    number: Annotated[int, Param("Tomograms", "Samples, each with a seed of its own.", ge=1, le=1000)] = 1
    clicks: Annotated[int, Param("Points per vesicle", "What a user would pick.", ge=4, le=1000)] = 30


class SimulateTomograms(EmtomoProtocol):
    """Make tomograms of vesicles with membrane proteins, and soluble proteins, whose poses are known.

    Tilt series with CTF, dose, noise and missing wedge; reconstruction by weighted
    back-projection. Outputs the tomograms, the tilt series, the true poses (group 1
    membrane proteins, group 2 soluble ones) and points as a user would click them.
    """

    NAME = "simulate-tomograms"
    _label = "simulate tomograms"
    _possibleOutputs = {
        "tomograms": SetOfTomograms,
        "tilt_series": SetOfTiltSeries,
        "truth": SetOfCoordinates3D,
        "meshes": SetOfMeshes,
    }
    OPTIONS = (SimulateOptions, PhantomOptions)
    STEPS_APART = ("simulate_step",)
    STEPS_PER = "tomogram"

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        for name, where in (
            ("membrane_molecule", "its origin (of a map: centre) lies in the middle of the membrane, z outward"),
            ("soluble_molecule", "turned about its centre of mass (of a map: centre)"),
        ):
            form.addParam(
                name,
                PathParam,
                default="",
                allowsNull=True,
                label=name.replace("_", " ").capitalize(),
                help=f"PDB, mmCIF or MRC file; {where}. Empty: a molecule of Gaussian balls.",
            )

    def _check(self) -> list[str]:
        try:
            self._molecules()
        except EmtomoError as error:
            return [str(error)]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        n = self.options(SimulateOptions).number
        done = [self._insertFunctionStep(self.simulate_step, k, n, prerequisites=[]) for k in range(n)]
        self._insertFunctionStep(self.output_step, n, prerequisites=done)

    def simulate_step(self, number: int, total: int) -> None:
        """Make one sample, image it, reconstruct it."""
        options = self._options(number)
        phantom = make_phantom(options, self._molecules())
        series = take_tilt_series(
            phantom.density, options, progress=lambda a, b: self.progress(number + 0.8 * a / b, total)
        )
        name, size = self._name(number), options.pixel_size
        mrc.write_volume(self._getExtraPath(f"{name}_density.mrc"), phantom.density, size)
        mrc.write_volume(self._getExtraPath(f"{name}_tilts.mrc"), series, size, stack=True)
        mrc.write_volume(self._getExtraPath(f"{name}.mrc"), reconstruct(series, options), size)
        for kind, template in phantom.templates.items():
            mrc.write_volume(self._getExtraPath(f"{kind}.mrc"), template, size)
        self.progress(number + 1, total)

    def output_step(self, total: int) -> None:
        """Register tomograms, tilt series, truth and clicks."""
        options = self._options(0)
        molecules = self._molecules()
        samples = [(k, make_phantom(self._options(k), molecules)) for k in range(total)]
        tomograms = SetOfTomograms.create(self._getPath("tomograms.sqlite"), pixel_size=options.pixel_size)
        tomograms.extend(pd.DataFrame([self._tomogram(k) for k in range(total)]))
        series = SetOfTiltSeries.create(self._getPath("tilt_series.sqlite"), pixel_size=options.pixel_size)
        series.extend(
            pd.DataFrame([self._series(k) for k in range(total)]),
            pd.concat([self._tilts(k) for k in range(total)], ignore_index=True),
        )
        common = {"pixel_size": options.pixel_size, "box_size": BOX}
        truth = SetOfCoordinates3D.create(self._getPath("truth.sqlite"), **common)
        meshes = SetOfMeshes.create(self._getPath("meshes.sqlite"), **common)
        for k, phantom in samples:
            for group, kind in enumerate(("membrane", "soluble"), 1):
                some = phantom.particles[kind]
                truth.extend(
                    coordinates_frame(self._name(k), some.positions, some.rotations, group=group, picker="truth")
                )
            meshes.extend(self._clicks(k, phantom))
        self._register(None, tomograms=tomograms, tilt_series=series, truth=truth, meshes=meshes)

    # --- helpers ---

    def _molecules(self) -> dict[str, np.ndarray]:
        """Return the densities of the molecules that the user gave, at the sample's pixel size."""
        size, found = self.options(PhantomOptions).pixel_size, {}
        for kind in ("membrane", "soluble"):
            path = getattr(self, f"{kind}_molecule").get()
            if not path:
                continue
            if Path(path).suffix.lower() in (".mrc", ".map", ".em"):
                info = images.describe(path)
                if not info.pixel_size:
                    raise EmtomoError(f"{path}: the map does not say its pixel size.")
                found[kind] = density_of_map(images.read_any(path), info.pixel_size, size)
            else:
                atoms, electrons = read_atoms(path)
                if kind == "soluble":
                    atoms = atoms - np.average(atoms, axis=0, weights=electrons)
                found[kind] = density_of_atoms(atoms, electrons, size, 2 * size)
        return found

    def _options(self, number: int) -> PhantomOptions:
        options = self.options(PhantomOptions)
        return replace(options, seed=options.seed + 1000 * number)

    @staticmethod
    def _name(number: int) -> str:
        return f"sim_{number + 1:02d}"

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

    def _series(self, number: int) -> dict[str, object]:
        options = self._options(number)
        return {
            "tomogram_id": self._name(number),
            "file": self._getExtraPath(f"{self._name(number)}_tilts.mrc"),
            "size_x": options.size_x,
            "size_y": options.size_y,
            **{f"volume_{a}": getattr(options, f"size_{a}") * options.pixel_size for a in "xyz"},
        }

    def _tilts(self, number: int) -> pd.DataFrame:
        options = self._options(number)
        angles = tilt_angles(options)
        order = acquisition_order(angles)
        return pd.DataFrame(
            {
                "tomogram_id": self._name(number),
                "file": self._getExtraPath(f"{self._name(number)}_tilts.mrc"),
                "index": np.arange(len(angles)),
                "angle": angles,
                "acquisition_order": order + 1,
                "dose": options.dose * order,
                "defocus_u": options.defocus,
                "defocus_v": options.defocus,
            }
        )

    def _clicks(self, number: int, phantom: Phantom) -> pd.DataFrame:
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
