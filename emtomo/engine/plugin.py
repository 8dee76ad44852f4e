"""What pyworkflow asks of a plugin: its domain and its variables."""

from typing import Any, ClassVar

from pyworkflow.object import Object
from pyworkflow.plugin import Domain as PyworkflowDomain
from pyworkflow.plugin import Plugin as PyworkflowPlugin
from pyworkflow.protocol import Protocol
from pyworkflow.viewer import Viewer
from pyworkflow.wizard import Wizard

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported


class Domain(PyworkflowDomain):
    """The registry of emtomo's objects and protocols.

    The dictionaries are its own: those of the base class are shared by every
    Domain of the process.
    """

    _name = "emtomo"
    _objectClass = Object
    _protocolClass = Protocol
    _viewerClass = Viewer
    _wizardClass = Wizard
    _baseClasses: ClassVar[dict[str, Any]] = {}
    _plugins: ClassVar[dict[str, Any]] = {}
    _protocols: ClassVar[dict[str, Any]] = {}
    _objects: ClassVar[dict[str, Any]] = {}
    _viewers: ClassVar[dict[str, Any]] = {}
    _wizards: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _discoverPlugins(cls) -> None:
        """Register emtomo and the plugins of its own entry-point group, nothing of a Scipion nearby."""
        from importlib.metadata import entry_points

        names = {point.name for point in entry_points(group="emtomo.plugin")} | {"emtomo"}
        for name in sorted(names):
            cls.registerPlugin(name)


class Plugin(PyworkflowPlugin):
    """emtomo needs no variables and installs no binaries."""

    __module__ = "emtomo"  # pyworkflow finds the package folder by it
    _homeVar = ""
    _url = "emtomo"

    @classmethod
    def _defineVariables(cls) -> None:
        pass

    @classmethod
    def getEnviron(cls) -> None:
        """Return None: programs started by a run inherit the environment as it is."""

    @classmethod
    def defineBinaries(cls, env: Any) -> None:
        """Install nothing: emtomo is pure Python."""
