"""What the project window does with outputs: menus of viewers and next steps, and the viewers' windows."""

from collections.abc import Callable
from typing import Any

import ttkbootstrap as ttk

from emtomo.errors import EmtomoError
from emtomo.gui.core.background import Task, sentence
from emtomo.gui.core.next_steps import next_protocols
from emtomo.gui.core.runs import RunOutput
from emtomo.gui.core.shown import Shown, load, viewers_of_kinds
from emtomo.gui.tk.loading import follow


class ProjectOutputs:
    """Mix-in of the project window."""

    def _menu(self: Any, i: int | None, x: int, y: int) -> None:
        menu = ttk.Menu(self, tearoff=False)
        names = (
            [
                "edit",
                "view",
                "curves",
                "run",
                "restart",
                "stop",
                "copy",
                "rename",
                "compare",
                "open folder",
                "select below",
                "update below",
                "export",
                "delete",
            ]
            if i is not None
            else ["search runs", "import template", "refresh", "fit"]
        )
        for name in names:
            action = self.action(name)
            menu.add_command(
                label=action.label, command=action.run, state="normal" if self.applies(name) else "disabled"
            )
        if i is not None:
            for output in self.runs[i].outputs:
                menu.add_cascade(label=output.name, menu=self.output_menu(output, menu))
        self.w["run menu"] = menu
        menu.tk_popup(x, y)

    def go_on(self: Any, i: int, x: int, y: int) -> None:
        """Pick in a run, or offer the protocols that take its outputs."""
        run = self.runs[i]
        if run.card_button == "Pick":
            self.open_picking(i)
            return
        menu = ttk.Menu(self, tearoff=False)
        if len(run.outputs) == 1:
            self.add_next_steps(menu, run.outputs[0])
        else:
            for output in run.outputs:
                below = ttk.Menu(menu, tearoff=False)
                self.add_next_steps(below, output)
                menu.add_cascade(label=output.name, menu=below)
        self.w["next menu"] = menu
        menu.tk_popup(x, y)

    def add_next_steps(self: Any, menu: Any, output: RunOutput) -> None:
        """Add the protocols that take an output to a menu, the usual one first."""
        for entry in next_protocols(output, self.runs[output.run].protocol):
            menu.add_command(
                label=entry.label,
                command=lambda name=entry.name: self.new_form(name, output),
            )

    def output_named(self: Any, target: str) -> RunOutput | None:
        """Return the output that ``RUN.output`` means, RUN a number."""
        number, _, name = target.partition(".")
        run = self.runs.get(int(number)) if number.isdigit() else None
        return next((o for o in run.outputs if o.name == name), None) if run is not None else None

    def readable(self: Any, text: str) -> str:
        """Return inputs with the labels of their runs in the place of numbers."""
        parts = [self.output_named(part) for part in text.split(",")]
        return ", ".join(p.title for p in parts if p is not None) if all(parts) else text

    def output_menu(self: Any, output: RunOutput, master: Any = None) -> ttk.Menu:
        """Return a menu of every viewer for an output, and of what can be done with it next."""
        menu = ttk.Menu(master or self, tearoff=False)
        below = ttk.Menu(menu, tearoff=False)
        self.add_next_steps(below, output)
        menu.add_cascade(label="Next step", menu=below)
        if output.pending:
            return menu
        menu.add_separator()
        folder = self.folder / self.runs[output.run].folder
        for viewer in viewers_of_kinds(output.kinds):
            if not getattr(viewer, "suits", lambda _: True)(folder):
                continue
            menu.add_command(label=viewer._name, command=lambda v=viewer: self.view(output, v))  # type: ignore[misc]
        return menu

    def view(self, output: RunOutput, viewer: Any = None, then: Callable[[Any], object] | None = None) -> None:
        """Show an output in a viewer, the first that fits by default."""
        host: Any = self
        host.say(f"Opening {output.title} …")

        def show(shown: Shown) -> None:
            """Choose the viewer, prepare what it shows and open its window."""
            found = [viewer] if viewer is not None else viewers_of_kinds(output.kinds)
            if not found:
                host.say(f"There is no viewer for {output.kinds[0]}.")
                return

            def read(task: Task) -> None:
                """Prepare the output outside of the window's thread."""
                shown.progress = task.report
                getattr(found[0], "prepare", lambda _: None)(shown)

            follow(host, host.work(read, lambda _: open_window(found[0], shown)))

        def open_window(chosen: Any, shown: Shown) -> None:
            """Open the viewer's window; a failure is reported in the host."""
            host.say("Ready")
            try:
                window = chosen.open_window(host, shown)
            except (EmtomoError, OSError) as error:
                host.report_failure(sentence(error))
                return
            if then is not None:
                then(window)

        host.service.ask(lambda project: load(project, output.target), show, host.report_failure)
