"""Environment variables that pyworkflow reads when it is first imported.

``pyworkflow.Config`` evaluates ``os.environ`` while its class body runs, so
:func:`prepare` must come before the first ``import pyworkflow``. The variables
are inherited by the processes of the runs.
"""

import os
import sys
from pathlib import Path
from typing import Any

from emtomo.isolation import protect_children

HERE = Path(__file__).parent
CLOSED = "http://127.0.0.1:9"


def user_folder() -> Path:
    """Return the folder for emtomo's own settings of this user (``~/.config/emtomo``)."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "emtomo"


def prepare() -> bool:
    """Set what pyworkflow needs; return False as a guest in somebody else's Scipion.

    As a guest nothing is touched: the host's Domain, Python and settings stay.
    """
    domain = os.environ.get("SCIPION_DOMAIN")
    if domain not in (None, "", "emtomo") or "pwem" in sys.modules:
        return False
    protect_children()
    os.environ.pop("SCIPION_SCRATCH", None)  # runs would have links out of their folders
    folder = user_folder()
    hosts = folder / "hosts.conf"
    os.environ.update(
        SCIPION_DOMAIN="emtomo",
        SCIPION_PYTHON=sys.executable,
        SCIPION_NOTIFY="False",
        SCIPION_SITE=CLOSED,
        SCIPION_PLUGIN_REPO_URL=f"{CLOSED}/",
    )
    defaults = {
        "SCIPION_USER_DATA": folder / "data",
        "SCIPION_SOFTWARE": folder / "software",
        "SCIPION_CONFIG": folder / "emtomo.conf",
        "SCIPION_HOSTS": hosts if hosts.exists() else HERE / "hosts.conf",
        "SCIPION_PROTOCOLS": HERE / "protocols.conf",
        "SCIPION_LOGS": folder / "logs",
        "VIRTUAL_ENV": sys.prefix,
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, str(value))
    if "pyworkflow" in sys.modules:
        _amend(sys.modules["pyworkflow"])
    return True


def _amend(pyworkflow: Any) -> None:
    """Set the same in a pyworkflow that somebody imported before us."""
    config = pyworkflow.Config
    for name in ("SCIPION_DOMAIN", "SCIPION_HOSTS", "SCIPION_USER_DATA", "SCIPION_LOGS", "SCIPION_SOFTWARE"):
        setattr(config, name, os.environ[name])
    config.SCIPION_LOCAL_CONFIG = config.SCIPION_CONFIG = os.environ["SCIPION_CONFIG"]
    config.SCIPION_NOTIFY = False
    config.SCIPION_SITE = CLOSED
    config.SCIPION_STATS_WORKFLOW_APP = config.SCIPION_STATS_SUGGESTION = f"{CLOSED}/"
