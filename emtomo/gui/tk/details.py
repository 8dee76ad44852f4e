"""What is known of the selected run: summary, inputs and outputs, parameters, the live log, methods."""

import tkinter as tk
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.background import Task
from emtomo.gui.core.next_steps import usual_steps
from emtomo.gui.core.run_actions import Details, details
from emtomo.gui.core.runs import Run, RunOutput, last_row
from emtomo.gui.tk import theme
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.window import Flow

TAIL, MOST_LINES = 64_000, 20_000
LOGS = ("stdout", "stderr", "start-up")


class DetailsPanel(ttk.Notebook):
    """Tabs about one run."""

    def __init__(self, master: tk.Misc, window: ProjectHost) -> None:
        super().__init__(master)
        self.window = window
        self.run: Run | None = None
        self._details: Details | None = None
        self._log_place = 0
        self._log_file = ""
        self._tailing: Task | None = None
        pad = theme.px(self, theme.PAD)
        self.summary = self._text("Summary", pad)
        self._steps: Flow | None = None
        self._stepped: tuple[RunOutput, ...] = ()
        self.outputs = self._outputs_tab(pad)
        self.parameters = self._table("Parameters", (("name", "Parameter", 260), ("value", "Value", 420)))
        self.log = self._log_tab(pad)
        self.methods = self._text("Methods", pad)
        window.w |= {
            "details": self,
            "summary": self.summary,
            "outputs": self.outputs,
            "parameters": self.parameters,
            "log": self.log,
            "methods": self.methods,
        }
        self.after(700, self._tail)

    def _text(self, title: str, pad: int) -> ttk.Text:
        frame = ttk.Frame(self, padding=pad)
        self.add(frame, text=title)
        text = ttk.Text(frame, wrap="word", height=6, relief="flat", highlightthickness=0)
        bar = ttk.Scrollbar(frame, command=text.yview)
        text.configure(yscrollcommand=bar.set, state="disabled")
        bar.pack(side="right", fill="y")
        text.pack(side="left", fill="both", expand=True)
        return text

    def _table(self, title: str, columns: tuple[tuple[str, str, int], ...]) -> ttk.Treeview:
        frame = ttk.Frame(self, padding=theme.px(self, theme.GAP))
        self.add(frame, text=title)
        tree = ttk.Treeview(frame, columns=[c for c, _, _ in columns], show="headings", height=5)
        for name, heading, width in columns:
            tree.heading(name, text=heading, anchor="w")
            tree.column(name, width=theme.px(self, width), anchor="w")
        bar = ttk.Scrollbar(frame, command=tree.yview)
        tree.configure(yscrollcommand=bar.set)
        bar.pack(side="right", fill="y")
        tree.pack(side="left", fill="both", expand=True)
        return tree

    def _outputs_tab(self, pad: int) -> ttk.Treeview:
        tree = self._table(
            "Inputs and outputs", (("what", "Name", 230), ("kind", "Type", 180), ("about", "What it is", 460))
        )
        tree.bind("<Button-3>", self._viewers_menu)
        tree.bind("<Double-1>", lambda e: self._open(tree.identify_row(e.y)))
        tree.bind("<Return>", lambda _: self._open(next(iter(tree.selection()), "")))
        for keys in ("<Shift-F10>", "<Key-Menu>"):
            tree.bind(keys, lambda _: self._menu_by_key())
        tree.bind("<B1-Motion>", lambda e: self._dragging(e))
        tree.bind("<ButtonRelease-1>", self._dropped)
        return tree

    def _log_tab(self, pad: int) -> ttk.Text:
        frame = ttk.Frame(self, padding=theme.px(self, theme.GAP))
        self.add(frame, text="Log")
        top = ttk.Frame(frame)
        top.pack(fill="x")
        self.which = ttk.StringVar(self, LOGS[0])
        for name in LOGS:
            ttk.Radiobutton(
                top,
                text=name,
                value=name,
                variable=self.which,
                bootstyle="secondary-toolbutton-outline",
                command=self._restart_log,
            ).pack(side="left", padx=(0, theme.px(self, 2)))
        self.follow = ttk.BooleanVar(self, True)
        ttk.Checkbutton(top, text="Follow", variable=self.follow, bootstyle="round-toggle").pack(side="right")
        text = ttk.Text(frame, wrap="none", height=6, relief="flat", highlightthickness=0, font="TkFixedFont")
        bar = ttk.Scrollbar(frame, command=text.yview)
        text.configure(yscrollcommand=bar.set, state="disabled")
        bar.pack(side="right", fill="y")
        text.pack(side="left", fill="both", expand=True)
        return text

    # --- content ---

    def show(self, run: Run | None) -> None:
        """Show a run; asks the project for what the rows do not hold when the run is another or has changed state."""
        before, self.run = self.run, run
        if run is None:
            self._details = None
            for text in (self.summary, self.methods, self.log):
                self._write(text, "")
            for tree in (self.outputs, self.parameters):
                tree.delete(*tree.get_children())
            self._show_steps()
            return
        if before is None or before.id != run.id:
            self._details = None
            self._restart_log()
        self._show_summary()
        self._show_steps()
        self._show_outputs()
        if before is None or (before.id, before.status) != (run.id, run.status) or self._details is None:
            self.window.service.ask(lambda project: details(project, run.id), lambda found: self._take(run.id, found))

    def again(self) -> None:
        """Ask for the parameters again: they were edited."""
        if self.run is not None:
            i = self.run.id
            self.window.service.ask(lambda project: details(project, i), lambda found: self._take(i, found))

    def _take(self, i: int, found: Details) -> None:
        if self.run is None or self.run.id != i:
            return
        self._details = found
        self.parameters.delete(*self.parameters.get_children())
        for name, text in found.parameters.items():
            if text:
                shown = self.window.readable(text) if "." in text else text
                self.parameters.insert("", "end", values=(found.labels.get(name) or name, shown))
        cited = "\n\nPlease cite:\n" + "\n".join(found.citations) if found.citations else ""
        self._write(self.methods, found.methods + cited)
        self._show_summary()
        self._show_outputs()

    def _show_summary(self) -> None:
        run = self.run
        assert run is not None
        lines = [
            f"{run.label}   ({run.title}, run {run.number})",
            run.status_line + (f"   {run.doing}" if run.doing else ""),
        ]
        if run.comment:
            lines.append(run.comment)
        if run.error:
            lines += ["", run.error]
        if self._details is not None and self._details.summary:
            lines += ["", *self._details.summary]
        last = last_row(self.window.folder / run.folder / "extra" / "metrics.csv") if run.status == "running" else {}
        if last:
            lines += ["", "Last iteration: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in last.items())]
        if run.out_of_date:
            lines += ["", "Parameters or inputs have changed since: Resume brings it up to date."]
        self._write(self.summary, "\n".join(lines))

    def _show_steps(self) -> None:
        """Offer the usual next protocols, each one click away."""
        outputs = tuple(o for o in self.run.outputs if not o.pending) if self.run is not None else ()
        if outputs == self._stepped:
            return
        self._stepped = outputs
        if self._steps is not None:
            self._steps.destroy()
            self._steps = None
        steps = usual_steps(outputs, self.run.protocol) if self.run is not None else []
        if not steps:
            return
        self._steps = Flow(self.summary.master)
        ttk.Label(self._steps, text="Next:").pack(side="left")
        for output, entry in steps:
            button = ttk.Button(
                self._steps,
                text=entry.label,
                bootstyle="primary-outline" if entry is steps[0][1] else "secondary-outline",
                command=lambda name=entry.name, made=output: self.window.new_form(name, made),
            )
            button.pack(side="left")
            self.window.w[f"next {entry.label}"] = button
        self._steps.pack(side="bottom", fill="x", before=self.summary)

    def _show_outputs(self) -> None:
        run, tree = self.run, self.outputs
        assert run is not None
        rows: list[tuple[str, tuple[str, str, str]]] = []
        for target in self._input_targets():
            output = self.window.output_named(target)
            if output is not None:
                rows.append((output.target, (f"→ {output.title}", output.kinds[0], output.summary)))
        for output in run.outputs:
            rows.append(
                (output.target, (f"{output.name} →", output.kinds[0], "pending" if output.pending else output.summary))
            )
        if rows == [(i, tuple(tree.item(i, "values"))) for i in tree.get_children()]:
            return
        tree.delete(*tree.get_children())
        for iid, values in rows:
            if not tree.exists(iid):
                tree.insert("", "end", iid=iid, values=values)

    def _input_targets(self) -> list[str]:
        if self._details is None:
            return []
        found = []
        for text in self._details.parameters.values():
            found += [part for part in text.split(",") if self.window.output_named(part) is not None]
        return list(dict.fromkeys(found))

    @staticmethod
    def _write(text: ttk.Text, content: str) -> None:
        if text.get("1.0", "end-1c") == content:
            return
        text.configure(state="normal")
        text.delete("1.0", "end")
        text.insert("end", content)
        text.configure(state="disabled")

    # --- outputs ---

    @property
    def selected_output(self) -> RunOutput | None:
        """The output that is selected, else the first that the run has made."""
        for iid in self.outputs.selection():
            return self.window.output_named(iid)
        made = [o for o in self.run.outputs if not o.pending] if self.run is not None else []
        return made[0] if made else None

    def _open(self, iid: str) -> None:
        output = self.window.output_named(iid) if iid else None
        if output is not None and not output.pending:
            self.window.view(output)

    def _viewers_menu(self, event: "tk.Event[Any]") -> None:
        iid = self.outputs.identify_row(event.y)
        output = self.window.output_named(iid) if iid else None
        if output is None:
            return
        self.outputs.selection_set(iid)
        self.window.output_menu(output).tk_popup(event.x_root, event.y_root)

    def _menu_by_key(self) -> str:
        output = self.selected_output
        if output is not None:
            tree = self.outputs
            self.window.output_menu(output).tk_popup(tree.winfo_rootx() + 40, tree.winfo_rooty() + 40)
        return "break"

    def _dragging(self, event: "tk.Event[Any]") -> None:
        if self.outputs.selection():
            self.outputs.configure(cursor="hand2")

    def _dropped(self, event: "tk.Event[Any]") -> None:
        """Give an output that was dragged out of the table to the field that it was dropped on."""
        self.outputs.configure(cursor="")
        under = self.winfo_containing(event.x_root, event.y_root)
        while under is not None and not hasattr(under, "take_output"):
            under = under.master
        output = self.selected_output
        if under is not None and output is not None:
            under.take_output(output)

    # --- log ---

    def _restart_log(self) -> None:
        self._log_place, self._log_file = 0, ""
        self._write(self.log, "")
        if self.run is not None:
            self._log_file = str(self.window.folder / self.run.logs[LOGS.index(self.which.get())])

    def _tail(self) -> None:
        """Read what was added to the log, off the window's thread; then wait."""
        self.after(700, self._tail)
        busy = self._tailing is not None and self._tailing.thread.is_alive()
        if not self._log_file or busy or self.index("current") != 3:
            return
        path, place = Path(self._log_file), self._log_place
        self._tailing = self.window.work(
            lambda _: _read(path, place), lambda found: self._append(str(path), *found), lambda _: None
        )

    def _append(self, path: str, text: str, place: int) -> None:
        if path != self._log_file or not text:
            return
        if place < self._log_place:
            self._write(self.log, "")
        self._log_place = place
        self.log.configure(state="normal")
        self.log.insert("end", text)
        extra = int(self.log.index("end-1c").split(".")[0]) - MOST_LINES
        if extra > 0:
            self.log.delete("1.0", f"{extra}.0")
        self.log.configure(state="disabled")
        if self.follow.get():
            self.log.see("end")

    def copy_methods(self) -> None:
        """Put the methods text on the clipboard."""
        self.clipboard_clear()
        self.clipboard_append(self.methods.get("1.0", "end-1c"))


def _read(path: Path, place: int) -> tuple[str, int]:
    """Return what a log has after `place`, and its new end; from the start if it was written anew."""
    if not path.exists():
        return "", 0
    size = path.stat().st_size
    if size < place:
        place = 0
    start = max(place, size - 40 * TAIL)
    with path.open("rb") as stream:
        stream.seek(start)
        raw = stream.read(40 * TAIL)
    return raw.decode("utf8", errors="replace"), start + len(raw)
