"""Which project? The ones opened last, another, or a new one."""

import subprocess
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk
from PIL import Image, ImageTk

from emtomo.engine.project import EmtomoProject
from emtomo.gui.core.card_pictures import newest_picture
from emtomo.gui.core.recent import demo_command, describe_project
from emtomo.gui.core.settings import Settings
from emtomo.gui.tk import theme
from emtomo.gui.tk.app import App
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.reader import help_entries
from emtomo.gui.tk.window import busy_label, menu_of

ROW = 46  # pixels of a row with its picture
NO_PROJECT = "No project was opened yet. Try the demo, or begin with a new project."
DEMO_LOOK = 200  # ms between two looks whether the demo has begun


class StartWindow(App):
    """Lists recent projects; ``chosen`` is the one to open, None if the window was closed."""

    def __init__(self, settings: Settings | None = None, factor: float | None = None) -> None:
        super().__init__("emtomo", settings, factor)
        self.chosen: Path | None = None
        self._demo: subprocess.Popen[bytes] | None = None
        self.geometry(f"{theme.px(self, 760)}x{theme.px(self, 480)}")
        pad = theme.px(self, theme.PAD)
        body = ttk.Frame(self, padding=2 * pad)
        body.pack(fill="both", expand=True)
        ttk.Label(body, text="emtomo", font="TkHeadingFont").pack(anchor="w")
        busy_label(
            body, "From tilt series, tomograms or micrographs to oriented particles and a refined average."
        ).pack(anchor="w", pady=(0, pad))
        self.tree = ttk.Treeview(
            body, columns=("runs", "changed", "where"), show="tree headings", selectmode="browse", height=3
        )
        self.tree.heading("#0", text="Project", anchor="w")
        for name, heading, width in (("runs", "Runs", 60), ("changed", "Last change", 140), ("where", "Folder", 340)):
            self.tree.heading(name, text=heading, anchor="w")
            self.tree.column(name, width=theme.px(self, width), anchor="w", stretch=name == "where")
        self.tree.column("#0", width=theme.px(self, 170))
        self.tree.pack(fill="both", expand=True)
        ttk.Style().configure("Start.Treeview", rowheight=theme.px(self, ROW))
        self.tree.configure(style="Start.Treeview")
        self._pictures: list[Any] = []
        for path in self.settings.recent():
            about = (*describe_project(Path(path)), path)
            self.tree.insert("", "end", iid=path, text=Path(path).name, values=about, image=self._picture(Path(path)))
        row = ttk.Frame(body)
        row.pack(fill="x", pady=(pad, 0))
        self.message = ttk.Label(row, text="", bootstyle="danger")
        self.message.pack(side="left", fill="x", expand=True)
        self.buttons: dict[str, Any] = {}
        for name, text, style, call in (
            ("demo", "Try the demo …", "info-outline", self.demo),
            ("new", "New project …", "success", self.new),
            ("other", "Open another …", "secondary-outline", self.other),
            ("open", "Open selected", "primary", self.open_selected),
        ):
            button = ttk.Button(row, text=text, bootstyle=style, command=call)
            button.pack(side="right", padx=(theme.px(self, theme.GAP), 0))
            self.buttons[name] = button
        tutorials = ttk.Menubutton(row, text="Tutorials", bootstyle="secondary-outline")
        tutorials.configure(menu=menu_of(tutorials, help_entries(self)))
        tutorials.pack(side="right", padx=(theme.px(self, theme.GAP), 0))
        self.buttons["tutorials"] = tutorials
        self.tree.bind("<Double-1>", lambda _: self.open_selected())
        self.tree.bind("<Return>", lambda _: self.open_selected())
        self.bind("<Escape>", lambda _: self.destroy())
        first = next(iter(self.tree.get_children()), None)
        if first is not None:
            self.tree.selection_set(first)
            self.tree.focus(first)
        else:
            self.buttons["open"].configure(state="disabled")
            empty = ttk.Label(self.tree, text=NO_PROJECT, background=theme.colour("inputbg"), justify="left")
            empty.place(x=2 * pad, y=theme.px(self, ROW))
        self.tree.focus_set()

    def _picture(self, project: Path) -> Any:
        """Return the picture of what a project has made last; empty where there is none."""
        file = newest_picture(project)
        if file is None:
            return ""
        try:
            with Image.open(file) as found:
                small = found.convert("RGB")
        except (OSError, ValueError, SyntaxError):
            return ""
        small.thumbnail((theme.px(self, ROW - 6),) * 2, Image.Resampling.BICUBIC)
        self._pictures.append(ImageTk.PhotoImage(small, master=self))
        return self._pictures[-1]

    def open_selected(self) -> None:
        """Open the selected project."""
        for path in self.tree.selection():
            self.take(Path(path), new=False)

    def new(self) -> None:
        """Ask for an empty folder."""
        path = choose_file(self, "Name a new project", save="my_project", kind="project")
        if path is not None:
            self.take(path, new=True)

    def other(self) -> None:
        """Ask for a project."""
        path = choose_file(self, "Open a project", folder=True, kind="project")
        if path is not None:
            self.take(path, new=False)

    def demo(self) -> None:
        """Ask for a folder and let the demonstration run in it."""
        path = choose_file(self, "Name a folder for the demo", save="emtomo-demo", kind="project")
        if path is not None:
            self.start_demo(path)

    def start_demo(self, path: Path) -> None:
        """Start the demonstration in a process of its own, and open its project once it is there."""
        if path.exists():
            self.message.configure(text=f"{path} exists already; the demo needs a new folder.")
            return
        self.message.configure(text="Starting the demo …", bootstyle="default")
        self._demo = subprocess.Popen(
            demo_command(path), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.after(DEMO_LOOK, lambda: self._follow_demo(path))

    def _follow_demo(self, path: Path) -> None:
        if (path / "settings.sqlite").exists():  # the last that a new project writes
            self.chosen = path
            self.destroy()
        elif self._demo is not None and self._demo.poll() not in (None, 0):
            self.message.configure(text="The demo could not be started: try emtomo demo.", bootstyle="danger")
        else:
            self.after(DEMO_LOOK, lambda: self._follow_demo(path))

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
