"""Training and use of the network in a process of its own, so that no window waits for it.

``python -m emtomo.gui.core.trainer JOB.json`` writes one line of JSON to stdout for every step:
``{"iteration": 3, "loss": 0.01}``, ``{"done": 0.4, "what": "TS_1"}``, ``{"picks": "TS_1", "rows": [[z, y, x, score]]}``
or ``{"error": "..."}``.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from emtomo.compute.convnet.network import torch_module
from emtomo.compute.convnet.options import FEWEST, ApplyOptions, TrainOptions
from emtomo.errors import EmtomoError
from emtomo.gui.core.background import Task
from emtomo.gui.core.picking_run import PickingRun
from emtomo.isolation import python_command

SMALLEST_BOX = 96


def available() -> str:
    """Return why no network can be trained here; empty if one can."""
    try:
        torch_module()
    except EmtomoError as error:
        return str(error)
    return ""


class Trainer:
    """The network of one interactive run.

    Parameters
    ----------
    picking_run : PickingRun
        Of references.
    box : int
        Of the particles, voxels.
    options, use : TrainOptions, ApplyOptions
    """

    def __init__(self, picking_run: PickingRun, box: int, options: TrainOptions, use: ApplyOptions) -> None:
        self.picking_run, self.box = picking_run, box
        self.options, self.use = options, use
        self.losses: list[tuple[int, float]] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def network(self) -> Path:
        """The network's file."""
        return self.picking_run.folder / "network.safetensors"

    def references(self) -> list[tuple[str, str, float, float, float]]:
        """Return (tomogram, positive or negative, z, y, x in voxels) of all references."""
        found = []
        for name in self.picking_run.names:
            for model in self.picking_run.session(name).models.values():
                if model.kind in ("positive", "negative"):
                    found += [(name, model.kind, p.z, p.y, p.x) for p in model.points]
        return found

    def missing(self) -> str:
        """Return what training still needs; empty when it can begin."""
        kinds = [kind for _, kind, *_ in self.references()]
        good, bad = kinds.count("positive"), kinds.count("negative")
        if good < FEWEST or bad < FEWEST:
            return (
                f"Training needs at least {FEWEST} positive and {FEWEST} negative references, it has {good} and {bad}."
            )
        return available()

    def set_training_box(self, box: int) -> None:
        """Give references another size for the network.

        Raises
        ------
        EmtomoError
            If it is too small.
        """
        if not SMALLEST_BOX <= box <= 256 or box % 4:
            raise EmtomoError(f"The training box must be {SMALLEST_BOX} to 256 and a multiple of 4, got {box}.")
        self.options = replace(self.options, training_box=box)

    def train(self, task: Task, message: Callable[[dict[str, Any]], object]) -> None:
        """Train, or train further, in a thread; `message` is called on the window's thread after every iteration."""
        problem = self.missing()
        if problem:
            raise EmtomoError(problem)
        self.losses = []
        rows = self.references()
        names = list(dict.fromkeys(row[0] for row in rows))
        job = {
            "do": "train",
            "options": asdict(self.options),
            "network": str(self.network),
            "references": [list(row) for row in rows],
            **self._tomograms(names),
        }
        self._carry_out(job, task, message)

    def apply(self, task: Task, names: list[str], message: Callable[[dict[str, Any]], object]) -> None:
        """Pick in tomograms; to be called in a thread. `message` is called with the picks."""
        if not self.network.exists():
            raise EmtomoError("There is no network yet: train one, or load one.")
        job = {"do": "apply", "use": asdict(self.use), "network": str(self.network), **self._tomograms(names)}
        self._carry_out(job, task, message)

    def _tomograms(self, names: list[str]) -> dict[str, Any]:
        picking_run = self.picking_run
        return {
            "box": self.box,
            "pixel_size": picking_run.pixel_size,
            "white": picking_run.white,
            "tomograms": {name: str(picking_run.file(name)) for name in names},
        }

    def stop(self) -> None:
        """End what is going on."""
        if self.process is not None:
            self.process.terminate()

    def _carry_out(self, job: dict[str, Any], task: Task, message: Callable[[dict[str, Any]], object]) -> None:
        self.picking_run.folder.mkdir(parents=True, exist_ok=True)
        path = self.picking_run.folder / "job.json"
        path.write_text(json.dumps(job), encoding="utf8")
        command = [*python_command("-m", "emtomo.gui.core.trainer"), str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stderr is not None
        problem = ""
        for line in self.process.stdout:
            said = json.loads(line)
            if "error" in said:
                problem = said["error"]
            else:
                if "loss" in said:
                    self.losses.append((int(said["iteration"]), float(said["loss"])))
                task.post(message, said)
        last = self.process.stderr.read().strip().splitlines()
        code, self.process = self.process.wait(), None
        if problem or code:
            raise EmtomoError(problem or f"The network's process ended: {last[-1] if last else 'it was stopped.'}")


# --- in the other process ---


def say(**what: Any) -> None:
    """Write one line for the window."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Carry out a job; an error of the user's making is a line, not a traceback."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf8"))
    try:
        _train(job) if job["do"] == "train" else _apply(job)
    except EmtomoError as error:
        say(error=str(error))
        return 1
    return 0


def _slabs(job: dict[str, Any], name: str, box_angstrom: float) -> Any:
    from emtomo.compute.convnet.slabs import slabs_of
    from emtomo.io import mrc

    volume = mrc.open_volume(job["tomograms"][name])
    voxels = max(8, int(round(box_angstrom / job["pixel_size"])))
    if voxels > min(volume.shape[1:]):
        raise EmtomoError(f"{name}: a box of {voxels} voxels does not fit into {volume.shape[2]} × {volume.shape[1]}.")
    return slabs_of(volume, bool(job["white"]), voxels)


def _train(job: dict[str, Any]) -> None:
    from emtomo.compute.convnet.network import load, save
    from emtomo.compute.convnet.train import TrainingReferences, train

    options, path = TrainOptions(**job["options"]), Path(job["network"])
    box, network = job["box"] * job["pixel_size"], None
    if path.exists():
        network, _, box = load(str(path))
    slabs = {name: _slabs(job, name, box) for name in job["tomograms"]}
    places = [(slabs[name], np.array(place)) for name, _, *place in job["references"]]
    positive = np.array([kind == "positive" for _, kind, *_ in job["references"]], bool)
    network = train(TrainingReferences(places, positive), options, lambda k, loss: say(iteration=k, loss=loss), network)
    part = path.with_name("part_" + path.name)
    save(network, str(part), options.training_box, box)
    part.replace(path)


def _apply(job: dict[str, Any]) -> None:
    from emtomo.compute.convnet.apply import answers, picks
    from emtomo.compute.convnet.network import load

    network, training_box, box = load(job["network"])
    for k, name in enumerate(job["tomograms"]):
        slabs = _slabs(job, name, box)
        answer, lattice = answers(
            network,
            slabs,
            training_box,
            lambda done, total, k=k, name=name: say(done=(k + done / total) / len(job["tomograms"]), what=name),  # type: ignore[misc]
        )
        places, scores = picks(answer, lattice, slabs, job["pixel_size"], ApplyOptions(**job["use"]))
        say(picks=name, rows=[[*map(float, p), float(s)] for p, s in zip(places, scores, strict=True)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
