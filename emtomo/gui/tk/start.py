"""Which project? The ones opened last, another, or a new one."""

from pathlib import Path

import ttkbootstrap as ttk

from emtomo.engine.project import EmtomoProject
from emtomo.gui.core.settings import Settings
from emtomo.gui.tk import theme
from emtomo.gui.tk.app import App
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.window import busy_label


class StartWindow(App):
    """Lists recent projects; ``chosen`` is the one to open, None if the window was closed."""

    def __init__(self, settings: Settings | None = None, factor: float | None = None) -> None:
        super().__init__("emtomo", settings, factor)
        self.chosen: Path | None = None
        self.geometry(f"{theme.px(self, 620)}x{theme.px(self, 420)}")
        pad = theme.px(self, theme.PAD)
        body = ttk.Frame(self, padding=2 * pad)
        body.pack(fill="both", expand=True)
        ttk.Label(body, text="emtomo", font="TkHeadingFont").pack(anchor="w")
        busy_label(body, "From tomograms to oriented particles, their average and an honest resolution.").pack(
            anchor="w", pady=(0, pad)
        )
        self.tree = ttk.Treeview(body, columns=("where",), show="tree headings", selectmode="browse", height=8)
        self.tree.heading("#0", text="Project", anchor="w")
        self.tree.heading("where", text="Folder", anchor="w")
        self.tree.column("#0", width=theme.px(self, 170))
        self.tree.column("where", width=theme.px(self, 380))
        self.tree.pack(fill="both", expand=True)
        for path in self.settings.recent():
            self.tree.insert("", "end", iid=path, text=Path(path).name, values=(path,))
        row = ttk.Frame(body)
        row.pack(fill="x", pady=(pad, 0))
        self.message = ttk.Label(row, text="", bootstyle="danger")
        self.message.pack(side="left", fill="x", expand=True)
        self.buttons = {}
        for name, text, style, call in (
            ("new", "New project …", "success", self.new),
            ("other", "Open …", "secondary-outline", self.other),
            ("open", "Open", "primary", self.open_selected),
        ):
            button = ttk.Button(row, text=text, bootstyle=style, command=call)
            button.pack(side="right", padx=(theme.px(self, theme.GAP), 0))
            self.buttons[name] = button
        self.tree.bind("<Double-1>", lambda _: self.open_selected())
        self.tree.bind("<Return>", lambda _: self.open_selected())
        self.bind("<Escape>", lambda _: self.destroy())
        first = next(iter(self.tree.get_children()), None)
        if first is not None:
            self.tree.selection_set(first)
            self.tree.focus(first)
        self.tree.focus_set()

    def open_selected(self) -> None:
        """Open the selected project."""
        for path in self.tree.selection():
            self.take(Path(path), new=False)

    def new(self) -> None:
        """Ask for an empty folder."""
        path = choose_file(self, "Name a new project", save="my_project")
        if path is not None:
            self.take(path, new=True)

    def other(self) -> None:
        """Ask for a project."""
        path = choose_file(self, "Open a project", folder=True)
        if path is not None:
            self.take(path, new=False)

    def take(self, path: Path, *, new: bool) -> None:
        """Open a project, or make one; a path that cannot be one is refused with a sentence."""
        is_project = (path / EmtomoProject.getDbName()).exists()
        if not is_project and not new:
            self.message.configure(text=f"{path} is not a project.")
        elif new and path.exists() and (not path.is_dir() or any(path.iterdir())):
            self.message.configure(text=f"{path} exists and is not empty.")
        else:
            self.chosen = path
            self.destroy()


def ask_project() -> Path | None:
    """Let the user choose a project; None if they did not."""
    window = StartWindow()
    window.mainloop()
    return window.chosen
