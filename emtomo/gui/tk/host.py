"""What a window may ask of the one that opened it: children know these interfaces, never their parent's module."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from emtomo.gui.core.background import Task
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.live import LiveModels
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.core.service import ProjectService
from emtomo.gui.core.settings import Settings
from emtomo.gui.core.slices import SliceState
from emtomo.gui.core.volume import VolumeSource

Place = tuple[float, float, float]


class Parent(Protocol):
    """Any widget or window that another window can belong to."""

    def nametowidget(self, name: Any) -> Any:
        """Return the widget of a name."""

    def winfo_toplevel(self) -> Any:
        """Return the window that it is in."""


class Root(Parent, Protocol):
    """The program: settings, scale, threads, messages."""

    settings: Settings
    factor: float
    start_folder: Path  # where the program was started: paths that are typed are relative to it

    def work(
        self, work: Callable[[Task], Any], done: Callable[[Any], object], failed: Callable[[str], object] | None = None
    ) -> Task:
        """Do something in a thread; `done` or `failed` is called on the window's thread."""

    def show_message(self, sentence: str) -> None:
        """Show a sentence that no window has a place for."""

    def say(self, sentence: str) -> None:
        """Show a sentence that need not be answered."""

    def show_rows(self, parent: Parent, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Show rows of text in a window of their own."""

    def winfo_screenwidth(self) -> int:
        """Return the pixels of the screen."""

    def winfo_screenheight(self) -> int:
        """Return the pixels of the screen."""


def root_of(widget: Parent) -> Root:
    """Return the program's root."""
    return cast(Root, widget.nametowidget("."))


class ProjectHost(Root, Protocol):
    """The project window, for forms, pickers and panels."""

    folder: Path
    service: ProjectService
    runs: dict[int, Run]
    picking_dialogs: dict[int, Any]
    w: dict[str, Any]

    def say(self, sentence: str) -> None:
        """Show a sentence at the bottom."""

    def report_failure(self, sentence: str) -> None:
        """Show what went wrong, at the bottom and as a message."""

    def output_named(self, target: str) -> RunOutput | None:
        """Return the output that ``RUN.output`` means."""

    def readable(self, text: str) -> str:
        """Return inputs with the labels of their runs."""

    def output_menu(self, output: RunOutput, master: Any = None) -> Any:
        """Return a menu of what can be done with an output."""

    def view(self, output: RunOutput, viewer: Any = None, then: Callable[[Any], object] | None = None) -> None:
        """Show an output."""

    def refresh_details(self) -> None:
        """Read the selected run's parameters again."""

    def select_later(self, ids: list[int]) -> None:
        """Select runs that the next look at the project will show."""

    def new_form(self, name: str, output: RunOutput | None = None) -> Any:
        """Open the form of a protocol, its inputs taken from an output."""

    def form_closed(self, form: Any) -> None:
        """Forget a form."""

    def open_picking(self, run: int) -> None:
        """Open the tomograms of a picking run."""

    def add_template(self, name: str, values: dict[str, str], run: bool) -> None:
        """Add the runs of a template."""


class FormHost(Parent, Protocol):
    """A form, for its rows."""

    model: FormModel
    project: ProjectHost
    w: dict[str, Any]

    def shows(self, name: str) -> bool:
        """Return whether a field is shown."""

    def wizard(self, name: str) -> None:
        """Let the wizard of a field propose a value."""

    def queue_changed(self) -> None:
        """Check again, with another queue or other parameters of it."""


class PickingHost(Parent, Protocol):
    """A picker, for the panel at its side."""

    session: PickingSession
    w: dict[str, Any]

    def on_change(self) -> None:
        """Show the session as it is now."""

    def undo(self) -> None:
        """Take the last change back."""

    def redo(self) -> None:
        """Do again what was undone."""


class BoxerHost(PickingHost, Protocol):
    """The boxer, for its sets and tools."""

    box: int

    def set_buttons(self) -> list[tuple[str, str, Any, str]]:
        """Return what can be done with sets."""

    def set_label(self, group: int) -> str:
        """Return what a set is called."""

    def set_colour(self, group: int) -> str:
        """Return the colour of a set."""

    def set_box(self, box: int) -> None:
        """Change the size of boxes."""

    def set_erasing(self, on: bool) -> None:
        """Let the left button erase, or pick."""

    def set_threshold(self, threshold: float) -> None:
        """Hide particles of a lower score."""

    def remove_below(self) -> None:
        """Remove the particles of a lower score."""


class PickerHost(PickingHost, Protocol):
    """The vectorial picker, for its pool of models, its tools and the montage."""

    kind: str
    live: LiveModels
    source: VolumeSource
    state_: SliceState
    actions: list[Any]
    mouse: list[tuple[str, str]]
    tools: Any
    panels: dict[int, Any]

    def new_model(self) -> None:
        """Start a model."""

    def rename_group(self) -> None:
        """Ask for a name for the current model."""

    def drop_group(self) -> None:
        """Remove the current model."""

    def redraw(self) -> None:
        """Draw all planes."""

    def show_montage(self) -> None:
        """Show many slices side by side, or the planes again."""

    def show_place(self, place: Place | None) -> None:
        """Show place and grey value."""

    def open_3d(self) -> None:
        """Show points and model in space."""

    def auto_contrast(self) -> None:
        """Set black and white from the slice."""

    def smooth(self, by: float) -> None:
        """Filter more or less."""

    def on_press(self, panel: Any, button: int, place: Place, state: int) -> bool:
        """A button went down."""

    def on_drag(self, panel: Any, button: int, place: Place, state: int) -> None:
        """The mouse moved with a button down."""

    def on_release(self, panel: Any, button: int, place: Place, state: int) -> None:
        """A button that the window took came up."""

    def on_click(self, panel: Any, button: int, place: Place, state: int) -> None:
        """A click."""

    def add_at(self, place: Place, role: str) -> None:
        """Add a point."""

    def decorate_slice(self, panel: Any) -> None:
        """Draw marks on a panel's slice."""


__all__ = [
    "BoxerHost",
    "FormHost",
    "Parent",
    "PickerHost",
    "PickingHost",
    "Place",
    "ProjectHost",
    "Root",
    "root_of",
]
