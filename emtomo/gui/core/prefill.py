"""Which output a new form starts from: the one that somebody who selected a run means."""

from collections.abc import Iterable

from emtomo.gui.core.catalogue import STAGES
from emtomo.gui.core.runs import Run, RunOutput, descendants

PICKING = (*STAGES["Directional picking"], *STAGES["Picking"])
DENOISING = "denoise-tomograms"
TOMOGRAMS = "SetOfTomograms"


def ancestors(runs: dict[int, Run], ids: Iterable[int]) -> set[int]:
    """Return the runs above `ids`, those themselves left out."""
    start = set(ids)
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        run = runs.get(waiting.pop())
        new = set(run.parents) - found if run is not None else set()
        found |= new
        waiting += new
    return found - start


def is_denoised(output: RunOutput, runs: dict[int, Run]) -> bool:
    """Return whether tomograms were denoised: they are for eyes, not for averages."""
    if TOMOGRAMS not in output.kinds:
        return False
    line = {output.run, *ancestors(runs, [output.run])}
    return any(runs[i].protocol == DENOISING for i in line if i in runs)


def choose_output(
    protocol: str, candidates: list[RunOutput], runs: dict[int, Run], selected: Iterable[int]
) -> RunOutput | None:
    """Return the output that a new run of `protocol` most likely takes.

    That is the latest one, of those that are made already, at or below the selected runs, else the latest above them;
    without a selection the latest of all. Denoised tomograms are taken for picking alone, unless there are no others.

    Parameters
    ----------
    protocol : str
    candidates : list of RunOutput
        Those of the right kind.
    runs : dict
    selected : iterable of int
    """
    wanted = [o for o in candidates if protocol in PICKING or not is_denoised(o, runs)] or candidates
    chosen = {i for i in selected if i in runs}
    if not chosen:
        return max(wanted, key=_rank, default=None)
    for line in ({*chosen, *descendants(runs, chosen)}, ancestors(runs, chosen)):
        found = [o for o in wanted if o.run in line]
        if found:
            return max(found, key=_rank)
    return wanted[0] if len(wanted) == 1 else None


def choose_before_denoising(
    protocol: str, candidates: list[RunOutput], runs: dict[int, Run], particles: int
) -> RunOutput | None:
    """Return the tomograms from which boxes are cut of particles that were picked in denoised ones.

    None where they were not: then they are cut from the tomograms in which they were picked.

    Parameters
    ----------
    protocol : str
    candidates : list of RunOutput
        Tomograms.
    runs : dict
    particles : int
        The run that made the particles.
    """
    line = ancestors(runs, [particles])
    if not any(runs[i].protocol == DENOISING for i in line if i in runs):
        return None
    return choose_output(protocol, [o for o in candidates if o.run in line], runs, [particles])


def other_picks(candidates: list[RunOutput], runs: dict[int, Run], output: RunOutput) -> list[RunOutput]:
    """Return what other pickers have found where those of `output` were found: the latest of each picking run.

    Pickers that stand above or below one another are not two opinions; only runs with a common ancestor are taken.

    Parameters
    ----------
    candidates : list of RunOutput
        Coordinates.
    runs : dict
    output : RunOutput
        The picks that the consensus begins with.
    """
    above = ancestors(runs, [output.run])
    line = {output.run, *above, *descendants(runs, [output.run])}
    found: dict[int, RunOutput] = {}
    for one in candidates:
        run = runs[one.run]
        if one.run not in line and run.protocol in PICKING and not one.pending and above & ancestors(runs, [one.run]):
            found.setdefault(one.run, one)
    return [found[i] for i in sorted(found) if not any(i in ancestors(runs, [other]) for other in found)]


def _rank(output: RunOutput) -> tuple[bool, int]:
    return not output.pending, output.run
