"""All parameters of a protocol on one page, in sections that fold."""

import time
import tkinter as tk
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.form import COMPUTATION, Tab
from emtomo.gui.tk import theme
from emtomo.gui.tk.fieldrow import FieldRow
from emtomo.gui.tk.host import FormHost
from emtomo.gui.tk.queue import QueueFrame

OPEN, FOLDED = "chevron-down", "chevron-right"
PRESS = 0.3  # s; a field that gets the focus by a press of the mouse stays where it is


class FormPage(ttk.ScrolledFrame):
    """The fields of a form, one section below the other; the widgets of a field are made when it is first shown.

    Parameters
    ----------
    master : widget
    form : FormHost
    """

    def __init__(self, master: tk.Misc, form: FormHost) -> None:
        super().__init__(master, padding=theme.px(master, theme.PAD))
        self.form = form
        self.rows: dict[str, FieldRow] = {}
        self.folded: set[str] = set()
        self._places: dict[str, int] = {}
        self._headings: dict[tuple[str, str], tuple[ttk.Label, list[str]]] = {}
        self._queue: tuple[int, QueueFrame | None] = (0, None)
        self._pressed = 0.0
        self.columnconfigure(1, weight=1)
        self._lay_out()
        top = form.winfo_toplevel()
        top.bind("<Button>", self._press, add="+")
        top.bind("<FocusIn>", self._focused, add="+")

    def _lay_out(self) -> None:
        """Give every section, heading and field its place."""
        row, model = 0, self.form.model
        for section in model.tabs:
            head = ttk.Button(self, icon=OPEN, bootstyle="link", command=lambda s=section: self.fold(s))
            head.grid(row=row, column=0, columnspan=3, sticky="w")
            self.form.w[f"section {section.title}"] = head
            row, before = row + 1, ""
            for name in section.names:
                group = model.fields[name].group
                if group and group != before:
                    members = [n for n in section.names if model.fields[n].group == group]
                    label = ttk.Label(self, text=group, font="TkHeadingFont")
                    pady = theme.px(self, 10), theme.px(self, 4)
                    label.grid(row=row, column=0, columnspan=3, sticky="w", pady=pady)
                    self._headings[section.title, group] = label, members
                    row += 1
                before = group
                self._places[name] = row
                row += 2
            if section.title == COMPUTATION and not self._used(section):
                self.folded.add(section.title)
        self._queue = (row, None)

    def _used(self, section: Tab) -> bool:
        """Return whether something in a section is not as it always is."""
        model = self.form.model
        return model.queue is not None or any(
            (model.fields[n].changed and model.visible(n)) or model.fields[n].error for n in section.names
        )

    def section_of(self, name: str) -> Tab:
        """Return the section of a field."""
        return next(s for s in self.form.model.tabs if name in s.names)

    def fold(self, section: Tab, *, folded: bool | None = None) -> None:
        """Fold a section, or show it."""
        now = section.title in self.folded
        if folded is None or folded != now:
            self.folded ^= {section.title}
            self.show(set(section.names))
            if now:
                self.update_idletasks()
                self.see(self.form.w[f"section {section.title}"], at_top=True)

    def shows(self, name: str) -> bool:
        """Return whether a field is shown, wherever the page is scrolled to."""
        return self.form.model.visible(name) and self.section_of(name).title not in self.folded

    def show(self, names: set[str]) -> None:
        """Show fields as they are now."""
        model, new = self.form.model, False
        for section in model.tabs:
            wrong, folded = model.count(section), section.title in self.folded
            text = f"{section.title} ({wrong} ✗)" if wrong else section.title
            self.form.w[f"section {section.title}"].configure(text=text, icon=FOLDED if folded else OPEN)
            for name in section.names:
                if name in names and name not in self.rows and self.shows(name):
                    self.rows[name] = FieldRow(self.form, self, name, self._places[name])
                    new = True
        for name in names & set(self.rows):
            self.rows[name].show()
        for (title, _), (label, members) in self._headings.items():
            if title not in self.folded and any(model.visible(n) for n in members):
                label.grid()
            else:
                label.grid_remove()
        new |= self._show_queue()
        if new:
            self._order()
            self.enable_scrolling()

    def _show_queue(self) -> bool:
        """Show the queue at the end of the last section; return whether its widgets are new."""
        row, frame = self._queue
        if not self.form.model.tabs or self.form.model.tabs[-1].title in self.folded:
            if frame is not None:
                frame.grid_remove()
            return False
        if frame is not None:
            frame.grid()
            return False
        frame = QueueFrame(self, self.form)
        frame.grid(row=row, column=0, columnspan=3, sticky="ew", pady=(theme.px(self, 12), 0))
        self._queue = (row, frame)
        return True

    def _order(self) -> None:
        """Let the tab key go down the page, whenever a field was made."""
        for section in self.form.model.tabs:
            self.form.w[f"section {section.title}"].lift()
            for name in section.names:
                if name in self.rows:
                    self.rows[name].lift()
        if self._queue[1] is not None:
            self._queue[1].lift()

    def go_to(self, name: str) -> None:
        """Show a field and give it the focus."""
        self.fold(self.section_of(name), folded=False)
        self.show({name})
        if name in self.rows:
            self.update_idletasks()
            self.rows[name].input.main.focus_set()
            self.see(self.rows[name].input)

    # --- scrolling ---

    def see(self, widget: Any, *, at_top: bool = False) -> None:
        """Scroll until a widget of the page is seen; with `at_top`, what is below it as well as possible."""
        whole, seen = self.winfo_height(), self.container.winfo_height()
        top = widget.winfo_rooty() - self.winfo_rooty()
        bottom = top + widget.winfo_height()
        first = self.yview()[0] * whole  # type: ignore[index]
        margin = theme.px(self, 24)
        if at_top:
            first = max(first, min(top, whole - seen))
        elif top - margin < first:
            first = top - margin
        elif bottom + margin > first + seen:
            first = bottom + margin - seen
        else:
            return
        self.yview_moveto(max(0.0, first / max(whole, 1)))

    def _press(self, _: object) -> None:
        self._pressed = time.monotonic()

    def _focused(self, event: "tk.Event[Any]") -> None:
        """Scroll to the field that the tab key went to."""
        inside = str(event.widget).startswith(f"{self}.")
        if inside and time.monotonic() - self._pressed > PRESS:
            self.see(event.widget)
