"""Where two runs differ in their parameters."""

from emtomo.engine.project import EmtomoProject
from emtomo.engine.run_reading import check_known
from emtomo.gui.core.run_actions import details


def differences(project: EmtomoProject, one: int, other: int) -> list[tuple[str, str, str]]:
    """Return (parameter, value in the first run, value in the second) for all that differ."""
    for i in (one, other):
        check_known(project.find(str(i)))
    a, b = details(project, one), details(project, other)
    names = list(dict.fromkeys([*a.parameters, *b.parameters]))
    labels = {**b.labels, **a.labels}
    rows = [(labels.get(n) or n, a.parameters.get(n, "–"), b.parameters.get(n, "–")) for n in names]
    return [row for row in rows if row[1] != row[2]]
