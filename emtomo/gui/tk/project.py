"""The project window: protocols, the workflow of runs, what is known of each, and everything that can be done."""

import contextlib
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.engine.parameters import protocol_named
from emtomo.engine.project import EmtomoProject
from emtomo.gui.core import run_actions
from emtomo.gui.core.actions import key_text
from emtomo.gui.core.availability import applies
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.gc_pause import settle
from emtomo.gui.core.runs import Run, RunOutput, duration
from emtomo.gui.core.service import ProjectService
from emtomo.gui.core.settings import Settings
from emtomo.gui.core.slices import warm_up
from emtomo.gui.tk import theme
from emtomo.gui.tk.app import App
from emtomo.gui.tk.details import DetailsPanel
from emtomo.gui.tk.dialogs import ask, choose_file, show_message
from emtomo.gui.tk.graphview import GraphView
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.project_actions import ProjectActions
from emtomo.gui.tk.project_outputs import ProjectOutputs
from emtomo.gui.tk.project_pictures import ProjectPictures
from emtomo.gui.tk.quick import QuickSearch
from emtomo.gui.tk.reader import help_entries
from emtomo.gui.tk.runlist import RunList
from emtomo.gui.tk.tree import ProtocolTree
from emtomo.gui.tk.window import ActionBar, Keys
from emtomo.wording import count_text


class ProjectWindow(ProjectOutputs, ProjectActions, ProjectPictures, Keys, App):
    """The program's main window.

    Parameters
    ----------
    folder : Path
        The project; a folder that does not exist becomes one.
    settings : Settings, optional
    factor : float, optional
        Scale.
    """

    def __init__(self, folder: Path, settings: Settings | None = None, factor: float | None = None) -> None:
        self.folder = folder.absolute()
        super().__init__(f"{self.folder.name} – emtomo", settings, factor)
        self.w: dict[str, Any] = {}
        self.runs: dict[int, Run] = {}
        self.forms: list[Any] = []
        self.picking_dialogs: dict[int, Any] = {}
        self.service = ProjectService(self.folder, self.mailbox, self._changed, self.report_failure, self._folder_gone)
        self._actions = self._make_actions()
        self._layout()
        self.bind_actions(self._actions)
        self.protocol("WM_DELETE_WINDOW", self.close)
        self.service.open()
        follow(self, self.service)
        self.settings.remember(str(self.folder))

    def _layout(self) -> None:
        width, height = (theme.px(self, v) for v in self.settings.get("size project", [1320, 840]))
        wide, high = self.winfo_screenwidth() - 20, self.winfo_screenheight() - 60
        self.geometry(f"{min(width, wide)}x{min(height, high)}")
        self.minsize(theme.px(self, 640), theme.px(self, 420))
        self._menus()
        self.bar = ActionBar(self, self._actions, self.w)
        self.bar.pack(fill="x")
        bottom = ttk.Frame(self, padding=(theme.px(self, theme.PAD), theme.px(self, theme.GAP)))
        bottom.pack(side="bottom", fill="x")
        self.status = ttk.Label(bottom, text="Opening the project …")
        self.status.pack(side="left", fill="x", expand=True)
        self.counts = ttk.Label(bottom, text="")
        self.counts.pack(side="right")
        self.w["status"] = self.status
        across = ttk.Panedwindow(self, orient="horizontal")
        across.pack(fill="both", expand=True)
        across.add(ProtocolTree(across, self.new_form, self.w), weight=0)
        right = ttk.Panedwindow(across, orient="vertical")
        across.add(right, weight=1)
        self.views = ttk.Notebook(right)
        right.add(self.views, weight=3)
        self.graph = GraphView(self.views, self._selected, self.open_form_of, self._menu, self.go_on)
        self.views.add(self.graph, text="Workflow")
        self.list = RunList(self.views, self._selected_in_list, self.open_form_of, self._menu, self.w)
        self.views.add(self.list, text="List of runs")
        self.details = DetailsPanel(right, self)
        right.add(self.details, weight=2)
        self.w |= {"graph": self.graph, "views": self.views}

        def sashes(_: object = None) -> None:
            """Divide the window once it has its size; from then on the user does."""
            if right.winfo_height() > 200:
                right.unbind("<Configure>")
                across.sashpos(0, theme.px(self, 275))
                self.after(30, lambda: right.sashpos(0, int(right.winfo_height() * 0.6)))

        right.bind("<Configure>", sashes)

    def _menus(self) -> None:
        bar = ttk.Menu(self)
        menus: dict[str, Any] = {}
        for action in self._actions:
            if not action.menu:
                continue
            if action.menu not in menus:
                menus[action.menu] = menu = ttk.Menu(bar, tearoff=False)
                menu.configure(postcommand=lambda m=menu: self._offer(m))
                bar.add_cascade(label=action.menu, menu=menus[action.menu])
            menus[action.menu].add_command(
                label=action.label, command=action.run, accelerator=key_text((action.keys.split() or [""])[0])
            )
        menus["Help"].add_separator()
        for title, call in help_entries(self):
            menus["Help"].add_command(label=title, command=call)
        recent = ttk.Menu(menus["Project"], tearoff=False)
        recent.configure(postcommand=lambda: self._list_recent(recent))
        menus["Project"].insert_cascade(2, label="Open recent", menu=recent)
        self.configure(menu=bar)
        self.w["menus"], self.w["recent menu"] = menus, recent

    def _list_recent(self, menu: Any) -> None:
        """Fill the menu of projects that were opened last."""
        menu.delete(0, "end")
        for path in self.settings.recent():
            if Path(path) != self.folder:
                menu.add_command(label=path, command=lambda p=path: self.open_other(Path(p)))
        if menu.index("end") is None:
            menu.add_command(label="No other project yet", state="disabled")

    def applies(self, name: str) -> bool:
        """Return whether an action can do anything with what is selected."""
        return applies(name, [self.runs[i] for i in self.selection if i in self.runs])

    def _offer(self, menu: Any) -> None:
        """Disable the entries of a menu that cannot apply now."""
        of = {action.label: action.name for action in self._actions}
        for k in range(menu.index("end") + 1):
            name = of.get(menu.entrycget(k, "label"), "") if menu.type(k) == "command" else ""
            if name:
                menu.entryconfigure(k, state="normal" if self.applies(name) else "disabled")

    # --- news of the project ---

    def _changed(self, runs: dict[int, Run]) -> None:
        first, before, self.runs = not self.w.get("loaded"), self.runs, runs
        self.w["loaded"] = True
        if first:
            settle()
            self.after(400, lambda: self.work(_load_windows, lambda _: None, lambda _: None))
        self.graph.show(runs)
        self.list.show(runs)
        self._show_counts()
        self.want_pictures()
        self.bar.offer(self.applies)
        if "gone" in self.w:
            self.w.pop("gone").destroy()
            self.say("The project folder is back.")
        shown = self.details.run
        if shown is not None:
            self.details.show(runs.get(shown.id))
        for form in list(self.forms):
            form.runs_changed(runs)
        new = [i for i in runs if i not in before]
        if not first and len(new) == 1 and not self.graph.selection:
            self.graph.select(new, see=True)
        for i, run in runs.items():
            if i in before and before[i].active and run.status == "failed":
                self.say(f"{run.label} failed: {run.error}")

    def _show_counts(self) -> None:
        active = [r for r in self.runs.values() if r.status in ("running", "launched")]
        waiting = sum(r.status == "scheduled" for r in self.runs.values())
        lefts = [r.left for r in active if r.left is not None]
        parts = [count_text(len(self.runs), "run")]
        if active:
            parts.append(f"{len(active)} running" + (f", {duration(max(lefts))} left" if lefts else ""))
        if waiting:
            parts.append(f"{waiting} scheduled")
        self.counts.configure(text="   ".join(parts))
        if str(self.status.cget("text")).startswith("Opening"):
            self.say("Ready")

    def report_failure(self, sentence: str) -> None:
        """Show what went wrong, at the bottom and as a message."""
        self.say(sentence)
        show_message(self, "emtomo", sentence)

    def _folder_gone(self, sentence: str) -> None:
        """Say that the project is no longer there, and offer to look for it."""
        self.say(sentence)
        if "gone" in self.w and self.w["gone"].winfo_exists():
            self.w["gone"].lift()
            return
        self.w["gone"] = ask(
            self,
            "The project folder is gone",
            sentence,
            [("Find it …", "primary", self.find_project), ("Wait for it", "secondary-outline", lambda: None)],
        )

    def find_project(self) -> None:
        """Ask where the project is now, and go on there in a window of its own."""
        chosen = choose_file(
            self, "Where is the project now?", folder=True, start=str(self.folder.parent), kind="project"
        )
        if chosen is None:
            return
        if not (chosen / EmtomoProject.getDbName()).exists():
            self._folder_gone(f"{chosen} is not a project.")
            return
        self.open_other(chosen)
        self.shut()

    def say(self, sentence: str) -> None:
        """Show a sentence at the bottom."""
        self.status.configure(text=sentence)

    # --- selection ---

    @property
    def selection(self) -> list[int]:
        """The selected runs."""
        return sorted(self.graph.selection)

    def _selected(self, ids: set[int]) -> None:
        self.list.select(ids)
        self.bar.offer(self.applies)
        self.details.show(self.runs.get(min(ids)) if ids else None)

    def _selected_in_list(self, ids: set[int]) -> None:
        if ids != self.graph.selection:
            self.graph.select(ids)

    # --- forms ---

    def new_form(self, name: str, output: RunOutput | None = None) -> Any:
        """Open the form of a protocol, its inputs taken from an output or the selected runs where they fit."""
        from emtomo.gui.tk.form import FormWindow

        cls = protocol_named(name)
        taken = {run.label for run in self.runs.values()}
        label, number = cls._label, 1
        while label in taken:
            number += 1
            label = f"{cls._label} ({number})"
        model = FormModel(cls, label)
        model.preset(self.runs, self.selection, output)
        model.mark_saved()
        form = FormWindow(self, model)
        self.forms.append(form)
        return form

    def open_form_of(self, i: int) -> None:
        """Open the form of a run."""
        from emtomo.gui.tk.form import FormWindow

        for form in self.forms:
            if form.model.run == i:
                form.lift()
                form.focus_force()
                return
        run = self.runs[i]

        def show(message: tuple[dict[str, str], tuple[str, dict[str, str]] | None]) -> None:
            """Open the form with the values of the run."""
            model = FormModel(protocol_named(run.protocol), run.label, message[0], i, message[1])
            model.comment = run.comment
            model.mark_saved()
            self.forms.append(FormWindow(self, model))

        self.service.ask(lambda project: run_actions.read_form(project, i), show, self.report_failure)

    def refresh_details(self) -> None:
        """Read the selected run's parameters again."""
        self.details.again()

    def open_picking(self, run: int) -> None:
        """Open the tomograms of a picking run."""
        from emtomo.gui.tk.pickingdialog import open_dialog

        open_dialog(self, run)

    def form_closed(self, form: Any) -> None:
        """Forget a form."""
        if form in self.forms:
            self.forms.remove(form)

    def work(self, work: Any, done: Any, failed: Any = None) -> Any:
        """Do something in a thread; see :meth:`App.work`."""
        return super().work(work, done, failed or self.report_failure)

    def ask_service(self, work: Callable[[Any], Any], done: Callable[[Any], object] = lambda _: None) -> None:
        """Ask something of the project; a refusal is shown as a sentence."""
        self.service.ask(work, done, self.report_failure)

    # --- going ---

    def search_runs(self) -> QuickSearch:
        """Open Ctrl+K."""
        return QuickSearch(self, self.runs, lambda i: self.graph.select({i}, see=True), self.new_form)

    def open_folder(self, path: Path) -> None:
        """Show a folder in the desktop's file manager; where there is none, say where it is."""
        with contextlib.suppress(OSError):
            subprocess.Popen(["xdg-open", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.say(str(path))

    def close(self) -> None:
        """Close the program; runs go on. Forms with changes and points that are not registered are asked about."""
        dirty = [form for form in self.forms if form.model.dirty]
        if dirty:
            names = ", ".join(form.model.label for form in dirty)
            ask(
                self,
                "Close emtomo?",
                f"Changes in the form of {names} are not saved. Points that you picked are safe.",
                [("Close all the same", "danger", self.shut), ("Stay", "secondary-outline", lambda: None)],
            )
        else:
            self.shut()

    def shut(self) -> None:
        """Close without a question."""
        size = [int(self.winfo_width() / self.factor), int(self.winfo_height() / self.factor)]
        self.settings.put("size project", size)
        self.service.close(wait=3.0)
        self.destroy()


def run_window(folder: Path) -> None:
    """Open the window of a project and stay until it is closed."""
    window = ProjectWindow(folder)
    window.mainloop()


def _load_windows(_: Any) -> None:
    """Load in a thread what the first form, viewer and picker would have to while the user waits."""
    warm_up()
    for name in ("form", "setslices", "tomodialog", "picker", "boxer", "montage"):
        import_module(f"emtomo.gui.tk.{name}")
