"""Widgets for the fields of a form: each shows a field's text and writes it back."""

import tkinter as tk
from collections.abc import Callable
from functools import partial
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.automatic import automatic_text
from emtomo.gui.core.fields import NO, YES, FormField
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.window import busy_label, wrap

EMPTY = "—"


class Input(ttk.Frame):
    """A widget for one field; ``main`` is what takes the focus."""

    main: Any

    def __init__(self, master: tk.Misc, model: FormModel, name: str) -> None:
        super().__init__(master)
        self.model, self.name = model, name
        self.columnconfigure(0, weight=1)

    @property
    def field(self) -> FormField:
        """The field that this shows."""
        return self.model.fields[self.name]

    def show(self) -> None:
        """Show the field's text."""


class TextInput(Input):
    """A line of text; numbers are short."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str) -> None:
        super().__init__(master, model, name)
        self._quiet = False
        self.text = ttk.StringVar(self, self.field.text)
        short = self.field.kind in ("int", "float")
        self.main = ttk.Entry(self, textvariable=self.text, width=14 if short else 34)
        self.main.grid(row=0, column=0, sticky="w" if short else "ew")
        self.automatic = busy_label(self, "")
        self.automatic.grid(row=0 if short else 1, column=1 if short else 0, sticky="w", padx=theme.px(self, theme.GAP))
        if short:
            self.columnconfigure(0, weight=0)
            self.columnconfigure(1, weight=1)
            wrap(self.automatic)
        self.text.trace_add("write", lambda *_: self._typed())

    def _typed(self) -> None:
        if not self._quiet:
            self.model.put(self.name, self.text.get())

    def show(self) -> None:
        """Show the field's text, unless it is what is being typed."""
        if self.text.get() != self.field.text:
            self._quiet = True
            self.text.set(self.field.text)
            self._quiet = False
        message = automatic_text(self.field, {one.text for one in self.model.fields.values()})
        self.automatic.configure(text=message)
        if message:
            self.automatic.grid()
        else:
            self.automatic.grid_remove()
        self.main.configure(bootstyle="danger" if self.field.error else "default")


class PathInput(TextInput):
    """A file or folder, with a button to choose it."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str) -> None:
        super().__init__(master, model, name)
        gap = theme.px(self, theme.GAP)
        for k, (label, folder) in enumerate((("File …", False), ("Folder …", True)), 1):
            button = ttk.Button(
                self, text=label, bootstyle="secondary-outline", command=lambda f=folder: self._browse(f)
            )
            button.grid(row=0, column=k, padx=(gap, 0))

    def _browse(self, folder: bool) -> None:
        chosen = choose_file(self, self.field.label, folder=folder)
        if chosen is not None:
            self.model.put(self.name, str(chosen))


class SwitchInput(Input):
    """Yes or no."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str) -> None:
        super().__init__(master, model, name)
        self.on = ttk.BooleanVar(self, self.field.text == YES)
        self.main = ttk.Checkbutton(self, variable=self.on, bootstyle="round-toggle", command=self._changed)
        self.main.grid(row=0, column=0, sticky="w")

    def _changed(self) -> None:
        self.model.put(self.name, YES if self.on.get() else NO)

    def show(self) -> None:
        """Show the field's state."""
        self.on.set(self.field.text == YES)


class ChoiceInput(Input):
    """One of a few words; of an enum, the text is the number of the word."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str) -> None:
        super().__init__(master, model, name)
        free = name == "device"  # cuda:1 is typed
        self.main = ttk.Combobox(
            self,
            values=[self.field.choice_label(c) for c in self.field.choices],
            state="normal" if free else "readonly",
            width=max(12, *(len(self.field.choice_label(c)) + 2 for c in self.field.choices)),
        )
        self.main.grid(row=0, column=0, sticky="w")
        self.main.bind("<<ComboboxSelected>>", lambda _: self._changed())
        self.main.bind("<KeyRelease>", lambda _: self._changed() if free else None)
        unwheel(self.main)
        self.show()

    def _changed(self) -> None:
        text, k = self.main.get(), self.main.current()
        self.main.selection_clear()
        if k >= 0:
            text = str(k) if self.field.kind == "enum" else self.field.choices[k]
        self.model.put(self.name, text)

    def show(self) -> None:
        """Show the field's word."""
        text = self.field.text
        if self.field.kind == "enum":
            text = self.field.choices[int(text)] if text.isdigit() and int(text) < len(self.field.choices) else ""
        label = self.field.choice_label(text)
        if self.main.get() != label:
            self.main.set(label)


class PointerInput(Input):
    """An output of another run: newest first; outputs can be dropped on it."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str, runs: Callable[[], dict[int, Run]]) -> None:
        super().__init__(master, model, name)
        self._runs = runs
        self._found: list[RunOutput] = []
        self.main = ttk.Combobox(self, state="readonly", width=38, postcommand=self._fill)
        self.main.grid(row=0, column=0, sticky="ew")
        self.main.bind("<<ComboboxSelected>>", lambda _: self._changed())
        unwheel(self.main)
        self.show()

    def _fill(self) -> None:
        self._found = self.model.candidates(self.name, self._runs())
        self.main.configure(values=[EMPTY, *(self._line(o) for o in self._found)])

    @staticmethod
    def _line(output: RunOutput) -> str:
        message = f"   {output.summary}" if output.summary else ""
        return f"{output.title}{message}"

    def _changed(self) -> None:
        k = self.main.current()
        self.main.selection_clear()
        self.model.put(self.name, self._found[k - 1].target if k > 0 else "")

    def show(self) -> None:
        """Show what the input points at."""
        output = self.model.output_named(self.field.text, self._runs()) if self.field.text else None
        message = self._line(output) if output is not None else self.field.text or EMPTY
        if self.main.get() != message:
            self.main.set(message)

    def take_output(self, output: RunOutput) -> bool:
        """Point at an output that was dropped here, if it fits."""
        if not self.model.fits(self.name, output):
            self.field.error = (
                f"{output.title} is {output.kinds[0]}; {self.field.label} takes {' or '.join(self.field.wanted)}."
            )
            self.model.put(self.name, self.field.text)
            return False
        self.model.put(self.name, output.target)
        return True


class PointersInput(Input):
    """Several outputs, each a line with a button that takes it away."""

    def __init__(self, master: tk.Misc, model: FormModel, name: str, runs: Callable[[], dict[int, Run]]) -> None:
        super().__init__(master, model, name)
        self._runs = runs
        self.lines = ttk.Frame(self)
        self.lines.grid(row=0, column=0, sticky="ew")
        self.menu = ttk.Menu(self, tearoff=False, postcommand=self._fill)
        self.main = ttk.Menubutton(self, text="Add …", menu=self.menu, bootstyle="secondary-outline")
        self.main.grid(row=1, column=0, sticky="w")
        self.show()

    def targets(self) -> list[str]:
        """Return what the input points at."""
        return [t for t in self.field.text.split(",") if t]

    def _fill(self) -> None:
        self.menu.delete(0, "end")
        for output in self.model.candidates(self.name, self._runs()):
            if output.target not in self.targets():
                self.menu.add_command(
                    label=f"{output.title}   {output.summary}", command=partial(self.take_output, output)
                )
        if self.menu.index("end") is None:
            self.menu.add_command(label="nothing that fits", state="disabled")

    def take_output(self, output: RunOutput) -> bool:
        """Add an output, if it fits."""
        if not self.model.fits(self.name, output):
            return False
        self.model.put(self.name, ",".join(dict.fromkeys([*self.targets(), output.target])))
        return True

    def show(self) -> None:
        """Show the outputs."""
        for child in self.lines.winfo_children():
            child.destroy()
        for k, target in enumerate(self.targets()):
            output = self.model.output_named(target, self._runs())
            ttk.Label(self.lines, text=output.title if output is not None else target).grid(row=k, column=0, sticky="w")
            ttk.Button(
                self.lines,
                icon="x",
                bootstyle="link",
                command=lambda t=target: self.model.put(self.name, ",".join(x for x in self.targets() if x != t)),
            ).grid(row=k, column=1)


def input_for(master: tk.Misc, model: FormModel, name: str, runs: Callable[[], dict[int, Run]]) -> Input:
    """Return the widget for a field."""
    kind = model.fields[name].kind
    if kind == "pointer":
        return PointerInput(master, model, name, runs)
    if kind == "pointers":
        return PointersInput(master, model, name, runs)
    simple = {"bool": SwitchInput, "choice": ChoiceInput, "enum": ChoiceInput, "path": PathInput, "folder": PathInput}
    return simple.get(kind, TextInput)(master, model, name)


def unwheel(box: ttk.Combobox) -> None:
    """Let the mouse wheel scroll the form, and not change a choice that it passes over."""
    for event, by in (("<Button-4>", -1), ("<Button-5>", 1)):
        box.bind(event, partial(_scroll, box, by))
    box.bind("<MouseWheel>", lambda event: _scroll(box, -1 if event.delta > 0 else 1, event))


def _scroll(widget: tk.Misc, by: int, _: object) -> str:
    page: Any = widget
    while page is not None and not isinstance(page, ttk.ScrolledFrame):
        page = page.master
    if page is not None and page.yview() != (0.0, 1.0):
        page.yview_scroll(by)
    return "break"
