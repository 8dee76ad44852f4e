"""How well the demo's workflow did, against what was simulated."""

import numpy as np
import pandas as pd
from pyworkflow.protocol import Protocol

from emtomo.compute.averaging import rotate_boxes
from emtomo.compute.extraction import ExtractOptions, box_starts, extract
from emtomo.compute.fourier.shell_correlation import fourier_shell_correlation
from emtomo.compute.geometry.ellipsoid import fit_sphere
from emtomo.compute.positions import to_voxels
from emtomo.compute.rotations import angle_of_vectors
from emtomo.engine.project import EmtomoProject
from emtomo.io import mrc
from emtomo.objects import positions_of, rotations_of
from emtomo.wording import count_text, share_text


def compare(project: EmtomoProject, simulation: Protocol) -> list[str]:
    """Return sentences with numbers: vesicles, normals, proteins found, likeness of the average."""
    coordinates = project.find("model workflow").coordinates.frame()
    truth = simulation.truth.frame()
    truth = truth[truth["group"] == 1]
    return [
        *_vesicles(coordinates, simulation),
        *_proteins(coordinates, truth),
        _average(project, simulation),
    ]


def _vesicles(coordinates: pd.DataFrame, simulation: Protocol) -> list[str]:
    from emtomo.synthetic.phantom import PhantomOptions, make_phantom

    phantom = make_phantom(simulation.options(PhantomOptions))
    size = simulation.tomograms.pixel_size.get()
    sentences = []
    for group, (centre, radius) in enumerate(zip(phantom.centres, phantom.radii, strict=True), 1):
        mine = positions_of(coordinates[coordinates["group"] == group])
        found = fit_sphere(mine)
        off = np.linalg.norm(found.centre - centre) / size
        sentences.append(
            f"Vesicle {group}: radius {found.radii[0]:.1f} Å, true {radius:.1f} Å; centre off by {off:.2f} voxels."
        )
    return sentences


def _proteins(coordinates: pd.DataFrame, truth: pd.DataFrame) -> list[str]:
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(positions_of(coordinates)).query(positions_of(truth))
    angle = angle_of_vectors(rotations_of(coordinates)[nearest, :, 2], rotations_of(truth)[:, :, 2])
    found = np.asarray(distance < 75)
    return [
        f"{share_text(int(found.sum()), len(found), 'membrane protein', 'has')} an oriented coordinate within 75 Å; "
        f"its normal is off by {np.median(angle[found]):.1f}° (median)."
    ]


def _average(project: EmtomoProject, simulation: Protocol) -> str:
    """Compare the average with that of the noise-free sample at the same poses."""
    boxes = project.find("extract").subtomograms
    frame = boxes.frame()
    average = mrc.read_volume(project.find("average").average.file.get())
    density = mrc.open_volume(simulation._getExtraPath("sim_01_density.mrc"))
    size, box = boxes.pixel_size.get(), boxes.box_size.get()
    starts, _ = box_starts(to_voxels(positions_of(frame), density.shape, size), box)
    cut = np.empty((len(frame), box, box, box), np.float32)
    extract(density, starts, ExtractOptions(box_size=box, invert=False, normalize="none"), cut)
    shifts = frame[["shift_x", "shift_y", "shift_z"]].to_numpy(float) / size
    ideal = rotate_boxes(cut, rotations_of(frame), shifts).mean(axis=0)
    curve = fourier_shell_correlation(average, ideal)
    correlation = float(np.corrcoef(average.ravel(), ideal.ravel())[0, 1])
    shell = int(np.argmin(np.where(np.arange(len(curve)) < 2, 1, curve) >= 0.5)) or len(curve) - 1
    return (
        f"The average of {count_text(len(frame), 'subtomogram')} correlates "
        f"with that of the noise-free sample at {correlation:.3f}; "
        f"FSC above 0.5 to {box * size / shell:.0f} Å."
    )
