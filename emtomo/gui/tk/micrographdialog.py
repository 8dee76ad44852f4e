"""The list of micrographs of a picking run: picks and CTF of each, check boxes, a selection that is saved as a set."""

from pathlib import Path
from typing import Any

import numpy as np
import ttkbootstrap as ttk

from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.errors import EmtomoError
from emtomo.gui.core.picking_run import PickingRun
from emtomo.gui.core.previous_picks import PreviousPicks
from emtomo.gui.core.score_bar import ScoreTable
from emtomo.gui.core.shown import viewers_of_kinds
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.micrographpicker import MicrographPicker
from emtomo.gui.tk.tomodialog import TomogramDialog
from emtomo.gui.tk.window import tip

ON, OFF = "☑", "☐"


class MicrographDialog(TomogramDialog):
    """Micrographs with check boxes; a double click or Enter opens the picker for one."""

    NOUN = "micrograph"
    OPENS_SINGLE = False
    COLUMNS = (
        ("checked", "Use", 50),
        ("pick", "Pick", 60),
        ("count", "Coordinates", 100),
        ("ctf", "CTF: defocus", 130),
        ("status", "Status", 100),
        ("size", "Pixels", 110),
    )

    def __init__(self, window: ProjectHost, picking_run: PickingRun, label: str, texts: dict[str, str]) -> None:
        self.checked = dict.fromkeys(picking_run.names, True)
        table = picking_run.tomograms
        mean = (table["defocus_u"].to_numpy(float) + table["defocus_v"].to_numpy(float)) / 2e4
        self.ctf = table.set_index("tomogram_id")
        self.defocus = dict(zip(table["tomogram_id"], mean, strict=True))
        self._tables: dict[object, ScoreTable | None] = {}
        super().__init__(window, picking_run, label, texts)
        self.tree.bind("<Button-1>", self._pressed, add="+")

    def read_table(self) -> ScoreTable | None:
        """Return the peaks of the run that made the previous coordinates, read once until that has picked again."""
        previous, stamp = self.picking_run.coordinates, self.picking_run.previous_stamp()
        if previous is None:
            return None
        if stamp not in self._tables:
            found = None
            try:
                found = ScoreTable.read(Path(previous.getFileName()).parent)
            except EmtomoError as error:
                self.state_.configure(text=str(error))
            self._tables = {stamp: found}
        return self._tables[stamp]

    def build_tools(self, pad: int) -> None:
        """Add the selection."""
        row = ttk.Frame(self, padding=(pad, 0, pad, pad))
        row.pack(fill="x")
        for name, text, call, words in (
            ("invert", "Invert selection", self.invert, "Check those that are not, and the reverse"),
            ("save selection", "Save selection", self.save_selection, "A new set of the micrographs that are checked"),
        ):
            button = ttk.Button(row, text=text, bootstyle="secondary-outline", command=call)
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            tip(button, words)
            self.w[name] = button

    def values(self, name: str, count: int, status: str, size: str) -> list[Any]:
        """Return the cells of a row."""
        defocus = self.defocus.get(name, np.nan)
        ctf = f"◉ {defocus:.2f} µm" if np.isfinite(defocus) else "✎ estimate"
        return [ON if self.checked[name] else OFF, "✎ pick", count, ctf, status, size.rsplit(" × ", 1)[0]]

    def _pressed(self, event: Any) -> str | None:
        """Check a box, or open the picker, where the mouse is."""
        name, column = self.tree.identify_row(event.y), self.tree.identify_column(event.x)
        if name and column == "#1":
            self.checked[name] = not self.checked[name]
            self.refresh(name)
            return "break"
        if name and column == "#2":
            self.open(name)
        elif name and column == "#4":
            self.show_ctf(name)
        return None

    def show_ctf(self, name: str) -> None:
        """Show the fit of a micrograph's CTF; where none is known, open the form that estimates it."""
        window: Any = self.window
        output = window.output_named(self.texts["micrographs"])
        if output is None:
            self.state_.configure(text="The micrographs are not there any more.")
        elif not np.isfinite(self.defocus.get(name, np.nan)):
            self.w["ctf form"] = window.new_form("estimate-ctf", output)
        else:
            folder = window.folder / window.runs[output.run].folder
            fits = [v for v in viewers_of_kinds(output.kinds) if v.KEY == "ctf-fit" and v.suits(folder)]
            if fits:
                window.view(output, fits[0], lambda fit: self._fit_shown(fit, name))
            else:
                row = self.ctf.loc[name]
                self.state_.configure(
                    text=f"{name}: defocus {row.defocus_u:.0f} and {row.defocus_v:.0f} Å, as imported."
                )

    def _fit_shown(self, fit: Any, name: str) -> None:
        self.w["ctf"] = fit
        if name in fit.names:
            fit.choice.set(name)
            fit.take(name)

    def invert(self) -> None:
        """Check the others."""
        self.checked = {name: not on for name, on in self.checked.items()}
        for name in self.picking_run.names:
            self.refresh(name, totals=False)
        self.show_totals()

    def show_totals(self) -> None:
        """Show the sum, and how many are checked."""
        super().show_totals()
        self.state_.configure(text=f"{self.state_.cget('text')}; {sum(self.checked.values())} checked")

    def save_selection(self) -> None:
        """Run select-subset with the micrographs that are checked."""
        chosen = [name for name, on in self.checked.items() if on]
        if not chosen:
            self.state_.configure(text="No micrograph is checked.")
            return
        source = self.texts["micrographs"]
        self._start("select-subset", f"{self.label} selected", {"items": source, "names": ",".join(chosen)})

    def pick_again(self, threshold: float) -> None:
        """Run pick-again on the previous coordinates with a threshold."""
        values = {"coordinates": self.texts["coordinates"], "threshold": f"{threshold:.4g}"}
        label = f"{self.label} score {threshold:.3g}".replace(".", ",")
        self._start("pick-again", label, values)

    def _start(self, protocol: str, label: str, values: dict[str, str]) -> None:
        window: Any = self.window

        def work(project: Any) -> str:
            """Create, save and launch the run; return its label."""
            run = project.new_run(protocol_named(protocol), project.free_label(label))
            set_parameters(project, run, values, window.folder)
            project.saveProtocol(run)
            project.launch(run)
            return str(run.getObjLabel())

        window.service.ask(work, lambda made: self.state_.configure(text=f"Started: {made}."), self._refused)

    def make_picker(self, name: str, source: VolumeSource) -> Any:
        """Return a new picker window."""
        run = self.picking_run
        return MicrographPicker(
            self, source, run.session(name), run.box_size, run.pixel_size, self.set_box, self.read_table,
            PreviousPicks(run, name), self.pick_again,
        )  # fmt: skip
