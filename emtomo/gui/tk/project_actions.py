"""What the project window can do with runs, as one table of actions."""

from pathlib import Path
from typing import Any

from emtomo.engine.templates import add_workflow, export_workflow, find_shipped, read_template
from emtomo.gui.core import run_actions
from emtomo.gui.core.actions import Action
from emtomo.gui.core.compare import differences
from emtomo.gui.core.runs import descendants
from emtomo.gui.tk.dialogs import TextQuestion, ask, choose_file, show_rows
from emtomo.gui.tk.loading import follow
from emtomo.isolation import python_command
from emtomo.wording import count_text

NOTHING = "Select a run first: click on it in the workflow or the list."


class ProjectActions:
    """Mix-in of the project window."""

    def _make_actions(self: Any) -> list[Action]:
        a = Action
        return [
            a("new", "New run", self.focus_search, "<Control-n>", "plus-lg", "Run", "Choose a protocol", "success"),
            a("edit", "Edit", self.edit, "e", "pencil", "Run", "Open the form of the run", "secondary-outline"),
            a("run", "Run / resume", self.resume, "<Control-r>", "play", "Run",
              "Start the selected runs, or go on with them; finished steps stay", "primary"),
            a("stop", "Stop", self.stop_runs, "<Control-period>", "stop-fill", "Run", "Stop the selected runs",
              "danger-outline"),
            a("view", "Analyze results", self.analyze, "a", "graph-up", "Run", "Open the selected output", "info"),
            a("curves", "Live curves", self.live_curves, "l", "activity", "Run",
              "How the selected run converges, drawn while it goes on", "secondary-outline"),
            a("restart", "Restart", self.restart, "", "", "Run", "Start the selected runs from nothing"),
            a("copy", "Copy", self.copy_runs, "<Control-d>", "copy", "Run", "Copy the selected runs",
              "secondary-outline"),
            a("rename", "Rename …", self.rename, "<F2>", "", "Run", "Label and comment of the selected run"),
            a("delete", "Delete …", self.delete_runs, "<Delete>", "trash", "Run", "Delete the selected runs",
              "secondary-outline"),
            a("compare", "Compare parameters", self.compare, "", "", "Run", "Differences between two selected runs"),
            a("select below", "Select all below", self.select_below, "", "", "Run", "Select what depends on the run"),
            a("update below", "Update all below", self.update_below, "", "", "Run",
              "Bring the selected runs and all that depends on them up to date"),
            a("select all", "Select all", lambda: self.graph.select(self.runs), "<Control-a>", "", "Run"),
            a("open folder", "Open folder", self.show_folder, "", "", "Run"),
            a("copy methods", "Copy methods text", self.details_copy, "", "", "Run"),
            a("new project", "New project …", self.new_project, "<Control-N>", "", "Project"),
            a("open project", "Open project …", self.open_project, "<Control-o>", "", "Project"),
            a("import template", "Import template …", self.import_template, "<Control-i>", "diagram-3", "Project",
              "Add the runs of a workflow template", "secondary-outline"),
            a("export", "Export selection as template …", self.export, "", "", "Project"),
            a("workflow-picture", "Workflow as picture …", self.workflow_picture, "", "", "Project", "SVG, PNG or PDF"),
            a("report", "Write report …", self.report, "", "", "Project", "One HTML file about the project"),
            a("quit", "Close", self.close, "<Control-q>", "", "Project", "Close the window; runs go on"),
            a("search runs", "Find a run …", self.search_runs, "<Control-k>", "search", "View",
              "Go to a run or open a protocol by typing", "secondary-outline"),
            a("search protocols", "Find a protocol", self.focus_search, "<Control-f>", "", "View"),
            a("refresh", "Refresh", self.service_refresh, "<F5>", "", "View"),
            a("zoom in", "Zoom in", lambda: self.graph.zoom(1.25), "<plus> <equal>", "", "View"),
            a("zoom out", "Zoom out", lambda: self.graph.zoom(0.8), "<minus>", "", "View"),
            a("fit", "Whole workflow", lambda: self.graph.fit(), "f", "", "View"),
            a("theme", "Light / dark", self.switch_theme, "<Control-t>", "moon", "View", "", "secondary-outline"),
            a("keys", "Keys", self.show_keys, "<F1> <question>", "", "Help"),
        ]  # fmt: skip

    # --- on runs ---

    def focus_search(self: Any) -> None:
        """Go to the search box of the protocols."""
        self.w["search"].focus_set()
        self.w["search"].select_range(0, "end")

    def _some(self: Any) -> list[int]:
        if not self.selection:
            self.say(NOTHING)
        return self.selection

    def edit(self: Any) -> None:
        """Open the form of the selected run."""
        for i in self._some()[:1]:
            self.open_form_of(i)

    def resume(self: Any) -> None:
        """Start the selected runs, or go on with them."""
        ids = self._some()
        if ids:
            self.ask_service(lambda project: run_actions.launch_runs(project, ids), lambda _: self.say("Started"))

    def restart(self: Any) -> None:
        """Start the selected runs from nothing; asks if they have made something."""
        ids = self._some()
        made = [self.runs[i].label for i in ids if any(not o.pending for o in self.runs[i].outputs)]

        def go() -> None:
            """Launch the runs again from their beginning."""
            self.ask_service(
                lambda project: run_actions.launch_runs(project, ids, restart=True), lambda _: self.say("Started")
            )

        if made:
            ask(
                self,
                "Restart?",
                f"What {', '.join(made)} has made will be made anew.",
                [("Restart", "danger", go), ("Cancel", "secondary-outline", lambda: None)],
            )
        elif ids:
            go()

    def stop_runs(self: Any) -> None:
        """Stop the selected runs."""
        ids = self._some()
        if ids:
            self.ask_service(
                lambda project: run_actions.stop_runs(project, ids), lambda _: self.say("Stopped; Resume goes on.")
            )

    def analyze(self: Any) -> None:
        """Open the selected output in its first viewer."""
        if not self._some():
            return
        output = self.details.selected_output
        if output is None:
            self.say(f"{self.runs[self.selection[0]].label} has made nothing yet.")
        else:
            self.view(output)

    def live_curves(self: Any) -> None:
        """Show how the selected run converges."""
        from emtomo.gui.tk.runcharts import open_run_charts

        for i in self._some()[:1]:
            run = self.runs[i]
            self.w["curves"] = open_run_charts(self, i, run.label, self.folder / run.folder)

    def copy_runs(self: Any) -> None:
        """Copy the selected runs with the connections between them."""
        ids = self._some()
        if ids:
            self.ask_service(lambda project: run_actions.copy_runs(project, ids), lambda made: self.select_later(made))

    def select_later(self: Any, ids: list[int]) -> None:
        """Select runs that the next look at the project will show."""
        if all(i in self.runs for i in ids):
            self.graph.select(ids, see=True)
        else:
            self.after(100, lambda: self.select_later(ids))

    def rename(self: Any) -> None:
        """Ask for label and comment of the selected run."""
        for i in self._some()[:1]:
            run = self.runs[i]

            def store(texts: list[str], i: int = i) -> None:
                """Give the run its new label and comment."""
                self.ask_service(lambda project: run_actions.rename_run(project, i, texts[0].strip(), texts[1]))

            TextQuestion(self, f"Run {run.number}", [("Label", run.label), ("Comment", run.comment)], store)

    def delete_runs(self: Any) -> None:
        """Delete the selected runs after a question."""
        ids = self._some()
        if not ids:
            return
        below = sorted(descendants(self.runs, ids))
        names = ", ".join(self.runs[i].label for i in ids)
        text = f"{names}: the runs and all files that they made will be deleted."
        if below:
            needed = ", ".join(self.runs[i].label for i in below)
            text += f" {needed} depend on them and would lose an input: they are deleted as well."

        def delete() -> None:
            """Delete the runs and those below them."""
            self.ask_service(lambda project: run_actions.delete_runs(project, [*ids, *below]))

        word = f"Delete {count_text(len(ids) + len(below), 'run')}"
        self.w["question"] = ask(
            self, "Delete?", text, [(word, "danger", delete), ("Cancel", "secondary-outline", lambda: None)]
        )

    def compare(self: Any) -> None:
        """Show where two selected runs differ."""
        ids = self.selection
        if len(ids) != 2:
            self.say("Select two runs to compare: Ctrl+click on the second.")
            return

        def show(texts: list[tuple[str, str, str]]) -> None:
            """Open a table of the parameters that differ."""
            one, other = (self.runs[i].label for i in ids)
            show_rows(self, "Differences", texts or [("no parameter differs", "", "")], ("Parameter", one, other))

        self.ask_service(lambda project: differences(project, *ids), show)

    def select_below(self: Any) -> None:
        """Select what depends on the selected runs."""
        ids = self._some()
        if ids:
            self.graph.select({*ids, *descendants(self.runs, ids)})

    def update_below(self: Any) -> None:
        """Run again what is out of date or unfinished, of the selected runs and of those below them."""
        ids = self._some()
        line = sorted({*ids, *descendants(self.runs, ids)})
        old = [i for i in line if self.runs[i].needs_update]
        if ids and not old:
            self.say("All of it is up to date.")
        elif old:
            text = f"{count_text(len(old), 'run')} started, one after the other."
            self.ask_service(lambda project: run_actions.launch_runs(project, old), lambda _: self.say(text))

    def show_folder(self: Any) -> None:
        """Open the folder of the run, or of the project."""
        ids = self.selection
        self.open_folder(self.folder / self.runs[ids[0]].folder if ids else self.folder)

    def details_copy(self: Any) -> None:
        """Copy the methods text."""
        self.details.copy_methods()
        self.say("Methods text copied.")

    def service_refresh(self: Any) -> None:
        """Look at all runs now."""
        self.service.refresh()

    # --- on the project ---

    def new_project(self: Any) -> None:
        """Ask for the name of a new project, and open it in a window of its own."""
        chosen = choose_file(self, "Name a new project", save="my_project", kind="project")
        if chosen is None:
            return
        if chosen.exists() and (not chosen.is_dir() or any(chosen.iterdir())):
            self.say(f"{chosen} exists and is not empty.")
        else:
            self.open_other(chosen)

    def open_project(self: Any) -> None:
        """Ask for another project."""
        chosen = choose_file(self, "Open or make a project", folder=True, start=str(self.folder.parent), kind="project")
        if chosen is not None:
            self.open_other(chosen)

    def open_other(self: Any, folder: Path) -> None:
        """Open another project in a window of its own: one process, one project."""
        import subprocess

        subprocess.Popen([*python_command("-m", "emtomo", "gui"), str(folder)], start_new_session=True)

    def import_template(self: Any) -> None:
        """Choose a workflow template."""
        from emtomo.gui.tk.template import TemplateWindow

        self.w["template"] = TemplateWindow(self, find_shipped())

    def add_template(self: Any, name: str, values: dict[str, str], run: bool) -> None:
        """Add the runs of a template; start them if asked."""

        def work(project: Any) -> list[int]:
            """Add the template's runs, launch them if asked, and return their numbers."""
            made = add_workflow(project, read_template(name), values, self.start_folder)
            ids = [int(one.getObjId()) for one in made]
            if run:
                run_actions.launch_runs(project, ids)
            return ids

        self.ask_service(work, lambda ids: self.say(f"{count_text(len(ids), 'run')} added."))

    def export(self: Any) -> None:
        """Ask where to write the selected runs as a template."""
        ids = self.selection or list(self.runs)
        path = choose_file(
            self, "Export as template", save="workflow.json.template", start=str(self.folder.parent), kind="template"
        )
        if path is not None:
            self.export_to(ids, path)

    def export_to(self: Any, ids: list[int], path: Path) -> None:
        """Write runs as a template."""

        def work(project: Any) -> None:
            """Write the runs as a template."""
            runs = [project.find(str(i)) for i in ids]
            export_workflow(project, runs, path)

        self.ask_service(work, lambda _: self.say(f"{count_text(len(ids), 'run')} written to {path}."))

    def workflow_picture(self: Any) -> None:
        """Ask where, then write the workflow as SVG, PNG or PDF."""
        from emtomo.gui.core.workflow_picture import save_workflow

        path = choose_file(self, "Save workflow", save="workflow.svg", kind="picture")
        if path is not None:
            runs = dict(self.runs)
            follow(self, self.work(lambda _: save_workflow(runs, path), lambda _: self.say(f"Written: {path}.")))

    def report(self: Any) -> None:
        """Write the report in a process of its own, so that the window never waits for pictures."""
        import subprocess

        path = self.folder / "report.html"
        self.say("Writing the report …")
        command = [*python_command("-m", "emtomo", "report"), str(self.folder), "-o", str(path)]

        def show_end(code: int) -> None:
            """Say whether the report was written, and open it."""
            self.say(f"Report written to {path}." if code == 0 else "The report could not be written.")
            if code == 0:
                self.open_folder(path)

        follow(self, self.work(lambda _: subprocess.run(command, capture_output=True).returncode, show_end))
