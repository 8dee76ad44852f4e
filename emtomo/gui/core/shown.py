"""An output as the viewers get it: opened from its files, with the tomograms or micrographs that it lies in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyworkflow.object import Object, Pointer
from pyworkflow.protocol import Protocol

from emtomo.engine.lineage import upstream
from emtomo.engine.parameters import output_target
from emtomo.engine.plugin import Domain
from emtomo.engine.project import EmtomoProject
from emtomo.engine.run_reading import protocol_name
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.objects import SetOfMicrographs, SetOfTomograms


@dataclass
class Shown:
    """One output of a run, independent of the project's thread.

    Attributes
    ----------
    project : Path
        Folder that files are relative to.
    run : int
    label, name, protocol : str
    value : Object
        A set, opened from its file, or a result with its fields.
    tomograms, before : SetOfTomograms or None
        Those the output lies in; those that tomograms were made from.
    micrographs : SetOfMicrographs or None
        Those the output lies in.
    folder : Path
        Of the run.
    tomograms_target, micrographs_target : str
        ``RUN.output`` of the tomograms and of the micrographs; empty where there are none.
    prepared : dict
        What a viewer has read of it in a thread, before its window is opened.
    progress : callable
        Called in that thread with the share that was read, 0 to 1.
    """

    project: Path
    run: int
    label: str
    name: str
    protocol: str
    value: Any
    folder: Path
    tomograms: SetOfTomograms | None = None
    before: SetOfTomograms | None = None
    micrographs: SetOfMicrographs | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    tomograms_target: str = ""
    micrographs_target: str = ""
    prepared: dict[str, Any] = field(default_factory=dict)
    progress: Callable[[float], object] = lambda _: None

    @property
    def title(self) -> str:
        """What windows are called."""
        return f"{self.label}.{self.name}"

    def __post_init__(self) -> None:
        self._stamp = self._file_stamp()

    def _file_stamp(self) -> tuple[int, ...]:
        file = self.value.getFileName() if isinstance(self.value, TableSet) else ""
        now = Path(file).stat() if file and Path(file).exists() else None
        return (now.st_ino, now.st_size, now.st_mtime_ns) if now else ()

    def check_unchanged(self) -> None:
        """Make sure that the set is still the one that was opened, before something is chosen in it by number.

        Raises
        ------
        EmtomoError
            If its run has made it again since.
        """
        if self._file_stamp() != self._stamp:
            raise EmtomoError(
                f"{self.title} was made again since this window was opened: open it again and choose anew."
            )

    def path(self, file: str) -> Path:
        """Return where a file of the output is."""
        return self.project / file


def load(project: EmtomoProject, target: str) -> Shown:
    """Return the output ``RUN.output``; to be called in the thread that owns the project.

    Raises
    ------
    EmtomoError
        If the run has not made it.
    """
    run, name = output_target(project, target)
    return show_output(run, name, Path(project.path))


def show_output(run: Protocol, name: str, project: Path) -> Shown:
    """Return an output of a run."""
    value = dict(run.iterOutputAttributes()).get(name)
    if value is None:
        raise EmtomoError(f"Run {run.getObjLabel()} has not made {name}; it is {run.getStatus()}.")
    pointer = Pointer(run, extended=name)
    before = upstream(pointer, SetOfTomograms)
    tomograms = value if isinstance(value, SetOfTomograms) else before
    micrographs = value if isinstance(value, SetOfMicrographs) else upstream(pointer, SetOfMicrographs)
    if before is value or (
        isinstance(value, SetOfTomograms) and before is not None and before.getFileName() == value.getFileName()
    ):
        before = None
    from emtomo.gui.core.run_actions import texts_of

    return Shown(
        project, int(run.getObjId()), run.getObjLabel(), name, protocol_name(run),
        own_copy(value, project), project / run.getWorkingDir(),
        own_copy(tomograms, project), own_copy(before, project), own_copy(micrographs, project),
        texts_of(run), _target(tomograms), _target(micrographs),
    )  # fmt: skip


def _target(value: Any) -> str:
    """Return how a parameter names an output; empty for none."""
    return f"{value.getObjParentId()}.{value.getLastName()}" if value is not None else ""


def own_copy(value: Any, project: Path) -> Any:
    """Return an object of the same contents that shares nothing with the project."""
    if isinstance(value, TableSet):
        return type(value).open(project / value.getFileName())
    if value is None or not hasattr(value, "FIELDS"):
        return value
    return type(value)(**value.values())


def viewers_for(value: Object) -> list[Any]:
    """Return the viewers of all plugins that show such an object, in their own order, the most general last."""
    found = [cls for cls in Domain.findViewers(value, "tkinter") if hasattr(cls, "open_window") and cls._name]
    return sorted(found, key=lambda cls: getattr(cls, "ORDER", 50))


def viewers_of_kinds(kinds: tuple[str, ...]) -> list[Any]:
    """Return the viewers for an output of which only the names of its classes are known."""
    known = Domain.getObjects()
    cls = next((known[k] for k in kinds if k in known), None)
    return viewers_for(cls()) if cls is not None else []
