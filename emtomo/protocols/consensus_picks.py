"""Protocol: keep the particles that several pickers agree on."""

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.consensus import ConsensusOptions, consensus
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.objects import SetOfCoordinates3D, coordinates_frame, positions_of, rotations_of
from emtomo.objects.rotation import ROTATION_COLUMNS
from emtomo.wording import count_text


class ConsensusPicks(EmtomoProtocol):
    """Keep the particles that enough pickers found; positions and orientations are averaged.

    Every picker has one vote, whatever the order of the sets. With one set,
    duplicates are removed.
    """

    NAME = "consensus-picks"
    _label = "picking consensus"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (ConsensusOptions,)
    THREADS = False

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(
            form,
            "coordinates",
            "SetOfCoordinates3D",
            "Input 3D coordinates",
            "One or more sets of positions in the same tomograms.",
            many=True,
        )

    def _check(self) -> list[str]:
        votes, pickers = self.options(ConsensusOptions).votes, len(self.input_coordinates)
        if votes == 0 or votes > pickers:
            return [f"Consensus asks for {votes} votes, but there are {pickers} sets of picks."]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.vote_step)

    def vote_step(self) -> None:
        """Vote in every tomogram and register the particles."""
        self.forget_remarks()
        options = self.options(ConsensusOptions)
        sets = [pointer.get() for pointer in self.input_coordinates]
        size = sets[0].pixel_size.get()
        columns = ["tomogram_id", "x", "y", "z", *ROTATION_COLUMNS, "group", "score"]
        picks = pd.concat([s.frame(columns).assign(number=k) for k, s in enumerate(sets)], ignore_index=True)
        positions, rotations, number = positions_of(picks) / size, rotations_of(picks), picks["number"].to_numpy()
        group, score = picks["group"].to_numpy(), picks["score"].to_numpy(float)
        pickers = np.array([f"{n} of {len(sets)} pickers" for n in range(len(sets) + 1)], object)
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"), pixel_size=size, box_size=sets[0].box_size.get()
        )
        for name, mine in picks.groupby("tomogram_id", sort=False).indices.items():
            found = consensus(
                positions[mine],
                number[mine],
                options,
                pickers=len(sets),
                rotations=rotations[mine],
                score=np.nan_to_num(score[mine]),
            )
            best = mine[found.best]
            out.extend(
                coordinates_frame(
                    str(name),
                    found.positions * size,
                    found.rotations,
                    group=group[best],
                    score=score[best],
                    picker=pickers[found.votes],
                )
            )
        self.remark(f"{count_text(len(out), 'particle')} from {count_text(len(picks), 'pick')} of {len(sets)} pickers.")
        for k, one in enumerate(sets):
            absent = sorted(set(picks["tomogram_id"]) - set(one.tomogram_ids()))
            if absent:
                self.remark(f"Set {k + 1} has no picks in {', '.join(absent)}.")
        self._register(self.input_coordinates, coordinates=out)
