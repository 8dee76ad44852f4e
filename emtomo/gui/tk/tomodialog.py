"""The tomograms of a picking run: number, status, a picker for each; on closing, the question about the output."""

import contextlib
from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.engine.parameters import set_parameters
from emtomo.errors import EmtomoError, ProjectError
from emtomo.gui.core import run_actions
from emtomo.gui.core.actions import Action
from emtomo.gui.core.background import Task, sentence
from emtomo.gui.core.picking_run import STATUS, PickingRun
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import ask, call_all
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.window import Window, busy_label
from emtomo.wording import count_text

WATCH = 400  # ms between two looks at how many points there are


class TomogramDialog(Window):
    """A list of tomograms; a double click or Enter opens the picker for one, which a single tomogram does by itself."""

    NOUN = "tomogram"
    OPENS_SINGLE, CLOSES_WITH_SINGLE = True, True
    COLUMNS: tuple[tuple[str, str, int], ...] = (
        ("count", "Coordinates", 110),
        ("status", "Status", 110),
        ("size", "Voxels", 150),
    )

    def __init__(self, window: ProjectHost, picking_run: PickingRun, label: str, texts: dict[str, str]) -> None:
        super().__init__(window, f"{label} – {self.NOUN}s – emtomo", (620, 420), "tomograms")
        self.window, self.picking_run, self.label, self.texts = window, picking_run, label, texts
        self.pickers: dict[str, Any] = {}
        self._opening: set[str] = set()
        self._counts: dict[str, int] = {}
        self._sum = ""
        self._asking = False
        pad = theme.px(self, theme.PAD)
        message = busy_label(
            self,
            f"Double-click a {self.NOUN} to pick in it. Every click is kept at once; the output is registered "
            "when you close this list.",
        )
        message.configure(padding=pad, wraplength=theme.px(self, 580), justify="left")
        message.pack(fill="x")
        self.foot = ttk.Frame(self, padding=pad)
        self.foot.pack(side="bottom", fill="x")
        self.state_ = ttk.Label(self.foot, text="")
        self.state_.pack(side="left", fill="x", expand=True)
        for name, text, style, call in (
            ("close", "Close", "secondary-outline", self.close),
            ("register", "Register output", "success", self.register_output),
            ("open", "Pick", "primary", self.open_selected),
        ):
            button = ttk.Button(self.foot, text=text, bootstyle=style, command=call)
            button.pack(side="right", padx=(theme.px(self, theme.GAP), 0))
            self.w[name] = button
        self.build_tools(pad)
        frame = ttk.Frame(self, padding=(pad, 0))
        frame.pack(fill="both", expand=True)
        self.tree = ttk.Treeview(
            frame, columns=[c for c, _, _ in self.COLUMNS], show="tree headings", selectmode="browse"
        )
        self.tree.heading("#0", text=self.NOUN.capitalize(), anchor="w")
        self.tree.column("#0", width=theme.px(self, 220))
        for name, heading, width in self.COLUMNS:
            self.tree.heading(name, text=heading, anchor="w")
            self.tree.column(name, width=theme.px(self, width), anchor="w")
        bar = ttk.Scrollbar(frame, command=self.tree.yview)
        self.tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.tree.pack(side="left", fill="both", expand=True)
        self.w["tomograms"] = self.tree
        self.tree.bind("<Double-1>", lambda e: self.open(self.tree.identify_row(e.y)))
        self.tree.bind("<Return>", lambda _: self.open_selected())
        self.bind_actions(
            [
                Action("close", "Close", self.close, "<Escape>"),
                Action("register", "Register output", self.register_output, "<Control-s>"),
            ]
        )
        for name in picking_run.names:
            self.tree.insert("", "end", iid=name, text=name, values=["…"] + [""] * (len(self.COLUMNS) - 1))
        if picking_run.names:
            self.tree.selection_set(picking_run.names[0])
            self.tree.focus(picking_run.names[0])
        self.tree.focus_set()
        self._counting = follow(self, window.work(self._read_journals, self._journals_read))
        self._watching = self.after(WATCH, self._watch)
        self._single = self.OPENS_SINGLE and len(picking_run.names) == 1
        if self._single:
            self.open(picking_run.names[0])

    def build_tools(self, pad: int) -> None:
        """Add what a kind of picking needs besides."""

    def _read_journals(self, task: Task) -> None:
        """Read the points of one tomogram after the other, in a thread."""
        for k, name in enumerate(self.picking_run.names):
            if task.cancelled:
                return
            task.report(k / len(self.picking_run.names))
            with contextlib.suppress(EmtomoError):  # reported when it is shown
                self.picking_run.session(name)
            task.post(self._journal_read, name)

    def _journal_read(self, name: str) -> None:
        if self.winfo_exists():
            self.refresh(name, totals=False)

    def _journals_read(self, _: None) -> None:
        if self.winfo_exists():
            self.show_totals()

    def refresh(self, name: str, *, totals: bool = True) -> None:
        """Show count and status of a tomogram, and the sum of all."""
        try:
            row = self.picking_run.row(name)
        except EmtomoError as error:
            self.tree.item(name, values=["?", "damaged", ""])
            self.state_.configure(text=str(error))
            return
        glyph, colour = STATUS[row.status]
        self.tree.item(name, values=self.values(name, row.count, f"{glyph} {row.status}", row.size), tags=(row.status,))
        self.tree.tag_configure(row.status, foreground=theme.colour(colour))
        if totals:
            self.show_totals()

    def values(self, name: str, count: int, status: str, size: str) -> list[Any]:
        """Return the cells of a row."""
        return [count, status, size]

    def _watch(self) -> None:
        """Show the counts of the tomograms that are picked in now."""
        if not self.winfo_exists():
            return
        for name in list(self.pickers):
            count = self.picking_run.session(name).count
            if self._counts.get(name) != count:
                self._counts[name] = count
                self.refresh(name, totals=self.state_.cget("text") == self._sum)  # not over another sentence
        self._watching = self.after(WATCH, self._watch)

    def show_totals(self) -> None:
        """Show the sum, and whether it is registered."""
        sessions = list(self.picking_run.sessions.values())
        done, points = sum(s.count > 0 for s in sessions), count_text(sum(s.count for s in sessions), "point")
        message = f"{points} in {done} of {count_text(len(self.picking_run.names), self.NOUN)}"
        self._sum = message + (", not registered yet" if self.picking_run.unsaved else "")
        self.state_.configure(text=self._sum)

    def open_selected(self) -> None:
        """Open the picker for the selected tomogram."""
        for name in self.tree.selection():
            self.open(name)

    def open(self, name: str) -> None:
        """Open the picker for a tomogram once a thread has opened its file, or raise the one that is open."""
        there = self.pickers.get(name)
        if there is not None and there.winfo_exists():
            there.lift()
        elif name and name not in self._opening:
            self._opening.add(name)
            self.state_.configure(text=f"Opening {name} …")

            def show_failure(message: str) -> None:
                """Show why the tomogram could not be opened."""
                self._opening.discard(name)
                if self.winfo_exists():
                    self.state_.configure(text=message)

            path = self.picking_run.file(name)

            def read(_: Task) -> VolumeSource:
                """Open the tomogram and its session outside of the window's thread."""
                self.picking_run.session(name)
                return VolumeSource(path)

            follow(self, self.window.work(read, lambda source: self._opened(name, source), show_failure))

    def _opened(self, name: str, source: VolumeSource) -> None:
        """Show the picker, in front of the list that opens it."""
        if self._single and self.winfo_exists() and not self.winfo_viewable():  # else it would lie over the picker
            self.after(WATCH // 10, lambda: self._opened(name, source))
            return
        self._opening.discard(name)
        if not self.winfo_exists():
            source.close()
            return
        try:
            picker = self.make_picker(name, source)
        except (EmtomoError, OSError) as error:
            source.close()
            self.state_.configure(text=sentence(error))
            return
        self.picking_run.open.add(name)
        self.pickers[name] = picker
        picker.on_next = lambda: self.open_next(name)
        picker.bind("<Destroy>", lambda event: self._closed(name) if event.widget is picker else None)
        self.w["picker"] = picker
        self.refresh(name)
        picker.after_idle(picker.lift)

    def open_next(self, name: str) -> None:
        """Close the picker of a tomogram and open that of the next in the list, after the last the first."""
        names = self.picking_run.names
        following = names[(names.index(name) + 1) % len(names)]
        if following == name:
            self.pickers[name].say("There is no other tomogram.")
            return
        self.pickers[name].close()
        self.tree.selection_set(following)
        self.tree.see(following)
        self.open(following)

    def make_picker(self, name: str, source: VolumeSource) -> Any:
        """Return a new picker window."""
        session, size = self.picking_run.session(name), self.picking_run.pixel_size
        if self.picking_run.kind == "models":
            from emtomo.gui.tk.picker import PickerWindow

            return PickerWindow(self, source, session, self.texts["model"], size)
        from emtomo.gui.tk.boxer import BoxerWindow

        return BoxerWindow(self, source, session, self.picking_run.box_size, size, self.set_box)

    def set_box(self, box: int) -> None:
        """Take the box size that was set in a picker: it is registered with the points."""
        self.picking_run.set_box(box)
        self.texts["box_size"] = str(box)
        self.show_totals()

    def _closed(self, name: str) -> None:
        self.picking_run.open.discard(name)
        self.pickers.pop(name, None)
        if self.winfo_exists():
            self.refresh(name)
            if self._single and self.CLOSES_WITH_SINGLE and self.picking_run.unsaved:
                self.after_idle(self.close)

    # --- the output ---

    def register_output(self, then: Callable[[], object] = lambda: None) -> None:
        """Write the points and let the run make its output from them."""
        try:
            values = self.picking_run.export()
        except (EmtomoError, OSError) as error:
            self.state_.configure(text=sentence(error))
            return
        i = self.picking_run.run

        def work(project: Any) -> None:
            """Write the parameters into the run and launch it to register what was picked."""
            run = project.find(str(i))
            if run.isActive():
                raise ProjectError(f"{run.getObjLabel()} is {run.getStatus()}; register when it is done.")
            set_parameters(project, run, values, self.window.folder)
            project.amend(run)
            message = run_actions.validation_messages(run)
            if message:
                raise ProjectError(" ".join(message))
            project.launch(run)

        def show_end(_: object) -> None:
            """Report that the output is being registered, and continue."""
            self.window.say(f"{self.label}: output is being registered.")
            then()

        self.window.service.ask(work, show_end, self._refused)
        self.show_totals()

    def _refused(self, message: str) -> None:
        if self.winfo_exists():
            self.state_.configure(text=message)
        else:
            self.window.report_failure(message)

    def close(self) -> None:
        """Close; asks about the output only if something has changed since it was registered."""
        if not self.winfo_exists() or self._asking:
            return
        self._asking = True  # before pickers close: the only one's end closes the list as well
        for picker in list(self.pickers.values()):
            if picker.winfo_exists():
                picker.close()
        if not self.picking_run.unsaved or not any(s.count for s in self.picking_run.sessions.values()):
            self.shut()
            return
        count = sum(s.count for s in self.picking_run.sessions.values())
        done = sum(s.count > 0 for s in self.picking_run.sessions.values())
        self.w["question"] = ask(
            self,
            "Register output?",
            f"Register the output of {self.label}: {count_text(count, 'point')} "
            f"in {count_text(done, self.NOUN)}? Without it they stay as they "
            "are and can be picked further.",
            [
                ("Yes", "success", call_all(self.register_output, self.shut)),
                ("No", "secondary-outline", self.shut),
                ("Stay", "secondary-outline", self._stay),
            ],
        )

    def _stay(self) -> None:
        self._asking = False

    def shut(self) -> None:
        """Close without a question."""
        self._counting.cancel()
        self.after_cancel(self._watching)
        self.window.picking_dialogs.pop(self.picking_run.run, None)
        self.picking_run.unlock()
        super().close()
