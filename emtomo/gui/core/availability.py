"""Which actions of the project window apply to the runs that are selected."""

from collections.abc import Callable, Sequence

from emtomo.gui.core.runs import Run

Rule = Callable[[Sequence[Run]], bool]


def _any_selected(runs: Sequence[Run]) -> bool:
    return bool(runs)


def _can_go(runs: Sequence[Run]) -> bool:
    return bool(runs) and not any(run.status in ("launched", "running") for run in runs)


def _none_active(runs: Sequence[Run]) -> bool:
    return bool(runs) and not any(run.active for run in runs)


def _has_begun(runs: Sequence[Run]) -> bool:
    return _none_active(runs) and any(run.status != "saved" for run in runs)


def _is_active(runs: Sequence[Run]) -> bool:
    return any(run.active for run in runs)


def _has_results(runs: Sequence[Run]) -> bool:
    return any(not output.pending for run in runs[:1] for output in run.outputs)


def _single(runs: Sequence[Run]) -> bool:
    return len(runs) == 1


def _pair(runs: Sequence[Run]) -> bool:
    return len(runs) == 2


_RULES: dict[str, Rule] = {
    "edit": _any_selected, "run": _none_active, "stop": _is_active, "view": _has_results, "curves": _any_selected,
    "restart": _has_begun, "copy": _any_selected, "rename": _single, "delete": _can_go, "compare": _pair,
    "select below": _any_selected, "update below": _any_selected, "open folder": _any_selected,
    "copy methods": _any_selected,
}  # fmt: skip


def applies(action: str, selected: Sequence[Run]) -> bool:
    """Return whether an action can do anything with the runs that are selected; actions on none always can."""
    rule = _RULES.get(action)
    return rule is None or rule(selected)
