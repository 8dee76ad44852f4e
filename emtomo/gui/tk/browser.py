"""The particle browser: table, gallery, slices, 3D and plot of one set, with one selection."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ttkbootstrap as ttk

from emtomo.errors import EmtomoError
from emtomo.gui.core.actions import Action
from emtomo.gui.core.background import Task
from emtomo.gui.core.browser import ParticleBrowser
from emtomo.gui.core.browser_images import ParticlePictures
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import browsergallery, browserplot, browserslices, browsertable, scenecanvas, theme
from emtomo.gui.tk.browsergallery import BrowserGallery
from emtomo.gui.tk.browserplot import BrowserPlot
from emtomo.gui.tk.browserslices import BrowserSlices
from emtomo.gui.tk.browserspace import BrowserSpace
from emtomo.gui.tk.browsertable import BrowserTable
from emtomo.gui.tk.dialogs import ask, call_all, choose_file
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.selections import leave_out
from emtomo.gui.tk.window import ActionBar, Window, tip
from emtomo.wording import count_text

TABLE_WIDTH = 430  # pixels at 100 % beside the pictures
NO_COLOUR = "one colour"
# class of a set → protocol that edits it, its parameters for the set and for what it lies in
EDITORS = {
    "SetOfCoordinates3D": ("pick-manually", "coordinates", "tomograms"),
    "SetOfCoordinates2D": ("pick-manually", "coordinates", "micrographs"),
    "SetOfMeshes": ("pick-vectorial", "meshes", "tomograms"),
}
MOUSE = [*browsertable.MOUSE, *browsergallery.MOUSE, *browserslices.MOUSE, *browserplot.MOUSE]


class BrowserWindow(Window):
    """Shows a set.

    Parameters
    ----------
    master : widget
    shown : Shown
        What :func:`emtomo.gui.core.browser_images.prepare_browser` has prepared.
    tab : str
        What stands beside the table at first: gallery, slices, 3d, plot; "table" shows the table alone.
    """

    def __init__(self, master: Any, shown: Shown, tab: str = "gallery") -> None:
        super().__init__(master, f"{shown.title} – emtomo", (1240, 740), "browser")
        self.shown = shown
        self.browser: ParticleBrowser = shown.prepared["browser"]
        self.images: ParticlePictures = shown.prepared["images"]
        self._task: Task | None = None
        self.panes: dict[str, Any] = {}
        self.bind_actions(self._table_of_actions(), MOUSE + (scenecanvas.MOUSE if self.images.in_volumes else []))
        self._make_head()
        self._make_foot()
        self.split = ttk.Panedwindow(self, orient="horizontal")
        self.split.pack(fill="both", expand=True, padx=theme.px(self, theme.PAD))
        self.table = BrowserTable(self.split, self.browser, self.sort)
        self.split.add(self.table, weight=1)
        self.tabs = ttk.Notebook(self.split)
        self.split.add(self.tabs, weight=2)
        self._make_panes()
        self.tabs.bind("<<NotebookTabChanged>>", lambda _: self._appear())
        self.w |= {"table": self.table.tree, "tabs": self.tabs, "split": self.split}
        self.browser.listeners.append(self._changed)
        self._changed("selection")
        self.after_idle(lambda: self._arrange(tab))

    def _table_of_actions(self) -> list[Action]:
        a = Action
        return [
            a("shown", "Select shown", self.browser.select_shown, "<Control-a>", "check2-all", "",
              "Select all rows that are shown", ""),
            a("invert", "Invert", self.browser.invert, "i", "arrow-left-right", "", "Select the others", ""),
            a("clear", "Select none", self.browser.clear, "<Escape>", "x-lg", "", "", ""),
            a("keep", "Save selected", partial(self.keep, True), "<Control-s>", "save", "",
              "A new output of the selected ones, with all that is known of them", "success"),
            a("keep others", "Save others", partial(self.keep, False), "", "save", "",
              "A new output without the selected ones", ""),
            a("average", "Average", self.show_average, "<Control-m>", "layers", "",
              "The average of the selected ones, or of all that are shown, as they lie in their boxes", ""),
            a("box", "Its picture", self.open_box, "<Return>", "zoom-in", "", "The slices of the particle itself", ""),
            a("edit", "Edit in a picker", self.edit, "e", "pencil", "",
              "A picking run that starts from these: points are moved, removed and added on slices", ""),
            a("csv", "Save CSV", self.save, "<Control-p>", "filetype-csv", "", "Write the rows that are shown", ""),
            a("undo", "Take the last change of the selection back", self.browser.undo, "<Control-z>"),
            a("redo", "Make it again", self.browser.redo, "<Control-y> <Control-Z>"),
            a("filter", "Go to the filter", lambda: self.condition.focus_set(), "<Control-f>"),
            a("table", "Table beside the pictures, or not", self.toggle_table, "<F9>"),
            a("close", "Close", self.close, "<Control-q>"),
        ]  # fmt: skip

    def _make_head(self) -> None:
        pad, gap = theme.px(self, theme.PAD), theme.px(self, theme.GAP)
        head = ttk.Frame(self, padding=pad)
        head.pack(fill="x")
        ttk.Label(head, text="Show where").pack(side="left")
        self.condition = ttk.Entry(head, width=36)
        self.condition.pack(side="left", padx=(gap, gap))
        self.condition.bind("<Return>", lambda _: self.apply())
        tip(self.condition, "e.g.  score > 3 and tilt < 30   or   tomogram_id ~ TS_0   (~ means contains)")
        filter_button = ttk.Button(head, text="Filter", bootstyle="primary", command=self.apply)
        filter_button.pack(side="left", padx=(0, pad))
        ttk.Label(head, text="Colour by").pack(side="left")
        self.colour = ttk.Combobox(head, values=[NO_COLOUR, *self.browser.columns], state="readonly", width=16)
        self.colour.set(NO_COLOUR)
        self.colour.bind("<<ComboboxSelected>>", lambda _: self._recolour())
        self.colour.pack(side="left", padx=gap)
        self.legend = ttk.Frame(head)
        self.legend.pack(side="left", padx=gap)
        self.w |= {"condition": self.condition, "filter": filter_button, "colour": self.colour}

    def _make_foot(self) -> None:
        pad = theme.px(self, theme.PAD)
        bar = ActionBar(self, self.actions, self.w)
        bar.pack(side="bottom", fill="x")
        bar.offer(self._applies)
        self.bar = bar
        foot = ttk.Frame(self, padding=(pad, 0))
        foot.pack(side="bottom", fill="x")
        self.counts = ttk.Label(foot, text="")
        self.counts.pack(side="left")
        self.message = ttk.Label(foot, text="", anchor="e")
        self.message.pack(side="right", fill="x", expand=True, padx=(pad, 0))
        self.w |= {"counts": self.counts, "message": self.message}

    def _make_panes(self) -> None:
        b, images, say = self.browser, self.images, self.say
        if images.kind != "none":
            self.panes["gallery"] = BrowserGallery(self.tabs, b, images, self.show_where, say)
        if images.in_volumes:
            self.panes["slices"] = BrowserSlices(self.tabs, b, images, say)
            if not images.flat:
                self.panes["3d"] = BrowserSpace(self.tabs, b, images, say)
        self.panes["plot"] = BrowserPlot(self.tabs, b, say)
        names = {"gallery": "Gallery", "slices": "Micrograph" if images.flat else "Slices", "3d": "3D", "plot": "Plot"}
        for name, pane in self.panes.items():
            self.tabs.add(pane, text=names[name], padding=theme.px(self, theme.GAP))

    def _arrange(self, tab: str) -> None:
        """Give the table its width, and open the first tab."""
        if not self.winfo_exists():
            return
        if self.split.winfo_width() < theme.px(self, TABLE_WIDTH):
            self.after(20, lambda: self._arrange(tab))
            return
        if tab in self.panes:
            self.show_tab(tab)
            self.split.sashpos(0, theme.px(self, TABLE_WIDTH))
        else:
            self.split.sashpos(0, int(self.winfo_width() * 0.72))
        self.table.tree.focus_set()

    def _applies(self, name: str) -> bool:
        some = bool(self.browser.selected.any())
        if name in ("keep", "keep others"):
            return some and not bool(self.browser.selected.all())
        if name == "average":
            return self.images.kind in ("boxes", "images")
        if name == "edit":
            return self.editor is not None
        if name == "box":
            return self.images.kind != "none" and self.browser.current is not None
        return True

    # --- tabs ---

    def show_tab(self, name: str) -> None:
        """Show a tab."""
        self.tabs.select(self.panes[name])

    def _appear(self) -> None:
        pane = self.nametowidget(self.tabs.select())
        self.after_idle(lambda: self._fill(pane))

    def _fill(self, pane: Any) -> None:
        """Let a pane that is seen now show what has changed meanwhile."""
        if not pane.winfo_exists():
            return
        if not pane.winfo_ismapped():
            self.after(20, lambda: self._fill(pane))
            return
        pane.appear()

    def show_where(self) -> None:
        """Show where the current particle lies, or its picture."""
        if "slices" in self.panes:
            self.show_tab("slices")
        else:
            self.open_box()

    def toggle_table(self) -> None:
        """Show the table beside the pictures, or leave it out."""
        if str(self.table) in map(str, self.split.panes()):
            self.split.forget(self.table)
        else:
            self.split.insert(0, self.table, weight=1)

    # --- filter, order, colours ---

    def apply(self) -> None:
        """Show the rows that the condition holds for; found in a thread."""
        self._find(self.condition.get(), self.browser.order)

    def sort(self, name: str) -> None:
        """Sort by a column; again for the other direction."""
        order = self.browser.order
        self._find(self.browser.condition, (name, order is not None and order[0] == name and not order[1]))

    def _find(self, condition: str, order: tuple[str, bool] | None) -> None:
        browser = self.browser

        def take(rows: np.ndarray) -> None:
            """Show the rows that were found."""
            if self.winfo_exists():
                self.say("")
                browser.show(condition, order, rows)

        self._task = follow(self, self.work(lambda _: browser.find_rows(condition, order), take, self.refuse))

    def _recolour(self) -> None:
        name = self.colour.get()
        self.browser.set_colour("" if name == NO_COLOUR else name)
        for child in self.legend.winfo_children():
            child.destroy()
        for text, tint in self.browser.colouring.legend[:8]:
            ttk.Label(self.legend, text="  ", background=tint).pack(side="left")
            ttk.Label(self.legend, text=text[:14]).pack(side="left", padx=(2, theme.px(self, theme.PAD)))

    def _changed(self, what: str) -> None:
        self.counts.configure(text=self.browser.counts())
        self.bar.offer(self._applies)
        if what == "current" and self.browser.current is not None:
            self.say(self.browser.describe(self.browser.current))

    def say(self, text: str) -> None:
        """Show a sentence; the project window shows it once this one is closed."""
        if self.winfo_exists():
            self.message.configure(text=text, bootstyle="default")
        else:
            self.app.say(text)

    def refuse(self, text: str) -> None:
        """Show a sentence about something that cannot be done."""
        if self.winfo_exists():
            self.message.configure(text=text, bootstyle="danger")

    # --- what is made of it ---

    def keep(self, selected: bool) -> None:
        """Make a new output of the selected ones, or of the others."""
        try:
            out = self.browser.take_left_out(keep_selected=selected)
        except EmtomoError as error:
            self.refuse(str(error))
            return
        leave_out(self.app, self.shown, out, self.say)

    def show_average(self) -> None:
        """Show the mean of the selected ones, or of all that are shown."""
        from emtomo.gui.tk.slicewindow import SliceWindow

        browser, images = self.browser, self.images
        rows = np.flatnonzero(browser.selected) if browser.selected.any() else browser.rows
        self.say(f"Averaging {count_text(len(rows), browser.noun)} …")

        def show(source: VolumeSource) -> None:
            """Open a window with the average."""
            if self.winfo_exists():
                self.say(f"Average of {count_text(len(rows), browser.noun)}, as they lie in their boxes.")
                title = f"average of {len(rows)} – {self.shown.title} – emtomo"
                self.w["mean"] = SliceWindow(self, source, title, images.pixel_size)

        follow(self, self.work(lambda _: images.mean_source(rows), show, self.refuse))

    @property
    def editor(self) -> tuple[str, str, str] | None:
        """Protocol that edits such a set, and its parameters for the set and for what it lies in; None for others."""
        return EDITORS.get(type(self.shown.value).__name__) if hasattr(self.app, "new_form") else None

    def edit(self) -> None:
        """Open the form of a picking run that has these as its previous coordinates, or models."""
        if self.editor is None:
            return
        protocol, previous, where = self.editor
        project: Any = self.app
        form = project.new_form(protocol)
        form.model.put(previous, f"{self.shown.run}.{self.shown.name}")
        form.model.put(where, self.shown.micrographs_target if self.images.flat else self.shown.tomograms_target)
        self.w["form"] = form

    def open_box(self) -> None:
        """Show the slices of the current particle's box, or its image."""
        from emtomo.gui.tk.slicewindow import SliceWindow

        row, images = self.browser.current, self.images
        if row is None or images.kind == "none":
            return

        def show(source: VolumeSource) -> None:
            """Open a window with the box."""
            if self.winfo_exists():
                self.w["box"] = SliceWindow(self, source, f"{row + 1} – {self.shown.title} – emtomo", images.pixel_size)

        follow(self, self.work(lambda _: images.box_source(row), show, self.refuse))

    def save(self) -> None:
        """Ask where, then write the rows that are shown as CSV."""
        path = choose_file(self, "Save table", save=f"{self.shown.name}.csv")
        if path is not None:
            self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write the rows that are shown, in their order, as CSV."""
        part, rows = path.with_name(path.name + ".part"), self.browser.rows

        def work(_: Task) -> None:
            """Write a part beside the file, which takes its name when it is complete."""
            self.browser.table.iloc[rows].to_csv(part, index=False)
            part.replace(path)

        follow(self, self.work(work, lambda _: self.say(f"Written: {path}."), self.refuse))

    # --- closing ---

    def close(self) -> None:
        """Close; asks if something was selected and not saved."""
        if not self.browser.unsaved:
            self.shut()
            return
        self.w["question"] = ask(
            self,
            "Save the selection?",
            f"{self.browser.counts()} Save the selected ones as a new output?",
            [
                ("Save", "success", call_all(partial(self.keep, True), self.shut)),
                ("Forget", "danger-outline", self.shut),
                ("Stay", "secondary-outline", lambda: None),
            ],
        )

    def shut(self) -> None:
        """Close without a question."""
        self.browser.listeners.clear()
        if self._task is not None:
            self._task.cancel()
        for pane in self.panes.values():
            if hasattr(pane, "stop"):
                pane.stop()
        super().close()


def open_browser(master: Any, shown: Shown, tab: str) -> BrowserWindow:
    """Open a set with a tab of the browser."""
    return BrowserWindow(master, shown, tab)
