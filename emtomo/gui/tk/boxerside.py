"""The side of the boxer: sets of particles, eraser, threshold on scores."""

import tkinter as tk

import numpy as np
import ttkbootstrap as ttk

from emtomo.gui.tk import theme
from emtomo.gui.tk.host import BoxerHost
from emtomo.gui.tk.window import pack_buttons, tip

ERASER = 64.0


class SetsList(ttk.Labelframe):
    """The sets with their numbers of particles."""

    def __init__(self, master: tk.Misc, boxer: BoxerHost) -> None:
        super().__init__(master, text="Sets", padding=theme.px(master, theme.PAD))
        self.boxer = boxer
        gap = theme.px(self, theme.GAP)
        self.tree = ttk.Treeview(self, columns=("count",), show="tree headings", height=4, selectmode="browse")
        self.tree.heading("#0", text="Set", anchor="w")
        self.tree.heading("count", text="Particles", anchor="w")
        self.tree.column("#0", width=theme.px(self, 150))
        self.tree.column("count", width=theme.px(self, 80))
        self.tree.pack(fill="x")
        self.tree.bind("<<TreeviewSelect>>", lambda _: self._selected())
        row = ttk.Frame(self)
        row.pack(fill="x", pady=(gap, 0))
        pack_buttons(row, boxer.w, gap, boxer.set_buttons())
        boxer.w["sets"] = self.tree

    def _selected(self) -> None:
        chosen = self.tree.selection()
        if chosen and int(chosen[0]) != self.boxer.session.current:
            self.boxer.session.select(int(chosen[0]))
            self.boxer.on_change()

    def show(self) -> None:
        """Show the sets as they are now."""
        tree, session = self.tree, self.boxer.session
        rows = [(str(g), f"● {self.boxer.set_label(g)}", str(len(m.points))) for g, m in session.models.items()]
        if [(i, tree.item(i, "text"), str(tree.item(i, "values")[0])) for i in tree.get_children()] != rows:
            tree.delete(*tree.get_children())
            for iid, label, count in rows:
                tree.insert("", "end", iid=iid, text=label, values=(count,), tags=(iid,))
                tint = theme.blend(self.boxer.set_colour(int(iid)), theme.colour("fg"), 0.35)
                tree.tag_configure(iid, foreground=tint)
        current = str(session.current)
        if tree.exists(current) and tree.selection() != (current,):
            tree.selection_set(current)


class BoxTools(ttk.Labelframe):
    """Box size, eraser, threshold, undo."""

    def __init__(self, master: tk.Misc, boxer: BoxerHost) -> None:
        super().__init__(master, text="Picking", padding=theme.px(master, theme.PAD))
        self.boxer = boxer
        self.columnconfigure(1, weight=1)
        two = theme.px(self, 2)
        ttk.Label(self, text="Box").grid(row=0, column=0, sticky="w")
        self.box = ttk.Spinbox(self, from_=2, to=1024, increment=2, width=7, command=self._boxed)
        self.box.set(str(boxer.box))
        for event in ("<Return>", "<FocusOut>"):
            self.box.bind(event, lambda _: self._boxed())
        self.box.grid(row=0, column=1, sticky="w", pady=two)
        self.eraser = ttk.BooleanVar(self, False)
        check = ttk.Checkbutton(
            self,
            text="Eraser",
            variable=self.eraser,
            bootstyle="round-toggle",
            command=lambda: boxer.set_erasing(self.eraser.get()),
        )
        check.grid(row=1, column=0, sticky="w")
        tip(check, "Rub out particles within the circle (E; [ and ] change its size)")
        self.radius = ttk.Spinbox(self, from_=2, to=2048, increment=4, width=7)
        self.radius.set(f"{ERASER:g}")
        self.radius.grid(row=1, column=1, sticky="w", pady=two)
        ttk.Label(self, text="Score ≥").grid(row=2, column=0, sticky="w")
        self.score = ttk.DoubleVar(self, 0.0)
        self.slider = ttk.Scale(self, from_=0, to=1, variable=self.score, command=lambda _: self._scored())
        self.slider.grid(row=2, column=1, sticky="ew")
        self.score_label = ttk.Label(self, text="", width=9)
        self.score_label.grid(row=2, column=2)
        self.drop = ttk.Button(self, text="Remove below", bootstyle="secondary-outline", command=boxer.remove_below)
        self.drop.grid(row=3, column=0, columnspan=3, sticky="w", pady=(two, 0))
        tip(self.drop, "Remove the particles of a lower score; undo brings them back")
        row = ttk.Frame(self)
        row.grid(row=4, column=0, columnspan=3, sticky="w", pady=(theme.px(self, theme.GAP), 0))
        for name, text, call in (("undo", "Undo", boxer.undo), ("redo", "Redo", boxer.redo)):
            button = ttk.Button(row, text=text, bootstyle="secondary-outline", command=call)
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            boxer.w[name] = button
        boxer.w |= {"eraser": check, "box": self.box, "score": self.slider, "remove below": self.drop}

    def _boxed(self) -> None:
        try:
            self.boxer.set_box(max(2, int(float(self.box.get()))))
        except ValueError:
            return

    def eraser_radius(self) -> float:
        """Return the eraser's radius, voxels."""
        try:
            return max(1.0, float(self.radius.get()))
        except ValueError:
            return ERASER

    def resize_eraser(self, factor: float) -> None:
        """Make the eraser larger or smaller."""
        self.radius.set(f"{self.eraser_radius() * factor:.0f}")

    def toggle_eraser(self) -> None:
        """Switch the eraser."""
        self.eraser.set(not self.eraser.get())
        self.boxer.set_erasing(self.eraser.get())

    def _scored(self) -> None:
        self.score_label.configure(text=f"{self.score.get():.3g}")
        self.boxer.set_threshold(self.score.get())

    def show_scores(self) -> float:
        """Let the slider span the scores that there are; return the threshold."""
        scores = [p.score for m in self.boxer.session.models.values() for p in m.points if p.score]
        low, high = (min(scores), max(scores)) if scores else (0.0, 0.0)
        on = high > low
        if on:
            self.slider.configure(from_=low, to=high)
            self.score.set(min(max(self.score.get(), low), high))
        for widget in (self.slider, self.drop):
            widget.configure(state="normal" if on else "disabled")
        self.score_label.configure(text=f"{self.score.get():.3g}" if on else "no scores")
        return float(self.score.get()) if on else -np.inf
