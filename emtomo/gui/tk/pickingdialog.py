"""Open the tomograms of a picking run, with the dialog for its kind of picking."""

from typing import Any

from emtomo.errors import ProjectError
from emtomo.gui.core import run_actions
from emtomo.gui.core.picking_run import PickingRun
from emtomo.gui.core.shown import own_copy
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.micrographdialog import MicrographDialog
from emtomo.gui.tk.networkdialog import NetworkDialog
from emtomo.gui.tk.tomodialog import TomogramDialog


def open_dialog(window: ProjectHost, run: int) -> None:
    """Open the tomograms of a picking run, or raise the dialog that is open."""
    there = window.picking_dialogs.get(run)
    if there is not None and there.winfo_exists():
        there.lift()
        return

    def work(project: Any) -> tuple[PickingRun, str, dict[str, str]]:
        """Return the picking run with its lock, its label and the texts of its parameters."""
        found = project.find(str(run))
        micrographs = getattr(found, "input_micrographs", None)
        tomograms = found.input_tomograms.get() or (micrographs.get() if micrographs is not None else None)
        if tomograms is None:
            raise ProjectError(f"{found.getObjLabel()}: its tomograms or micrographs are not there yet.")
        kind = type(found).INTERACTIVE
        pointer = found.input_meshes if kind == "models" else found.input_coordinates
        previous = pointer.get() if kind != "references" else None
        picking_run = PickingRun(
            window.folder,
            run,
            own_copy(tomograms, window.folder),
            kind,
            own_copy(previous, window.folder) if previous is not None else None,
            int(found.box_size.get()),
        )
        picking_run.lock()
        return picking_run, found.getObjLabel(), run_actions.texts_of(found)

    def show(message: tuple[PickingRun, str, dict[str, str]]) -> None:
        """Open the dialog for what is picked: references, micrographs or tomograms."""
        cls = NetworkDialog if message[0].kind == "references" else TomogramDialog
        if message[0].flat is not None:
            cls = MicrographDialog
        window.picking_dialogs[run] = cls(window, *message)
        window.w["tomograms"] = window.picking_dialogs[run]

    window.service.ask(work, show, window.report_failure)
