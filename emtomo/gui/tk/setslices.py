"""Outputs on slices: tomograms before and after, particles with their directions, volumes, tilts, boxes."""

from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.errors import EmtomoError
from emtomo.gui.core.output_volumes import (
    load_tilts,
    load_tomogram,
    load_volume,
    slices_of,
    tilt_tables,
    tomogram_rows,
)
from emtomo.gui.core.scenedata import SecondMap, second_map
from emtomo.gui.core.shown import Shown
from emtomo.gui.core.shown import load as load_output
from emtomo.gui.core.tilt_source import TiltSource
from emtomo.gui.core.tomogram_particles import counts
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.beforeafter import BeforeAfter
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.slicewindow import SliceWindow
from emtomo.gui.tk.tiltwindow import TiltWindow
from emtomo.gui.tk.window import Window, busy_label
from emtomo.wording import count_text

VOLUMES = {"Average", "Volume", "Mask"}


class ChooseTomogram(Window):
    """A list of tomograms with what they hold; a double click reads one in a thread, then opens it."""

    def __init__(
        self,
        master: Any,
        title: str,
        rows: list[tuple[str, str]],
        heading: str,
        load: Callable[[str], Any],
        make: Callable[[str, Any], Any],
    ) -> None:
        super().__init__(master, title, (460, 360))
        self._load, self._make = load, make
        pad = theme.px(self, theme.PAD)
        self.message = busy_label(self, "Double-click a tomogram to see it.")
        self.message.pack(anchor="w", padx=pad, pady=pad)
        frame = ttk.Frame(self, padding=(pad, 0))
        frame.pack(fill="both", expand=True)
        self.tree = ttk.Treeview(frame, columns=("about",), show="tree headings", selectmode="browse")
        self.tree.heading("#0", text="Tomogram", anchor="w")
        self.tree.heading("about", text=heading, anchor="w")
        bar = ttk.Scrollbar(frame, command=self.tree.yview)
        self.tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        self.tree.pack(side="left", fill="both", expand=True)
        for name, message in rows:
            self.tree.insert("", "end", iid=name, text=name, values=(message,))
        self.tree.bind("<Double-1>", lambda e: self.open(self.tree.identify_row(e.y)))
        self.tree.bind("<Return>", lambda _: self.open(next(iter(self.tree.selection()), "")))
        self.bind("<Escape>", lambda _: self.close())
        self.tree.selection_set(rows[0][0])
        self.tree.focus(rows[0][0])
        self.tree.focus_set()
        self.w["tomograms"] = self.tree

    def open(self, name: str) -> None:
        """Open a tomogram."""
        if not name:
            return
        self.message.configure(text=f"Reading {name} …")

        def show(loaded: Any) -> None:
            """Open the window for what was loaded."""
            if self.winfo_exists():
                self.message.configure(text="")
                self.w["opened"] = self._make(name, loaded)

        follow(self, self.work(lambda _: self._load(name), show, lambda text: self.message.configure(text=text)))


def _choose(
    master: Any,
    shown: Shown,
    rows: list[tuple[str, str]],
    heading: str,
    load: Callable[[str], Any],
    make: Callable[[str, Any], Any],
) -> Any:
    """Open the only tomogram, or let the user choose.

    `load` reads, in a thread or, for the only one, from what was prepared; `make` opens the window.
    """
    if not rows:
        raise EmtomoError(f"{shown.title} is an empty set: there is nothing to show.")
    if len(rows) == 1:
        return make(rows[0][0], load(rows[0][0]))
    return ChooseTomogram(master, f"{shown.title} – emtomo", rows, heading, load, make)


def open_tomograms(master: Any, shown: Shown) -> Any:
    """Show tomograms; those that were made from others beside them."""

    def load(name: str) -> tuple[VolumeSource, VolumeSource | None]:
        """Return the slices of a tomogram, and those before processing where they are known."""
        return slices_of(shown, name, load_tomogram)

    def make(name: str, sources: tuple[VolumeSource, VolumeSource | None]) -> Any:
        """Return a window for one tomogram, or for both sides of a comparison."""
        title, size = f"{name} – {shown.label} – emtomo", float(shown.value.pixel_size.get())
        after, before = sources
        if before is None:
            return SliceWindow(master, after, title, size)
        return BeforeAfter(master, before, after, title, size)

    rows = shown.prepared.get("rows") or tomogram_rows(shown)
    return _choose(master, shown, rows, "Voxels", load, make)


def open_space(master: Any, shown: Shown, scene_of: Callable[[Shown, str], Any]) -> Any:
    """Show models with their tomogram, or a volume, in space."""
    from emtomo.gui.tk.view3d import View3D

    def load(name: str) -> Any:
        """Return the scene of one item, prepared or read now."""
        return shown.prepared.get(f"scene {name}") or scene_of(shown, name)

    def make(name: str, data: Any) -> Any:
        """Return a view in space for the scene."""
        title = f"{name} – {shown.title} – 3D – emtomo".lstrip(" –")
        return View3D(master, data, title, {} if name else other_volumes(master, shown))

    if not hasattr(shown.value, "tomogram_ids"):
        return make("", load(""))
    return _choose(master, shown, shown.prepared.get("rows") or counts(shown), "Particles", load, make)


def other_volumes(window: Any, shown: Shown) -> dict[str, Callable[..., object]]:
    """Return the other volumes of a project by name, and how each is read to be shown beside this one."""

    def reader(target: str) -> Callable[..., object]:
        """Return what reads the second map from this output."""

        def read(take: Callable[[SecondMap], object], say: Callable[[str], object]) -> None:
            """Find the output, read the map and hand it over."""

            def load(other: Shown) -> None:
                """Read the second map outside of the window's thread."""
                follow(window, window.work(lambda _: second_map(shown, other), take, say))

            window.service.ask(lambda project: load_output(project, target), load, say)

        return read

    outputs = [output for run in getattr(window, "runs", {}).values() for output in run.outputs if not output.pending]
    mine = f"{shown.run}.{shown.name}"
    return {o.title: reader(o.target) for o in outputs if o.target != mine and set(o.kinds) & VOLUMES}


def open_volume(master: Any, shown: Shown) -> Any:
    """Show a volume."""
    return SliceWindow(
        master,
        slices_of(shown, "", load_volume),
        f"{shown.title} – emtomo",
        float(shown.value.pixel_size.get() or 0),
    )


def open_tilts(master: Any, shown: Shown) -> Any:
    """Show the images of a tilt series as slices of its stack."""
    tables = shown.prepared.get("tables") or tilt_tables(shown)

    def make(name: str, source: TiltSource) -> Any:
        """Return a window for the tilts of one series."""
        return TiltWindow(master, source, shown, name, tables[name])

    return _choose(
        master,
        shown,
        [(name, f"{count_text(len(captions), 'tilt')}") for name, captions in tables.items()],
        "Tilts",
        lambda name: slices_of(shown, name, load_tilts),
        make,
    )
