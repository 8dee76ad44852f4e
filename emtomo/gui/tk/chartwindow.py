"""Charts of a run in a window: read again while it goes on, another run over them, written to files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ttkbootstrap as ttk

from emtomo.gui.core.actions import Action
from emtomo.gui.core.background import Task
from emtomo.gui.core.chart import Chart, merge
from emtomo.gui.core.chart_export import arrange_charts, save_charts
from emtomo.gui.tk import theme
from emtomo.gui.tk.chartcanvas import MOUSE, ChartCanvas
from emtomo.gui.tk.dialogs import choose_file
from emtomo.gui.tk.loading import follow
from emtomo.gui.tk.window import Window, tip

REFRESH = 2000  # ms
ALONE = "no other run"
Read = Callable[[str, str], list[Chart]]
Parts = Sequence[str] | Callable[[], Sequence[str]]


class ChartWindow(Window):
    """Shows the charts of a run.

    Parameters
    ----------
    master : widget
    title : str
    label : str
        Of the run, for the legend once another one is shown too.
    read : callable
        Called in a thread with a label (or nothing) and the part that is chosen; returns charts.
    others : mapping of str to callable
        Labels of runs that can be shown over it, and how their charts are read.
    parts : sequence of str, or callable
        Tilt series, micrographs, …: one of them is shown. A run that goes on may only come to have them: a callable is
        asked in a thread whenever charts are read.
    empty : str
        Said while there is no chart.
    """

    def __init__(
        self,
        master: Any,
        title: str,
        label: str,
        read: Read,
        others: Mapping[str, Read] | None = None,
        parts: Parts = (),
        empty: str = "No iteration is finished yet.",
    ) -> None:
        super().__init__(master, title, (1080, 680), "charts")
        self.label, self.read, self.others, self.empty = label, read, dict(others or {}), empty
        self.canvases: list[ChartCanvas] = []
        self._keys: list[str] = []
        self.names: list[str] = []
        self._task: Task | None = None
        self.list_parts = parts if callable(parts) else lambda: parts
        self._make_foot()
        self.body = ttk.Frame(self)
        self.body.pack(fill="both", expand=True)
        self.message = ttk.Label(self.body, text="Reading …", anchor="center")
        self.message.pack(expand=True)
        self.bind_actions(
            [
                Action("save", "Save as SVG, PNG, PDF or CSV", self.save, "<Control-p> <Control-s>"),
                Action("fit", "Show everything", self.fit, "f"),
                Action("refresh", "Read again", self.refresh, "<F5>"),
                Action("close", "Close", self.close, "<Escape>"),
            ],
            MOUSE,
        )
        self.refresh()
        self._next = self.after(REFRESH, self._tick)

    def _make_foot(self) -> None:
        pad = theme.px(self, theme.PAD)
        foot = ttk.Frame(self, padding=pad)
        foot.pack(side="bottom", fill="x")
        save = ttk.Button(foot, text="Save …", bootstyle="secondary-outline", command=self.save)
        tip(save, "SVG, PNG or PDF as shown; CSV with all numbers (Ctrl+P)")
        save.pack(side="right")
        choice = ttk.Frame(foot)
        choice.pack(side="left")
        self.part = ttk.Combobox(choice, state="readonly", width=22)
        self.part.bind("<<ComboboxSelected>>", lambda _: self.refresh())
        self.other = ttk.Combobox(foot, values=[ALONE, *self.others], state="readonly", width=28)
        self.other.set(ALONE)
        self.other.bind("<<ComboboxSelected>>", lambda _: self.refresh())
        if self.others:
            ttk.Label(foot, text="Beside").pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            self.other.pack(side="left")
            tip(self.other, "Another run's curves, dashed, over these")
        self.readout = ttk.Label(foot, text="")
        self.readout.pack(side="left", fill="x", expand=True, padx=pad)
        self.w |= {"save": save, "other": self.other, "part": self.part, "readout": self.readout}

    @property
    def charts(self) -> list[Chart]:
        """What is shown now."""
        return [canvas.view.chart for canvas in self.canvases]

    def refresh(self) -> None:
        """Read the files again, in a thread."""
        if self._task is not None and self._task.thread.is_alive():
            return
        other, part, read, label = self.other.get(), self.part.get(), self.read, self.label
        second = self.others.get(other)

        def work(_: Task) -> tuple[list[str], list[Chart]]:
            """Return the parts that there are and the charts of the chosen one."""
            names = list(self.list_parts())
            chosen = part or next(iter(names), "")
            if second is None:
                return names, read("", chosen)
            return names, merge([read(label, chosen), second(other, chosen)])

        self._task = follow(self, self.work(work, self._show, self._failed))

    def _show(self, found: tuple[list[str], list[Chart]]) -> None:
        if not self.winfo_exists():
            return
        names, charts = found
        if names != self.names:
            self._offer(names)
        keys = [chart.key or chart.title for chart in charts]
        if not charts:
            self._failed(self.empty)
        elif keys == self._keys:
            for canvas, chart in zip(self.canvases, charts, strict=True):
                if not same(canvas.view.chart, chart):
                    canvas.take(chart)
        else:
            self._build(charts)
        self._keys = keys

    def _offer(self, names: list[str]) -> None:
        self.names = names
        self.part.configure(values=names)
        if names and not self.part.get():
            self.part.set(names[0])
            self.part.pack(padx=(0, theme.px(self, theme.PAD)))

    def _build(self, charts: list[Chart]) -> None:
        self.message.pack_forget()
        for canvas in self.canvases:
            canvas.destroy()
        columns_before, rows_before = self.body.grid_size()
        for k in range(max(columns_before, rows_before)):
            self.body.columnconfigure(k, weight=0, uniform="")
            self.body.rowconfigure(k, weight=0, uniform="")
        rows, columns = arrange_charts(len(charts))
        self.canvases = []
        for k, chart in enumerate(charts):
            canvas = ChartCanvas(self.body, chart, self.say)
            canvas.grid(row=k // columns, column=k % columns, sticky="nsew")
            self.canvases.append(canvas)
        for k in range(columns):
            self.body.columnconfigure(k, weight=1, uniform="chart")
        for k in range(rows):
            self.body.rowconfigure(k, weight=1, uniform="chart")

    def say(self, text: str) -> None:
        """Show what is under the mouse."""
        self.readout.configure(text=text)

    def _failed(self, sentence: str) -> None:
        if self.winfo_exists():
            for canvas in self.canvases:
                canvas.destroy()
            self.canvases, self._keys = [], []
            self.message.configure(text=sentence)
            self.message.pack(expand=True)

    def fit(self) -> None:
        """Show everything of every chart."""
        for canvas in self.canvases:
            canvas.fit()

    def _tick(self) -> None:
        if self.winfo_exists():
            self.refresh()
            self._next = self.after(REFRESH, self._tick)

    def save(self) -> None:
        """Ask where, then write."""
        path = choose_file(self, "Save charts", save="charts.svg", kind="picture")
        if path is not None:
            self.save_to(path)

    def save_to(self, path: Path) -> None:
        """Write the charts as they are shown, in the format that the name says; CSV has all numbers."""
        views, title = [canvas.view for canvas in self.canvases], self.label
        self.work(
            lambda _: save_charts(views, path, title), lambda _: self.say(f"Written: {path}."), lambda s: self.say(s)
        )

    def close(self) -> None:
        """Close; what is being read is forgotten."""
        self.after_cancel(self._next)
        if self._task is not None:
            self._task.cancel()
        super().close()


def same(one: Chart, other: Chart) -> bool:
    """Return whether two charts show the same numbers."""
    if one.title != other.title or [c.label for c in one.curves] != [c.label for c in other.curves]:
        return False
    return all(
        len(a.x) == len(b.x) and bool((a.x == b.x).all()) and a.y.tobytes() == b.y.tobytes()
        for a, b in zip(one.curves, other.curves, strict=True)
    )


def open_charts(
    master: Any, title: str, label: str, read: Read, others: Mapping[str, Read], parts: Parts = ()
) -> ChartWindow:
    """Open the charts of a run."""
    return ChartWindow(master, title, label, read, others, parts)
