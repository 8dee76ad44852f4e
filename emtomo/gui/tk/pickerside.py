"""The side of the vectorial picker: the pool of models, and how points are picked."""

import tkinter as tk

import ttkbootstrap as ttk

from emtomo.compute.geometry.models import MODELS, ROLES
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import PickerHost
from emtomo.gui.tk.window import busy_label, pack_buttons, tip


class ModelPool(ttk.Labelframe):
    """The models of a tomogram: start, choose, name, delete; what the current one gives."""

    def __init__(self, master: tk.Misc, picker: PickerHost) -> None:
        pad, gap = theme.px(master, theme.PAD), theme.px(master, theme.GAP)
        super().__init__(master, text="Model pool", padding=pad)
        self.picker = picker
        row = ttk.Frame(self)
        row.pack(fill="x")
        self.kind = ttk.Combobox(row, values=list(MODELS), state="readonly", width=17)
        self.kind.set(picker.kind)
        self.kind.pack(side="left", fill="x", expand=True)
        self.kind.bind("<<ComboboxSelected>>", lambda _: self._kind_chosen())
        new = ttk.Button(row, text="New", icon="plus-lg", bootstyle="success", command=picker.new_model)
        new.pack(side="left", padx=(gap, 0))
        tip(new, "Start a model: one vesicle, one filament, one sheet (N)")
        self.tree = ttk.Treeview(self, columns=("kind", "points"), show="tree headings", height=6, selectmode="browse")
        for name, heading, width in (("#0", "Group", 80), ("kind", "Model", 130), ("points", "Points", 55)):
            self.tree.heading(name, text=heading, anchor="w")
            self.tree.column(name, width=theme.px(self, width), anchor="w")
        self.tree.pack(fill="both", expand=True, pady=gap)
        self.tree.bind("<<TreeviewSelect>>", lambda _: self._selected())
        row = ttk.Frame(self)
        row.pack(fill="x")
        buttons = (
            ("rename", "Rename", picker.rename_group, "Give the model a name"),
            ("drop", "Delete model", picker.drop_group, "Remove the model with its points; undo brings it back"),
        )
        pack_buttons(row, picker.w, gap, buttons)
        self.fit = busy_label(self, "")
        self.fit.configure(wraplength=theme.px(self, 270), justify="left")
        self.fit.pack(fill="x", pady=(gap, 0))
        picker.w |= {"kind": self.kind, "new": new, "pool": self.tree, "fit": self.fit}

    def _kind_chosen(self) -> None:
        """Make the current model one of the kind that was chosen; its points stay."""
        session = self.picker.session
        if session.current in session.models and session.models[session.current].kind != self.kind.get():
            session.set_kind(session.current, self.kind.get())
            self.picker.on_change()

    def _selected(self) -> None:
        chosen = self.tree.selection()
        if chosen and int(chosen[0]) != self.picker.session.current:
            self.picker.session.select(int(chosen[0]))
            self.picker.on_change()

    def show(self) -> None:
        """Show the models as they are now."""
        tree, session = self.tree, self.picker.session
        rows = {str(g): (f"{g} {m.name}".strip(), m.kind, str(len(m.points))) for g, m in session.models.items()}
        there = {i: (tree.item(i, "text"), *map(str, tree.item(i, "values"))) for i in tree.get_children()}
        if there != rows:
            tree.delete(*tree.get_children())
            for iid, (label, kind, count) in rows.items():
                tree.insert("", "end", iid=iid, text=label, values=(kind, count), tags=(iid,))
                tint = theme.blend(theme.group_colour(int(iid)), theme.colour("fg"), 0.45)
                tree.tag_configure(iid, foreground=tint)
        current = str(session.current)
        if tree.exists(current) and tree.selection() != (current,):
            tree.selection_set(current)
            tree.see(current)
        if session.current in session.models:
            self.kind.set(session.models[session.current].kind)

    def show_fit(self) -> None:
        """Say what the current model gives."""
        fit = self.picker.live.fits.get(self.picker.session.current)
        self.fit.configure(text=fit.summary if fit is not None else "Click on the membrane, filament or particle.")


class PickTools(ttk.Labelframe):
    """What a click does, and the other windows."""

    def __init__(self, master: tk.Misc, picker: PickerHost) -> None:
        pad, gap = theme.px(master, theme.PAD), theme.px(master, theme.GAP)
        super().__init__(master, text="Picking", padding=pad)
        row = ttk.Frame(self)
        row.pack(fill="x")
        ttk.Label(row, text="Role").pack(side="left", padx=(0, pad))
        self.role = ttk.Combobox(row, values=list(ROLES), state="readonly", width=10)
        self.role.set("point")
        self.role.pack(side="left")
        tip(self.role, "What the next points are: on the model, or a marker that orients it")
        self.click_picks = ttk.BooleanVar(self, True)
        check = ttk.Checkbutton(
            self, text="Left click adds a point", variable=self.click_picks, bootstyle="round-toggle"
        )
        check.pack(anchor="w", pady=gap)
        self.show_model = ttk.BooleanVar(self, True)
        ttk.Checkbutton(
            self,
            text="Draw the fitted model",
            variable=self.show_model,
            bootstyle="round-toggle",
            command=picker.redraw,
        ).pack(anchor="w")
        row = ttk.Frame(self)
        row.pack(fill="x", pady=(gap, 0))
        buttons = (
            ("undo", "Undo", picker.undo, "Take the last change back (Ctrl+Z)"),
            ("redo", "Redo", picker.redo, "Do it again (Ctrl+Y)"),
            ("montage", "Montage", picker.show_montage, "Many slices side by side, or the planes again (M)"),
            ("3d", "3D", picker.open_3d, "Points and model in space (V)"),
        )
        pack_buttons(row, picker.w, gap, buttons)
        picker.w |= {"role": self.role, "click picks": check}
