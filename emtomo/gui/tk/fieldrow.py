"""One line of a form: label with unit, widget, wizard, reset, help, and what is wrong."""

from tkinter.font import nametofont
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.fields import FormField
from emtomo.gui.core.previews import has_preview
from emtomo.gui.core.wizards import wizard_for
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import show_message
from emtomo.gui.tk.host import FormHost
from emtomo.gui.tk.inputs import input_for
from emtomo.gui.tk.window import tip


class FieldRow:
    """The widgets of one field, at two rows of a grid: the second says what is wrong."""

    def __init__(self, form: FormHost, frame: Any, name: str, row: int) -> None:
        self.form, self.name = form, name
        gap, one = theme.px(frame, theme.GAP), self.field
        text = f"{one.label} ({one.unit})" if one.unit else one.label
        message = " ".join(p for p in (one.help, f"Allowed: {one.bounds}." if one.bounds else "") if p) or text
        self.label = ttk.Label(frame, text=text)
        self.input = input_for(frame, form.model, name, lambda: form.project.runs)
        side = ttk.Frame(frame)
        self.reset = ttk.Button(
            side, icon="arrow-counterclockwise", bootstyle="link", command=lambda: form.model.reset(name)
        )
        tip(self.reset, f"Back to the default ({one.default or 'empty'})")
        query = ttk.Button(
            side, icon="question-circle", bootstyle="link", command=lambda: show_message(form, text, message)
        )
        query.pack(side="right")
        self._wizard(side)
        for widget in (self.label, query):
            tip(widget, message)
        self.error = ttk.Label(frame, bootstyle="danger", wraplength=theme.px(frame, 520), justify="left")
        self.error.grid(row=row + 1, column=1, columnspan=2, sticky="w")
        self._places: list[tuple[Any, dict[str, Any]]] = [
            (self.label, {"row": row, "column": 0, "sticky": "w", "padx": (0, 2 * gap), "pady": gap}),
            (self.input, {"row": row, "column": 1, "sticky": "ew", "pady": gap}),
            (side, {"row": row, "column": 2, "sticky": "e"}),
        ]
        form.w |= {f"input {name}": self.input.main, f"help {name}": query, f"reset {name}": self.reset}

    @property
    def field(self) -> FormField:
        """The field that this shows."""
        return self.form.model.fields[self.name]

    def _wizard(self, side: Any) -> None:
        protocol = getattr(self.form.model.protocol_class, "NAME", "")
        found = wizard_for(protocol, self.name)
        if not found and not has_preview(protocol, self.name):
            return
        button = ttk.Button(
            side, icon="search" if found else "eye", bootstyle="link", command=lambda: self.form.wizard(self.name)
        )
        button.pack(side="right")
        tip(button, found[0] if found else "See what it does")
        self.form.w[f"wizard {self.name}"] = button

    def show(self) -> None:
        """Show value, error and whether it was changed; hide all of it where a condition says so."""
        one, shown = self.field, self.form.shows(self.name)
        self.input.show()
        for widget, place in self._places:
            if shown:
                widget.grid(**place)
            else:
                widget.grid_remove()
        self.error.configure(text=one.error)
        if one.error and shown:
            self.error.grid()
        else:
            self.error.grid_remove()
        # what differs from the default is bold and can be taken back
        self.label.configure(font=make_bold_font(self.form) if one.changed and not one.wanted else "TkDefaultFont")
        if one.changed:
            self.reset.pack(side="right")  # left of the magnifier, which stays where it is
        else:
            self.reset.pack_forget()

    def lift(self) -> None:
        """Put the widgets behind those lifted before, in the order of the tab key."""
        for widget, _ in self._places:
            widget.lift()


def make_bold_font(form: Any) -> Any:
    """Return the default font in bold, made once for a window."""
    if "bold" not in form.w:
        form.w["bold"] = nametofont("TkDefaultFont", root=form.winfo_toplevel()).copy()
        form.w["bold"].configure(weight="bold")
    return form.w["bold"]
