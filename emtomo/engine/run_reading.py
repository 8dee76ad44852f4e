"""Read single runs of a project, with those above them: to build all of them takes longer the more there are."""

from collections.abc import Iterable
from sqlite3 import Connection

from pyworkflow.mapper.sqlite import SqliteMapper
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.protocol import LegacyProtocol

from emtomo.errors import ProjectError, hint, one_line, plain_text

ROOT = "CASE WHEN parent_id IS NULL THEN id ELSE CAST(name AS INTEGER) END"  # names of parts: "run.part.part"


def whole_objects(mapper: SqliteMapper) -> list[tuple[int, str]]:
    """Return ids and labels of what belongs to no other object of a project, runs above all."""
    rows = mapper.db.connection.execute("SELECT id, label FROM Objects WHERE parent_id IS NULL ORDER BY id")
    return [(int(i), str(label or "")) for i, label in rows]


def id_of_run(mapper: SqliteMapper, name: str) -> int | None:
    """Return the id of the first object of a project with the id or the label `name`; None where there is none."""
    return next((i for i, label in whole_objects(mapper) if name in (str(i), label, one_line(label))), None)


def no_run(name: str, runs: list[Protocol]) -> ProjectError:
    """Return the error that says that a project of these runs has none of that id or label."""
    if not runs:
        return ProjectError(f"There is no run {name!r}: this project has no runs.")
    known = ", ".join(f"{run.strId()} ({run.getObjLabel()})" for run in runs)
    like = hint(name, [run.getObjLabel() for run in runs])
    return ProjectError(f"There is no run {name!r} in this project{like}; its runs are: {known}.")


def is_known(run: Protocol) -> bool:
    """Return whether this version has the protocol that made a run."""
    return not isinstance(run, LegacyProtocol)


def protocol_name(run: Protocol) -> str:
    """Return the name of a run's protocol for users."""
    return str(getattr(run, "NAME", run.getClassName())) if is_known(run) else "unknown protocol"


def unknown_sentence(run: Protocol) -> str:
    """Return what users read of a run whose protocol this version does not have."""
    return (
        f"{one_line(run.getObjLabel())} was made by a protocol that this version does not know: a newer version of "
        "emtomo, or a plugin that is not installed, made it. Its files stay as they are; the run cannot be "
        "changed or started here."
    )


def check_known(run: Protocol) -> None:
    """Raise ProjectError if this version has no such protocol: stored again, the run would lose what it is."""
    if not is_known(run):
        raise ProjectError(unknown_sentence(run))


def read_runs(mapper: SqliteMapper, ids: Iterable[int]) -> list[Protocol]:
    """Build the runs `ids` and those above them anew, as the engine builds all runs at once.

    Parameters
    ----------
    mapper : SqliteMapper
        Of the project. What it has built before is forgotten: other processes may have changed it since.
    ids : iterable of int

    Returns
    -------
    list of Protocol
        Without those that are not there.
    """
    chosen = _with_parents(mapper.db.connection, ids)
    listed = ", ".join(str(i) for i in sorted(chosen))
    mapper.objDict = {}
    # whole objects first: a pointer finds what it points to, however long the chain
    command = f"{mapper.db.SELECT} WHERE id > 0 AND {ROOT} IN ({listed}) ORDER BY parent_id, id"
    made = [mapper._getObjectFromRow(row) for row in mapper.db.connection.execute(command).fetchall()]
    return [one for one in made if isinstance(one, Protocol)]


def _with_parents(db: Connection, ids: Iterable[int]) -> set[int]:
    """Return the ids of runs and of all that they point to or wait for, directly or not."""
    parts = db.execute(
        f"SELECT {ROOT}, value FROM Objects WHERE value IS NOT NULL "
        "AND (classname = 'Pointer' OR (classname = 'CsvList' AND name LIKE '%.\\_prerequisites' ESCAPE '\\'))"
    )
    targets: dict[int, set[int]] = {}
    for run, value in parts:
        numbers = (int(one) for one in str(value).split(",") if one.strip().isdecimal())
        targets.setdefault(run, set()).update(numbers)
    listed = ", ".join(str(i) for i in set[int]().union(*targets.values()))
    roots = dict(db.execute(f"SELECT id, {ROOT} FROM Objects WHERE id IN ({listed})").fetchall())
    above = {run: {roots[i] for i in some if i in roots} for run, some in targets.items()}
    chosen, fresh = set[int](), set(ids)
    while fresh:
        chosen |= fresh
        fresh = set[int]().union(*(above.get(i, ()) for i in fresh)) - chosen
    return chosen


def clean_words(run: Protocol) -> None:
    """Make the label of a run one line, and label and comment text without codes of terminals."""
    label, comment = str(run.getObjLabel() or ""), str(run.getObjComment() or "")
    if one_line(label) != label.strip():
        run.setObjLabel(one_line(label))
    if plain_text(comment) != comment:
        run.setObjComment(plain_text(comment))
