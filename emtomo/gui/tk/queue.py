"""The part of a form that hands a run to a queue."""

import tkinter as tk

import ttkbootstrap as ttk

from emtomo.engine.queues import QueueParameter, queues_of
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import FormHost
from emtomo.gui.tk.window import busy_label, tip

NONE = "No queue is set up: describe one in ~/.config/emtomo/hosts.conf (docs/clusters.md)."


class QueueFrame(ttk.Frame):
    """A switch, and the parameters of the queue that is chosen."""

    def __init__(self, master: tk.Misc, form: FormHost) -> None:
        super().__init__(master)
        self.form = form
        self.queues: dict[str, list[QueueParameter]] = {}
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
        self.name.bind("<<ComboboxSelected>>", lambda _: self._chosen({}))
        self.message = busy_label(self, "")
        self.message.configure(wraplength=theme.px(self, 520), justify="left")
        self.message.grid(row=1, column=0, columnspan=3, sticky="w")
        self.rows = ttk.Frame(self)
        self.texts: dict[str, ttk.StringVar] = {}
        form.w |= {"queue": self.switch, "queue name": self.name}
        form.project.service.ask(queues_of, self._known, self._failed)

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            self.message.configure(text=sentence)

    def _known(self, queues: dict[str, list[QueueParameter]]) -> None:
        if not self.winfo_exists():
            return
        self.queues = queues
        if not queues:
            self.message.configure(text=NONE)
            return
        self.switch.configure(state="normal")
        self.name.configure(values=list(queues))
        given = self.form.model.queue
        self.name.set(given[0] if given is not None and given[0] in queues else next(iter(queues)))
        self._changed()

    def _changed(self) -> None:
        if self.on.get():
            self.name.grid(row=0, column=1, padx=theme.px(self, theme.PAD))
            self.rows.grid(row=2, column=0, columnspan=3, sticky="w", pady=(theme.px(self, theme.PAD), 0))
            given = self.form.model.queue
            self._chosen(given[1] if given is not None and given[0] == self.name.get() else {})
        else:
            self.name.grid_remove()
            self.rows.grid_remove()
            self.form.model.queue = None
            self.form.queue_changed()

    def _chosen(self, values: dict[str, str]) -> None:
        """Show the parameters of the chosen queue, with `values` where they are given."""
        for child in self.rows.winfo_children():
            child.destroy()
        self.texts = {}
        pad = theme.px(self, theme.PAD)
        for k, one in enumerate(self.queues[self.name.get()]):
            label = ttk.Label(self.rows, text=one.label)
            label.grid(row=k, column=0, sticky="w", padx=(0, pad))
            text = ttk.StringVar(self, values.get(one.name, one.default))
            text.trace_add("write", lambda *_: self._store())  # pasted with the mouse as well as typed
            entry = ttk.Entry(self.rows, width=16, textvariable=text)
            entry.grid(row=k, column=1, pady=theme.px(self, 2))
            self.texts[one.name] = text
            if one.help:
                tip(label, one.help)
                tip(entry, one.help)
            self.form.w[f"queue {one.name}"] = entry
        self._store()

    def _store(self) -> None:
        values = {name: text.get().strip() for name, text in self.texts.items()}
        self.form.model.queue = (self.name.get(), values)
        self.form.queue_changed()
