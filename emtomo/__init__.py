"""emtomo: from tomograms to oriented particles, a subtomogram average and an honest resolution.

Importing this package is cheap and pulls in no engine: the names that
pyworkflow looks for (``Plugin``, ``Domain``) are loaded on first use.
"""

from emtomo.isolation import ignore_settings_of_working_folder, leave_working_folder

leave_working_folder()  # before anything else is imported
ignore_settings_of_working_folder()

from typing import Any  # noqa: E402

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Plugin", "Domain"):
        from emtomo.engine import plugin

        return getattr(plugin, name)
    raise AttributeError(f"module 'emtomo' has no attribute {name!r}")
