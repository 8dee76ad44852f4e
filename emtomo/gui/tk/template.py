"""Add the runs of a workflow template: choose it, fill in its variables."""

from pathlib import Path

import ttkbootstrap as ttk

from emtomo.engine.templates import Template, read_template
from emtomo.errors import EmtomoError
from emtomo.gui.core.background import sentence
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.window import Window, busy_label

FILE = "from a file …"
LABEL = 330  # pixels at 100 % after which a variable's title goes on in a second line, so that it leaves room to type


class TemplateWindow(Window):
    """The shipped templates and those in files."""

    def __init__(self, project: ProjectHost, shipped: dict[str, Path]) -> None:
        super().__init__(project, "Import template – emtomo", (760, 560), "template")
        self.project = project
        pad = theme.px(self, theme.PAD)
        top = ttk.Frame(self, padding=pad)
        top.pack(fill="x")
        ttk.Label(top, text="Template").pack(side="left", padx=(0, pad))
        self.choice = ttk.Combobox(top, values=[*shipped, FILE], state="readonly", width=40)
        self.choice.pack(side="left")
        self.choice.bind("<<ComboboxSelected>>", lambda _: self._chosen())
        self.description = busy_label(self, "")
        self.description.configure(wraplength=theme.px(self, 720), justify="left", padding=pad)
        self.description.pack(fill="x")
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        self.message = ttk.Label(foot, text="", bootstyle="danger", wraplength=theme.px(self, 420))
        self.message.pack(side="left", fill="x", expand=True)
        for name, text, style, run in (
            ("add", "Add", "primary", False),
            ("add and run", "Add and run", "success", True),
        ):
            button = ttk.Button(foot, text=text, bootstyle=style, command=lambda r=run: self.add(r))
            button.pack(side="right", padx=(theme.px(self, theme.GAP), 0))
            self.w[name] = button
        self.rows = ttk.ScrolledFrame(self, auto_hide=False, padding=pad)
        self.rows.pack(fill="both", expand=True)
        self.rows.columnconfigure(1, weight=1)
        self.entries: dict[str, ttk.Entry] = {}
        self.template: Template | None = None
        self._source = ""
        self.w |= {"choice": self.choice, "message": self.message}
        self.bind("<Escape>", lambda _: self.close())
        if shipped:
            self.choice.current(0)
            self._chosen()

    def _chosen(self) -> None:
        source = self.choice.get()
        if source == FILE:
            path = choose_file(self, "Workflow template", kind="template")
            if path is None:
                return
            source = str(path)
        self.take(source)

    def take(self, source: str) -> None:
        """Show the variables of a template."""
        try:
            self.template = read_template(source)
        except (EmtomoError, OSError, UnicodeDecodeError) as error:
            self.message.configure(text=sentence(error))
            return
        self._source = source
        self.message.configure(text="")
        self.description.configure(text=" ".join(self.template.description.split()))
        for child in self.rows.winfo_children():
            child.destroy()
        self.entries = {}
        for k, variable in enumerate(self.template.variables.values()):
            label = ttk.Label(self.rows, text=variable.title, wraplength=theme.px(self, LABEL), justify="left")
            label.grid(row=k, column=0, sticky="w", padx=(0, theme.px(self, theme.PAD)))
            entry = ttk.Entry(self.rows)
            entry.insert(0, variable.default)
            entry.grid(row=k, column=1, sticky="ew", pady=theme.px(self, 2))
            self.entries[variable.alias] = entry
            self.w[f"value {variable.alias}"] = entry
            if variable.code in ("2", "5", "6"):
                ttk.Button(
                    self.rows, text="…", bootstyle="secondary-outline", command=lambda e=entry: self._browse(e)
                ).grid(row=k, column=2)

    def _browse(self, entry: ttk.Entry) -> None:
        path = choose_file(self, "File")
        if path is not None:
            entry.delete(0, "end")
            entry.insert(0, str(path))

    def add(self, run: bool) -> None:
        """Add the runs to the project; what is missing is said here."""
        if self.template is None:
            return
        values = {name: entry.get() for name, entry in self.entries.items()}
        given = {n: t for n, t in values.items() if t or self.template.variables[n].default}
        try:
            self.template.fill_in(given, self.project.start_folder)
        except EmtomoError as error:
            self.message.configure(text=str(error))
            return
        self.project.add_template(self._source, given, run)
        self.close()
