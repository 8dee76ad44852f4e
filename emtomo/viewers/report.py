"""A project as one HTML file that opens without a network."""

import base64
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup
from pyworkflow.object import Set
from pyworkflow.protocol import Protocol

from emtomo.compute.fourier.shell_correlation import resolution_text
from emtomo.engine.damage import damage_of_run
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.protocol import FINGERPRINT
from emtomo.engine.provenance import parameters_of, read_provenance
from emtomo.engine.run_folder import is_own_file
from emtomo.engine.run_reading import protocol_name
from emtomo.errors import EmtomoError, one_line, plain_text
from emtomo.gui.core.shown import viewers_for
from emtomo.objects import Average, Population, Species
from emtomo.version import __version__
from emtomo.viewers.graph import workflow_svg
from emtomo.viewers.pictures import has_picture, picture_of_output

PUBLISHED = (
    "Published for M on apoferritin (EMPIAR-10491, Warp's documentation; other data, other errors): 8.0 Å before, "
    "3.6 Å after image warps, poses and defocus (ratio 0.45), 3.1 Å when repeated (0.39)."
)


def write_report(project: EmtomoProject, path: Path, *, notes: list[str] | None = None) -> None:
    """Write the report of `project` under a temporary name, then rename it to `path`.

    Parameters
    ----------
    project : EmtomoProject
    path : Path
    notes : list of str, optional
        Sentences shown at the top, e.g. the comparison with a known truth.
    """
    runs = [run for run in project.runs_now() if hasattr(run, "outputs")]
    rows = resolution_rows(runs)
    environment = Environment(
        loader=PackageLoader("emtomo", "viewers"),
        autoescape=select_autoescape(default=True),
        finalize=lambda value: plain_text(value) if type(value) is str else value,
    )
    with tempfile.TemporaryDirectory() as folder:
        text = environment.get_template("report.html.jinja").render(
            title=project.getShortName(),
            version=__version__,
            notes=notes or [],
            svg=Markup(workflow_svg(runs)),
            runs=[_rows_or_problem(run, Path(folder)) for run in runs],
            resolutions=rows,
            ratios=any(row["ratio"] for row in rows),
            published=PUBLISHED,
        )
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf8")
    part.replace(path)


def resolution_rows(runs: list[Protocol]) -> list[dict[str, str]]:
    """Return the averages of all runs with their resolutions, in the order in which the runs were made.

    From the first multi-particle refinement on with the ratio to the resolution of the first species.
    """
    rows: list[dict[str, str]] = []
    first, together = 0.0, False
    for run in runs:
        outputs = run.outputs()
        refined = any(isinstance(value, Population) for value in outputs.values())
        for name, value in outputs.items():
            if not isinstance(value, Average) or not run.isFinished():
                continue
            pixel, reached = float(value.pixel_size.get() or 0), float(value.resolution.get() or 0)
            if isinstance(value, Species):
                first = first or reached
                continue
            together = together or refined
            rows.append(
                {
                    "id": run.getObjId(),
                    "label": run.getObjLabel() + ("" if name == "average" else f" ({name})"),
                    "particles": str(value.particles.get() or ""),
                    "symmetry": str(value.symmetry.get() or ""),
                    "pixel_size": f"{pixel:.4g} Å",
                    "resolution": resolution_text(reached, pixel) if reached else "none",
                    "ratio": f"{reached / first:.2f}" if together and first and reached else "",
                }
            )
    return rows


def _rows_or_problem(run: Protocol, folder: Path) -> dict[str, Any]:
    """Return what is shown of a run; of one that is damaged, what is wrong."""
    try:
        return {**_run_rows(run, folder), "problems": damage_of_run(run)}
    except (EmtomoError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {
            "id": run.getObjId(), "label": run.getObjLabel(), "protocol": run.getClassName(), "status": run.getStatus(),
            "error": f"cannot be shown: {one_line(error)}", "seconds": None, "started": "", "parameters": {},
            "summary": [], "citations": [], "pictures": [], "problems": damage_of_run(run),
        }  # fmt: skip


def _run_rows(run: Protocol, folder: Path) -> dict[str, Any]:
    provenance = read_provenance(run._getPath())
    citations = list(getattr(run, "CITATIONS", ()))
    return {
        "id": run.getObjId(),
        "label": run.getObjLabel(),
        "protocol": protocol_name(run),
        "status": run.getStatus(),
        "error": error_of(run) if run.isFailed() else "",
        "seconds": provenance.get("seconds"),
        "started": provenance.get("started", ""),
        "parameters": {k: v for k, v in parameters_of(run).items() if v not in (None, "", [])},
        "summary": run._summary() if run.isFinished() else [],
        "citations": citations,
        "pictures": [_picture(run, name, folder, key) for name, key in _pictures_of(run)],
    }


def _pictures_of(run: Protocol) -> list[tuple[str, str]]:
    """Return outputs with the keys of their viewers: the first of each, and those that say how well a run worked."""
    out = []
    for name, value in run.outputs().items():
        if has_picture(value):
            more = [v for v in viewers_for(value) if v.IN_REPORT and v.suits(Path(run._getPath()))]
            out += [(name, ""), *((name, viewer.KEY) for viewer in more)]
    return out


def _picture(run: Protocol, name: str, folder: Path, viewer: str = "") -> dict[str, str]:
    """Return name and data of a picture; a picture that cannot be drawn tells why instead."""
    called = f"{name}_{viewer}" if viewer else name
    try:
        kept = Path(run._getPath("pictures", f"{called}.png"))
        shown = kept
        if not _is_newer(kept, run, name):
            shown = folder / f"{run.getObjId()}_{called}.png"
            picture_of_output(run, name, shown, viewer)
            _keep(shown, kept)
        data = shown.read_bytes()
    except (EmtomoError, OSError) as error:
        return {"name": called, "data": "", "problem": str(error)}
    return {"name": called, "data": base64.b64encode(data).decode("ascii"), "problem": ""}


def _is_newer(picture: Path, run: Protocol, name: str) -> bool:
    """Return whether a picture that was kept is newer than all that the run has made, and the program that drew it."""
    if not is_own_file(picture):
        return False
    output = getattr(run, name)
    file = output.getFileName() if isinstance(output, Set) else getattr(getattr(output, "file", None), "get", str)()
    made = [run.getDbPath(), run._getExtraPath(FINGERPRINT), __file__, *([file] if file else [])]
    drawn = picture.stat().st_mtime_ns
    return all(Path(one).stat().st_mtime_ns <= drawn for one in made if Path(one).exists())


def _keep(drawn: Path, picture: Path) -> None:
    """Keep a picture in the run's folder for the next report; without room, or leave to write, it is drawn again."""
    with contextlib.suppress(OSError):
        picture.parent.mkdir(exist_ok=True)
        part = picture.with_name(f"{picture.name}.part")
        part.unlink(missing_ok=True)  # a link would be followed
        shutil.copyfile(drawn, part)
        part.replace(picture)
