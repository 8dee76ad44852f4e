"""Whether the half maps of an average are made from the halves that particles are in."""

from typing import Any

import numpy as np
import pandas as pd
from pyworkflow.object import Object, Pointer
from pyworkflow.protocol import Protocol

from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.objects.coordinates import SetOfCoordinates3D
from emtomo.objects.particle import SetOfParticles
from emtomo.objects.particle_poses import centres_of
from emtomo.objects.particle_series import SetOfParticleSeries
from emtomo.objects.population import Species
from emtomo.objects.subtomogram import SetOfSubtomograms
from emtomo.objects.volume import Average
from emtomo.wording import count_text

TOLERATED = 0.05  # share of the particles in other halves, of which some lie beside another particle
REACH = 0.25  # of the box: how far a particle may have moved between two refinements
_PARTICLES = (SetOfSubtomograms, SetOfParticleSeries, SetOfParticles, SetOfCoordinates3D)
_REMEDY = "take average and particles of one refinement, or make the average from these particles (reconstruct-average)"


def particles_behind(average: Pointer) -> TableSet | None:
    """Return the particles from which the half maps of an average are made; None where no run says it.

    They are what the run of the average gave together with it, else what it took; of an average that was made from
    another one (post-processing), those of the latter.
    """
    found, seen = average, set()
    while isinstance(run := found.getObjValue(), Protocol) and run.getObjId() not in seen:
        seen.add(run.getObjId())
        suffix = str(found.getExtended()).removeprefix("average")  # of several species: average_2, particle_series_2
        outputs = [
            one
            for name, one in sorted(run.iterOutputAttributes(), key=lambda pair: pair[0])
            if name.endswith(suffix) or not suffix
        ]
        inputs = [pointer for _, pointer in run.iterInputAttributes()]
        for value in (*outputs, *(pointer.get() for pointer in inputs)):
            if (particles := _particles_of(value, found.get())) is not None:
                return particles
        following = [pointer for pointer in inputs if isinstance(pointer.get(), Average)]
        if not following:
            return None
        found = following[0]
    return None


def _particles_of(value: Object, average: Any) -> TableSet | None:
    if isinstance(value, _PARTICLES):
        return value
    same = isinstance(value, Species) and value.half1_file.get() == average.half1_file.get()
    return value.particle_series() if same else None


def check_half_sets(average: Pointer, particles: TableSet) -> str:
    """Return in a sentence what is not certain of the halves of an average and of particles; empty where they agree.

    Particles are compared by their places: the halves are those in which the run of the average had them.

    Parameters
    ----------
    average : Pointer
        To an average with half maps.
    particles : SetOfSubtomograms or SetOfParticleSeries
        All in a half set.

    Raises
    ------
    EmtomoError
        If the half maps are made from particles in no half set, or from other halves than the particles'.
    """
    others = particles_behind(average)
    if others is None:
        return (
            "No run says from which particles the average was made: that its half maps are those of the particles' "
            "halves could not be checked."
        )
    known = {field.name for field in others.ITEM_TYPE.FIELDS}
    frame = others.frame() if "half" in known else pd.DataFrame({"half": []})
    frame = frame[frame["half"].fillna(0).astype(int) > 0]
    if not len(frame):
        raise EmtomoError(
            f"The half maps of the average are made from {others.NOUN} in no half set, drawn at random: they are not "
            f"those of the particles' halves; {_REMEDY}."
        )
    mine = particles.frame()
    reach = REACH * float(average.get().box_size.get()) * float(average.get().pixel_size.get())
    rows, partners = match_places(mine, frame, reach) if "tomogram_id" in frame else (np.zeros(0, int),) * 2
    if not len(rows):
        return "None of the particles is among those from which the average was made: its half maps are of others."
    halves = mine["half"].to_numpy(int)[rows], frame["half"].to_numpy(int)[partners]
    apart = int((halves[0] != halves[1]).sum())
    if not apart:
        return ""
    text = (
        f"{apart} of {count_text(len(rows), 'particle')} "
        f"{'is' if apart == 1 else 'are'} in the other half set than in the average's refinement"
    )
    if apart > TOLERATED * len(rows):
        raise EmtomoError(f"{text}: each half map holds particles of the other half; {_REMEDY}.")
    return f"{text}."


def match_places(first: pd.DataFrame, second: pd.DataFrame, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two tables of particles that are each other's nearest ones, at most `reach` Å apart.

    Returns
    -------
    (m,) int array, (m,) int array
        Rows of the first and of the second table, by place.
    """
    from scipy.spatial import cKDTree

    pairs = []
    by_name = [frame.groupby("tomogram_id").indices for frame in (first, second)]
    centres = [centres_of(frame) for frame in (first, second)]
    for name in by_name[0].keys() & by_name[1].keys():
        rows = [indices[name] for indices in by_name]
        rows = [some[np.isfinite(place[some]).all(axis=1)] for some, place in zip(rows, centres, strict=True)]
        if not all(len(some) for some in rows):
            continue
        trees = [cKDTree(place[some]) for some, place in zip(rows, centres, strict=True)]
        distance, there = trees[1].query(trees[0].data)
        back = trees[0].query(trees[1].data)[1]
        mutual = (distance <= reach) & (back[there] == np.arange(len(there)))
        pairs.append(np.stack([rows[0][mutual], rows[1][there[mutual]]]))
    first_rows, second_rows = np.concatenate([np.zeros((2, 0), int), *pairs], axis=1)
    return first_rows, second_rows
