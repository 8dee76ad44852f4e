"""The part of a form that hands a run to a queue."""

import json
import tkinter as tk
from typing import TYPE_CHECKING, Any

import ttkbootstrap as ttk

from emtomo.gui.tk import theme
from emtomo.gui.tk.window import busy_label

if TYPE_CHECKING:
    from emtomo.gui.tk.form import FormWindow


def queues_of(project: Any) -> dict[str, list[list[str]]]:
    """Return the queues of hosts.conf with their parameters (name, default, label, help); empty where there is none."""
    host = project.getHostConfig("localhost")
    told = host.queueSystem.queues if host is not None and getattr(host, "queueSystem", None) is not None else None
    if not told or not host.queueSystem.hasMandatory():
        return {}
    told = json.loads(told) if isinstance(told, str) else told
    return {str(name): [list(map(str, one)) for one in rows] for name, rows in dict(told).items()}


class QueueFrame(ttk.Frame):
    """A switch, and the parameters of the queue that is chosen."""

    def __init__(self, master: tk.Misc, form: "FormWindow") -> None:
        super().__init__(master)
        self.form = form
        self.queues: dict[str, list[list[str]]] = {}
        self.on = ttk.BooleanVar(self, form.model.queue is not None)
        self.switch = ttk.Checkbutton(
            self,
            text="Submit to a queue",
            variable=self.on,
            bootstyle="round-toggle",
            command=self._changed,
            state="disabled",
        )
        self.switch.grid(row=0, column=0, sticky="w")
        self.name = ttk.Combobox(self, state="readonly", width=16)
        self.name.bind("<<ComboboxSelected>>", lambda _: self._chosen())
        self.told = busy_label(self, "")
        self.told.configure(wraplength=theme.px(self, 520), justify="left")
        self.told.grid(row=1, column=0, columnspan=3, sticky="w")
        self.rows = ttk.Frame(self)
        self.entries: dict[str, ttk.Entry] = {}
        form.w["queue"] = self.switch
        form.project.service.ask(queues_of, self._known, lambda _: self._known({}))

    def _known(self, queues: dict[str, list[list[str]]]) -> None:
        if not self.winfo_exists():
            return
        self.queues = queues
        if not queues:
            self.told.configure(text="No queue is set up: describe one in ~/.config/emtomo/hosts.conf (SLURM, PBS, …).")
            return
        self.switch.configure(state="normal")
        self.name.configure(values=list(queues))
        self.name.set((self.form.model.queue or next(iter(queues)))[0] if self.form.model.queue else next(iter(queues)))
        self._changed()

    def _changed(self) -> None:
        if self.on.get():
            self.name.grid(row=0, column=1, padx=theme.px(self, theme.PAD))
            self.rows.grid(row=2, column=0, columnspan=3, sticky="w")
            self._chosen()
        else:
            self.name.grid_remove()
            self.rows.grid_remove()
            self.form.model.queue = None

    def _chosen(self) -> None:
        for child in self.rows.winfo_children():
            child.destroy()
        self.entries = {}
        for k, row in enumerate(self.queues.get(self.name.get(), [])):
            name, value, label = (row + ["", "", ""])[:3]
            ttk.Label(self.rows, text=label or name).grid(
                row=k, column=0, sticky="w", padx=(0, theme.px(self, theme.PAD))
            )
            entry = ttk.Entry(self.rows, width=16)
            entry.insert(0, value)
            entry.grid(row=k, column=1, pady=theme.px(self, 2))
            entry.bind("<KeyRelease>", lambda _: self._store())
            self.entries[name] = entry
        self._store()

    def _store(self) -> None:
        values = {name: entry.get() for name, entry in self.entries.items()}
        self.form.model.queue = (self.name.get(), {**values, "QUEUE_FOR_JOBS": "N"})
