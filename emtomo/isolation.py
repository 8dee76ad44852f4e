"""Keep what lies in the working folder from being run or obeyed: it may be a project that somebody sent.

Python imports modules from the folder in which it is started with ``-m`` or ``-c`` and from empty or relative entries
of PYTHONPATH; the loader of the system does the same with LD_LIBRARY_PATH; matplotlib and numba read settings there.

Nothing may be imported here that Python has not loaded when it starts.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# lists of folders in the environment, of which each must be absolute
_LISTS = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_NUMBA, _MATPLOTLIB = "numba.core.config", "matplotlib"


def python_command(*arguments: str) -> list[str]:
    """Return a command that starts this Python without modules of the folder it is started in."""
    return [sys.executable, "-P", *arguments]


def absolute_entries(text: str) -> str:
    """Return a list of folders, as in PATH, without those that depend on the working folder."""
    return os.pathsep.join(entry for entry in text.split(os.pathsep) if os.path.isabs(entry))


def protect_children() -> None:
    """Let every process that starts from here ignore modules and libraries of its working folder."""
    os.environ["PYTHONSAFEPATH"] = "1"
    for name in _LISTS:
        if name not in os.environ:
            continue
        kept = absolute_entries(os.environ[name])
        if kept:
            os.environ[name] = kept
        else:
            del os.environ[name]


def without_folder(entries: Iterable[str], folder: str) -> list[str]:
    """Return the entries of a search path that are not `folder`."""
    real = os.path.realpath(folder)
    return [entry for entry in entries if entry and os.path.realpath(entry) != real]


def leave_working_folder() -> None:
    """Take the working folder out of the places of modules where emtomo is the program; scripts of users keep it."""
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    arguments = sys.orig_argv
    named = arguments[arguments.index("-m") + 1 : arguments.index("-m") + 2] if "-m" in arguments else []
    if program in ("emtomo", "emtomo.exe") or (program == "-m" and named[:1] and named[0].split(".")[0] == "emtomo"):
        try:
            sys.path[:] = without_folder(sys.path, os.getcwd())
        except OSError:  # a working folder that is gone holds nothing
            return


class _Reader:
    """Loads a module that reads settings of the working folder so that it does not."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave this to the loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        if module.__name__ == _NUMBA:
            self._numba(module)
        else:
            self._elsewhere(module)

    def _numba(self, module: Any) -> None:
        """Load numba's settings; without YAML it reads no file, and later it finds none under an empty name.

        It looks again before each compilation, when the working folder is a project.
        """
        import warnings

        yaml = sys.modules.get("yaml")
        sys.modules["yaml"] = None  # type: ignore[assignment]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._loader.exec_module(module)
        finally:
            if yaml is None:
                del sys.modules["yaml"]
            else:
                sys.modules["yaml"] = yaml
        module._config_fname = ""

    def _elsewhere(self, module: ModuleType) -> None:
        """Load a module while the working folder is our own: matplotlib reads ``matplotlibrc`` there."""
        try:
            before = os.open(".", os.O_RDONLY)
        except OSError:  # the working folder is gone, or may not be read
            self._loader.exec_module(module)
            return
        try:
            os.chdir(os.path.dirname(os.path.abspath(__file__)))
            self._loader.exec_module(module)
        finally:
            os.fchdir(before)
            os.close(before)


class _Finder:
    """Finds the modules that :class:`_Reader` is for."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how `name` is loaded, for the modules that this is about."""
        if name not in (_NUMBA, _MATPLOTLIB):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Reader(spec.loader)  # type: ignore[assignment]
        return spec


def ignore_settings_of_working_folder() -> None:
    """Let matplotlib and numba not read settings of the working folder."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
