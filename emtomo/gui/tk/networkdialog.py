"""The tomograms of a network picking run, with what trains and uses the network."""

import shutil
import tkinter as tk
from dataclasses import fields
from typing import Any

import ttkbootstrap as ttk

from emtomo.compute.convnet.options import ApplyOptions, TrainOptions
from emtomo.errors import EmtomoError
from emtomo.gui.core.background import Task
from emtomo.gui.core.picking_run import PickingRun
from emtomo.gui.core.trainer import Trainer, available
from emtomo.gui.core.volume import VolumeSource
from emtomo.gui.tk import theme
from emtomo.gui.tk.dialogs import TextQuestion, choose_file, show_message
from emtomo.gui.tk.host import ProjectHost
from emtomo.gui.tk.tomodialog import TomogramDialog
from emtomo.gui.tk.window import tip
from emtomo.wording import count_text

LEAST = 800  # pixels at 100 % that a picker needs beside the list


def options_of(cls: type, texts: dict[str, str]) -> Any:
    """Return an options dataclass from the texts of a form; empty texts are the default."""
    kinds = {"int": int, "float": float}
    values: dict[str, Any] = {}
    for one in fields(cls):
        text = texts.get(one.name, "")
        if text:
            message = str(one.type)
            values[one.name] = next(
                (kind(text) for name, kind in kinds.items() if name in message.split("[")[1].split(",")[0]), text
            )
    return cls(**values)


class NetworkDialog(TomogramDialog):
    """Train, Save, Load, Apply, Apply all, Change box, and the loss while it falls."""

    CLOSES_WITH_SINGLE = False  # its buttons are needed after picking
    COLUMNS = (
        ("count", "Particles", 90),
        ("good", "Good refs", 80),
        ("bad", "Bad refs", 80),
        ("status", "Status", 100),
    )

    def __init__(self, window: ProjectHost, picking_run: PickingRun, label: str, texts: dict[str, str]) -> None:
        self.trainer = Trainer(
            picking_run, picking_run.box_size, options_of(TrainOptions, texts), options_of(ApplyOptions, texts)
        )
        self.task: Task | None = None
        super().__init__(window, picking_run, label, texts)
        self.geometry(f"{theme.px(self, 700)}x{theme.px(self, 620)}")
        self.follow_references()

    def build_tools(self, pad: int) -> None:
        """The network's buttons, its threshold and its loss."""
        box = ttk.Labelframe(self, text="Network", padding=pad)
        box.pack(side="bottom", fill="x", padx=pad)
        row = ttk.Frame(box)
        row.pack(fill="x")
        for name, text, style, call, message in (
            ("train", "Train", "primary", self.train, "Train on the references; once trained, train further"),
            ("new network", "New", "secondary-outline", self.new_network, "Forget the network; references stay"),
            ("save", "Save", "secondary-outline", self.save, "Keep the network in a file"),
            ("load", "Load", "secondary-outline", self.load, "Take a network from a file"),
            ("apply", "Apply", "info", lambda: self.apply(self.tree.selection()), "Pick in the selected tomogram"),
            (
                "apply all",
                "Apply all",
                "info-outline",
                lambda: self.apply(self.picking_run.names),
                "Pick in all; with Shift in those without particles",
            ),
            (
                "changebx",
                "Change box",
                "secondary-outline",
                self.change_box,
                "Pixels that a reference has for the network",
            ),
            ("stop", "Stop", "danger-outline", self.stop, "End what is going on"),
        ):
            button = ttk.Button(row, text=text, bootstyle=style, command=call)
            button.pack(side="left", padx=(0, theme.px(self, theme.GAP)))
            tip(button, message)
            self.w[name] = button
        self.w["apply all"].bind("<Shift-Button-1>", self._apply_rest)
        row = ttk.Frame(box)
        row.pack(fill="x", pady=(theme.px(self, theme.GAP), 0))
        ttk.Label(row, text="Threshold").pack(side="left")
        self.threshold = ttk.Spinbox(row, from_=0.0, to=2.0, increment=0.05, width=6)
        self.threshold.set(f"{self.trainer.use.threshold:g}")
        self.threshold.pack(side="left", padx=theme.px(self, theme.GAP))
        ttk.Label(row, text="Iterations").pack(side="left")
        self.iterations = ttk.Spinbox(row, from_=1, to=1000, increment=5, width=6)
        self.iterations.set(str(self.trainer.options.iterations))
        self.iterations.pack(side="left", padx=theme.px(self, theme.GAP))
        self.progress = ttk.Progressbar(row, maximum=1.0)
        self.progress.pack(side="left", fill="x", expand=True, padx=theme.px(self, theme.GAP))
        self.loss = tk.Canvas(box, height=theme.px(self, 90), highlightthickness=0)
        self.loss.pack(fill="x", pady=(theme.px(self, theme.GAP), 0))
        self.loss.bind("<Configure>", lambda _: self.draw_loss())
        theme.follow(self.loss, self.draw_loss)
        self.w |= {"threshold": self.threshold, "iterations": self.iterations, "loss": self.loss}
        problem = available()
        if problem:  # without PyTorch references can still be picked
            for name in ("train", "apply", "apply all"):
                self.w[name].configure(state="disabled")
            show_message(self, "No network here", problem)

    def values(self, name: str, count: int, status: str, size: str) -> list[Any]:
        """Count particles and references."""
        models = self.picking_run.session(name).models.values()
        number = {
            kind: sum(len(m.points) for m in models if m.kind == kind) for kind in ("particles", "positive", "negative")
        }
        return [number["particles"], number["positive"], number["negative"], status]

    def make_picker(self, name: str, source: VolumeSource) -> Any:
        """Return the window for references."""
        from emtomo.gui.tk.convnet import ConvnetWindow

        return ConvnetWindow(
            self, source, self.picking_run.session(name), self.trainer.box, self.picking_run.pixel_size, self.set_box
        )

    def _opened(self, name: str, source: VolumeSource) -> None:
        """Show the picker; that of a single tomogram beside the buttons, which are needed as well."""
        super()._opened(name, source)
        picker = self.pickers.get(name)
        left = self.winfo_screenwidth() - self.winfo_width() - theme.px(self, 20)
        if picker is not None and self._single and left >= theme.px(self, LEAST):
            high = min(picker.winfo_height(), self.winfo_screenheight() - theme.px(self, 80))
            picker.geometry(f"{left - theme.px(self, 20)}x{max(high, theme.px(self, 700))}+0+0")
            self.geometry(f"+{left}+0")

    def set_box(self, box: int) -> None:
        """Train and pick with the box size that was set in the window."""
        super().set_box(box)
        self.trainer.box = box

    def follow_references(self) -> None:
        """Let Train follow the number of references, as long as the dialog lives."""
        if not self.winfo_exists():
            return
        busy = self.task is not None and self.task.thread.is_alive()
        if not available():
            self.w["train"].configure(state="disabled" if busy or self.trainer.missing() else "normal")
            ready = not busy and self.trainer.network.exists()
            for name in ("apply", "apply all"):
                self.w[name].configure(state="normal" if ready else "disabled")
        self.w["save"].configure(state="normal" if self.trainer.network.exists() else "disabled")
        self.w["stop"].configure(state="normal" if busy else "disabled")
        for name in self.pickers:
            self.refresh(name, totals=False)
        self.after(400, self.follow_references)

    # --- the network ---

    def train(self) -> None:
        """Train in a process of its own; the loss is drawn as it falls."""
        self.trainer.options = options_of(
            TrainOptions,
            {**self.texts, "iterations": self.iterations.get(), "training_box": str(self.trainer.options.training_box)},
        )
        self.state_.configure(text="Training …")
        self._begin(
            lambda task: self.trainer.train(task, self._show_progress), "The network is trained: Apply lets it pick."
        )

    def apply(self, names: Any) -> None:
        """Let the network pick; found particles replace those of an earlier try, references stay."""
        try:
            self.trainer.use = options_of(ApplyOptions, {**self.texts, "threshold": self.threshold.get()})
        except ValueError:
            self.state_.configure(text=f"The threshold must be a number, got {self.threshold.get()!r}.")
            return
        chosen = list(names)
        if not chosen:
            self.state_.configure(text="Select a tomogram, or use Apply all.")
            return
        self.state_.configure(text="Picking …")
        self._begin(lambda task: self.trainer.apply(task, chosen, self._show_progress), "")

    def _apply_rest(self, _: object) -> str:
        rest = [
            n
            for n in self.picking_run.names
            if not any(m.points for m in self.picking_run.session(n).models.values() if m.kind == "particles")
        ]
        self.apply(rest)
        return "break"

    def _begin(self, work: Any, done: str) -> None:
        if self.task is not None and self.task.thread.is_alive():
            return
        self.progress.configure(value=0.0)

        def show_end(_: object) -> None:
            """Fill the progress bar and show the closing sentence."""
            if self.winfo_exists():
                self.progress.configure(value=1.0)
                if done:
                    self.state_.configure(text=done)

        self.task = self.window.work(
            work, show_end, lambda message: self.winfo_exists() and self.state_.configure(text=message)
        )

    def _show_progress(self, event: dict[str, Any]) -> None:
        if not self.winfo_exists():
            return
        if "loss" in event:
            self.state_.configure(text=f"iteration {event['iteration']}: loss {event['loss']:.5f}")
            self.progress.configure(value=event["iteration"] / self.trainer.options.iterations)
            self.draw_loss()
        elif "done" in event:
            self.progress.configure(value=event["done"])
        elif "picks" in event:
            self._take(event["picks"], event["rows"])

    def _take(self, name: str, rows: list[list[float]]) -> None:
        session = self.picking_run.session(name)
        group = next((g for g, m in session.models.items() if m.kind == "particles"), 0) or session.new_model(
            "particles"
        )
        session.replace_all(group, [[x, y, z, "point", score] for z, y, x, score in rows])
        picker = self.pickers.get(name)
        if picker is not None and picker.winfo_exists():
            picker.make_sets()
            picker.on_change()
        self.refresh(name)
        self.state_.configure(text=f"{name}: {count_text(len(rows), 'particle')}")

    def draw_loss(self) -> None:
        """Draw the loss by iteration."""
        c, losses = self.loss, self.trainer.losses
        c.configure(background=theme.colour("inputbg"))
        c.delete("all")
        wide, high, pad = c.winfo_width(), c.winfo_height(), theme.px(self, 8)
        if not losses:
            c.create_text(
                wide / 2, high / 2, text="the loss appears here while the network is trained", fill=theme.faint()
            )
            return
        top = max(loss for _, loss in losses)
        count = max(self.trainer.options.iterations, len(losses))
        points = [
            (pad + (wide - 2 * pad) * (k - 1) / max(1, count - 1), high - pad - (high - 3 * pad) * loss / top)
            for k, loss in losses
        ]
        for x, y in points:
            c.create_oval(x - 2, y - 2, x + 2, y + 2, fill=theme.colour("primary"), width=0)
        if len(points) > 1:
            c.create_line(*[v for point in points for v in point], fill=theme.colour("primary"), width=2)
        c.create_text(wide - pad, pad, anchor="ne", text=f"loss {losses[-1][1]:.5f}", fill=theme.colour("fg"))

    def new_network(self) -> None:
        """Forget the network."""
        self.trainer.network.unlink(missing_ok=True)
        self.trainer.losses = []
        self.draw_loss()
        self.state_.configure(text="The next training begins with a new network.")

    def save(self) -> None:
        """Copy the network to a file."""
        path = choose_file(self, "Save network", save="network.safetensors", kind="network")
        if path is not None:
            shutil.copyfile(self.trainer.network, path)
            self.state_.configure(text=f"Network written to {path}.")

    def load(self) -> None:
        """Take a network from a file."""
        path = choose_file(self, "Load network", kind="network")
        if path is not None:
            self.load_from(str(path))

    def load_from(self, path: str) -> None:
        """Take the network in a file, if it is one."""
        from emtomo.compute.convnet.network import load

        try:
            load(path)
        except EmtomoError as error:
            self.state_.configure(text=str(error))
            return
        self.trainer.network.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.trainer.network)
        self.state_.configure(text="The network is loaded: Apply lets it pick.")

    def change_box(self) -> None:
        """Ask for another training box."""

        def set_box(texts: list[str]) -> None:
            """Set the box size that was typed, or say why not."""
            try:
                self.trainer.set_training_box(int(texts[0]))
                self.state_.configure(
                    text=f"References are resampled to {texts[0]} pixels; train a new network with it."
                )
            except (ValueError, EmtomoError) as error:
                self.state_.configure(
                    text=str(error)
                    if isinstance(error, EmtomoError)
                    else f"A whole number is needed, got {texts[0]!r}."
                )

        TextQuestion(self, "Training box (at least 96)", [("Pixels", str(self.trainer.options.training_box))], set_box)

    def stop(self) -> None:
        """End training or picking."""
        self.trainer.stop()

    def shut(self) -> None:
        """Close; what goes on ends."""
        self.trainer.stop()
        super().shut()
