"""Protocol: picking by a network that learns from a few references."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pyworkflow.protocol.params import Form

from emtomo.compute.convnet.apply import answers, detect_maxima, distance_between
from emtomo.compute.convnet.network import load, save, torch_module
from emtomo.compute.convnet.options import FEWEST, ApplyOptions, TrainOptions
from emtomo.compute.convnet.slabs import Slabs, slabs_of
from emtomo.compute.convnet.train import TrainingReferences, train
from emtomo.compute.positions import from_voxels, to_voxels
from emtomo.engine.form import add_optional_path
from emtomo.engine.protocol import EmtomoProtocol
from emtomo.errors import EmtomoError, FormatError
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, coordinates_frame, positions_of
from emtomo.objects.candidates import choose_above, keep_candidates
from emtomo.objects.points_file import points_of_file
from emtomo.options import Param
from emtomo.wording import count_text

HARDLY = 0.7  # of the first loss
LOWEST = 0.1  # answer from which on maxima are kept, so that pick-again can lower the threshold
LABELS = ("positive", "negative")


@dataclass(frozen=True, kw_only=True)
class PickConvnetOptions:
    """What is picked."""

    box_size: Annotated[
        int, Param("Box size", "Of the particles; a third larger than they are.", unit="voxel", ge=8, le=1024)
    ] = 40
    group: Annotated[int, Param("Group", "Kept on every coordinate.", ge=0)] = 1
    keep_answers: Annotated[
        bool, Param("Keep the output", "Write the network's output for every tomogram as a volume.")
    ] = False


class PickConvnet(EmtomoProtocol):
    """Train a small network on a few good and bad references and let it pick in all tomograms.

    It sees slabs of slices, not single ones. All maxima of its answers are kept, so that pick-again changes threshold,
    distance and number in a second. Corrected picks make good references for another run that goes on from the
    network of this one.
    """

    NAME = "pick-convnet"
    _label = "neural picking"
    _possibleOutputs = {"coordinates": SetOfCoordinates3D}
    OPTIONS = (PickConvnetOptions, TrainOptions, ApplyOptions)
    STEPS_APART = ("pick_step",)
    STEPS_PER = "tomogram"
    INTERACTIVE = "references"
    READS = ("references", "picks", "network")

    # --- form ---

    def _define_inputs(self, form: Form) -> None:
        self._add_input(form, "tomograms", "SetOfTomograms", "Input tomograms", "Where to pick.")
        self._add_input(form, "coordinates", "SetOfCoordinates3D", "Good references", "Particles.", optional=True)
        self._add_input(
            form,
            "negatives",
            "SetOfCoordinates3D",
            "Bad references",
            "Membranes, gold, other particles, background.",
            optional=True,
        )
        for name, label, text in (
            ("references", "References", "CSV with the columns tomogram_id, x, y, z (Å from the centre), label "
             "(positive or negative); besides or instead of the coordinates."),
            ("network", "Network", "File of an earlier run (extra/network.safetensors). With references it is trained "
             "further, without it is applied."),
            ("picks", "Corrected picks", "CSV with the columns tomogram_id, x, y, z (Å from the centre), group, score: "
             "particles that were found and corrected in the window. They are registered as they are, the network is "
             "kept beside them."),
        ):  # fmt: skip
            add_optional_path(form, name, label, text)

    def _check(self) -> list[str]:
        if self.picks.get():
            self._corrected()
            return []
        torch_module()
        if self.network.get():
            load(self.network.get())
        good, bad = (int((self._references()["label"] == label).sum()) for label in LABELS)
        if good + bad == 0 and not self.network.get():
            return ["Give references, or a network that was trained before."]
        if good + bad and (good < FEWEST or bad < FEWEST):
            return [
                f"Training needs at least {FEWEST} positive and {FEWEST} negative references, it has {good} and {bad}."
            ]
        return []

    # --- steps ---

    def _insertAllSteps(self) -> None:
        if self.picks.get():
            self._insertFunctionStep(self.correct_step)
            return
        trained = self._insertFunctionStep(self.train_step, prerequisites=[])
        names = self.input_tomograms.get().tomogram_ids()
        done = [
            self._insertFunctionStep(self.pick_step, name, k, len(names), prerequisites=[trained])
            for k, name in enumerate(names)
        ]
        self._insertFunctionStep(self.output_step, names, prerequisites=done)

    def train_step(self) -> None:
        """Train the network, or take that of an earlier run."""
        options, frame = self.options(TrainOptions), self._references()
        box = self.options(PickConvnetOptions).box_size * self.input_tomograms.get().pixel_size.get()
        network, training_box = None, options.training_box
        if self.network.get():
            network, training_box, box = load(self.network.get())
        if len(frame):
            losses: list[dict[str, float]] = []

            def on_iteration(iteration: int, loss: float) -> None:
                losses.append({"iteration": iteration, "loss": loss})
                self._write_losses(losses)
                self.progress(0.5 * iteration / options.iterations, 1, f"training, loss {loss:.4f}")

            chosen = replace(options, training_box=training_box)
            network = train(self._examples(frame, box), chosen, on_iteration, network)
        part = self._getExtraPath("part.safetensors")
        save(network, part, training_box, box)
        Path(part).replace(self._getExtraPath("network.safetensors"))

    def pick_step(self, tomogram_id: str, number: int, total: int) -> None:
        """Let the network look at one tomogram."""
        options = self.options(PickConvnetOptions)
        network, training_box, box = load(self._getExtraPath("network.safetensors"))
        slabs, shape, size = self._slabs(tomogram_id, box)
        answer, lattice = answers(
            network,
            slabs,
            training_box,
            lambda done, all_: self.progress(0.5 + 0.5 * (number + done / all_) / total, 1),
        )
        use = self.options(ApplyOptions)
        lowest = min(use.threshold, LOWEST)
        places, scores = detect_maxima(answer, lattice, slabs, lowest)
        frame = coordinates_frame(tomogram_id, from_voxels(places, shape, size), score=scores, picker="convnet")
        about = {
            "threshold": use.threshold,
            "lowest": lowest,
            "radius": distance_between(slabs, size, replace(use, min_distance=None)) * size,
        }
        keep_candidates(self._getExtraPath(), tomogram_id, frame.assign(group=options.group), about)
        if options.keep_answers:
            mrc.write_volume(self._getExtraPath(f"{tomogram_id}_answers.mrc"), answer, float(lattice[0, 1]) * size)

    def correct_step(self) -> None:
        """Register picks that were corrected by hand; keep network and references beside them."""
        self.forget_remarks()
        for name in ("network", "references"):
            source = getattr(self, name).get()
            if source:
                target = Path(self._getExtraPath("network.safetensors" if name == "network" else "references.csv"))
                part = target.with_name("part_" + target.name)
                shutil.copyfile(source, part)
                part.replace(target)
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"),
            pixel_size=self.input_tomograms.get().pixel_size.get(),
            box_size=self.options(PickConvnetOptions).box_size,
        )
        corrected = self._corrected()
        self.remark(*corrected.attrs["notes"])
        out.extend(corrected)
        self._register(self.input_tomograms, coordinates=out)

    def output_step(self, tomogram_ids: list[str]) -> None:
        """Join the tomograms and register."""
        self.forget_remarks()
        options, tomograms = self.options(PickConvnetOptions), self.input_tomograms.get()
        out = SetOfCoordinates3D.create(
            self._getPath("coordinates.sqlite"), pixel_size=tomograms.pixel_size.get(), box_size=options.box_size
        )
        use = self.options(ApplyOptions)
        self.remark(*choose_above(self._getExtraPath(), tomogram_ids, use.threshold, use, out, options.group))
        self.remark(*self._references().attrs["notes"])
        losses = Path(self._getExtraPath("losses.csv"))
        if losses.exists():
            loss = pd.read_csv(losses)["loss"]
            self.remark(
                f"The loss fell from {loss.iloc[0]:.4f} to {loss.iloc[-1]:.4f} in {count_text(len(loss), 'iteration')}."
            )
            if loss.iloc[-1] > HARDLY * loss.iloc[0]:
                self.remark("The loss hardly fell: the picks mean little; take more iterations or clearer references.")
        self._register(self.input_tomograms, coordinates=out)

    # --- helpers ---

    def _corrected(self) -> pd.DataFrame:
        """Return the corrected picks as coordinates."""
        places, points = points_of_file(self.picks.get(), self.input_tomograms.get(), "angstrom")
        frame = coordinates_frame(
            "",
            positions_of(places),
            score=points.columns.get("score", np.zeros(len(places))),
            picker="convnet",
            group=self.options(PickConvnetOptions).group,
        )
        frame = frame.assign(tomogram_id=places["tomogram_id"].to_numpy())
        frame.attrs["notes"] = points.notes
        return frame

    def _references(self) -> pd.DataFrame:
        """Return tomogram_id, x, y, z and label of all references; what is to be said of them in ``attrs``."""
        notes: list[str] = []
        frames = [pd.DataFrame({name: [] for name in ("tomogram_id", "x", "y", "z", "label")})]
        tomograms = self.input_tomograms.get()
        for name, label in (("coordinates", "positive"), ("negatives", "negative")):
            pointer = getattr(self, f"input_{name}")
            if not pointer.pointsNone():
                frames.append(pointer.get().frame(["tomogram_id", "x", "y", "z"]).assign(label=label))
        if self.references.get():
            places, points = points_of_file(self.references.get(), tomograms, "angstrom")
            notes += points.notes
            labels = points.columns.get("label")
            wrong = sorted({str(text) for text in labels} - set(LABELS)) if labels is not None else ["none"]
            if wrong:
                raise FormatError(self.references.get(), f"label must be positive or negative; got {', '.join(wrong)}.")
            frames.append(places.assign(label=labels))
        known = set(tomograms.tomogram_ids())
        joined = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        here = joined["tomogram_id"].isin(known)
        if not here.all():
            notes.append(
                f"{int((~here).sum())} of {count_text(len(joined), 'reference')} "
                "lie in other tomograms and are left out."
            )
        chosen = joined[here].reset_index(drop=True)
        chosen.attrs["notes"] = notes
        return chosen

    def _slabs(self, tomogram_id: str, box: float) -> tuple[Slabs, tuple[int, ...], float]:
        """Return a tomogram as the network sees it, its shape and pixel size."""
        tomograms = self.input_tomograms.get()
        volume = mrc.open_volume(tomograms.frame(tomogram_id=tomogram_id).iloc[0]["file"])
        size = tomograms.pixel_size.get()
        voxels = max(8, int(round(box / size)))
        if voxels > min(volume.shape[1:]):
            raise EmtomoError(
                f"{tomogram_id}: a box of {voxels} voxels does not fit into {volume.shape[2]} × {volume.shape[1]}."
            )
        return slabs_of(volume, bool(tomograms.white.get()), voxels), volume.shape, size

    def _examples(self, frame: pd.DataFrame, box: float) -> TrainingReferences:
        places: list[tuple[Slabs, Any]] = []
        positive: list[bool] = []
        for name, mine in frame.groupby("tomogram_id", sort=True):
            slabs, shape, size = self._slabs(str(name), box)
            where = to_voxels(positions_of(mine), shape, size)
            outside = ((where < 0) | (where > np.array(shape) - 1)).any(axis=1)
            if outside.any():
                x, y, z = positions_of(mine)[outside][0]
                raise EmtomoError(
                    f"{name}: {count_text(int(outside.sum()), 'reference lies', 'references lie')} "
                    f"outside it, the first at {x:g}, {y:g}, {z:g} "
                    "Å from its centre."
                )
            for at in where:
                places.append((slabs, np.asarray(at)))
            positive += list(mine["label"] == "positive")
        return TrainingReferences(places, np.array(positive, bool))

    def _write_losses(self, losses: list[dict[str, float]]) -> None:
        path = Path(self._getExtraPath("losses.csv"))
        part = path.with_name("part_" + path.name)
        pd.DataFrame(losses).to_csv(part, index=False, float_format="%.6g")
        part.replace(path)
