"""Commands that measure: correlation of maps, statistics of maps and sets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emtomo.cli.arguments import Json, check_pixel_size
from emtomo.cli.output import result, result_json, say
from emtomo.engine.parameters import output_target
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError

if TYPE_CHECKING:
    import numpy as np

    from emtomo.viewers.comparison import CorrelationCurve


MAPS = 2
SHOWN = ("minimum", "low", "median", "high", "maximum", "mean", "deviation")
Png = Annotated[Path | None, typer.Option(help="Where the picture goes; none by default.")]


def fsc(
    what: Annotated[
        list[str],
        typer.Argument(metavar="A B | PROJECT RUN.output...", help="Two maps, or FSC or averages of runs."),
    ],
    mask: Annotated[Path | None, typer.Option(help="Mask for two maps, from 0 to 1.")] = None,
    pixel_size: Annotated[float | None, typer.Option(help="Å, where the maps do not say it rightly.")] = None,
    png: Png = None,
    csv: Annotated[Path | None, typer.Option(help="Where the table of the curves goes; none by default.")] = None,
    as_json: Json = False,
) -> None:
    """Correlate two maps in Fourier shells, or draw the curves of several runs on one plot."""
    from emtomo.viewers import comparison
    from emtomo.viewers.base import save

    check_pixel_size(pixel_size)
    targets = [path.absolute() if path else None for path in (png, csv)]
    notes: list[str] = []
    if _is_project(what[0]):
        if mask is not None or pixel_size is not None:
            raise EmtomoError("A mask and a pixel size are for two maps; the curves of runs have theirs.")
        curves = _curves_of_runs(Path(what[0]), what[1:])
    elif len(what) != MAPS:
        raise EmtomoError(f"Give two maps, or a project and outputs of its runs; got {len(what)} names.")
    else:
        curves, notes = comparison.correlate_maps(Path(what[0]), Path(what[1]), mask, pixel_size)
    if as_json:
        result_json([{"curve": c.name, "frequency": c.frequency.tolist(), "correlation": c.values.tolist(),
                      "summary": c.lines()[0]} for c in curves])  # fmt: skip
        for note in notes:
            say(note)
    else:
        for line in [*(line for curve in curves for line in curve.lines()), *notes]:
            result(line)
    if targets[0] is not None:
        save(comparison.draw_curves(curves), targets[0])
        say(f"Picture: {targets[0]}")
    if targets[1] is not None:
        comparison.write_table(targets[1], curves)
        say(f"Table: {targets[1]}")


def _is_project(path: str | Path) -> bool:
    """Return whether a name is that of a folder which is no image."""
    from emtomo.io.images import is_image

    return Path(path).is_dir() and not is_image(path)


def _curves_of_runs(project: Path, outputs: list[str]) -> "list[CorrelationCurve]":
    """Return the curve of each output: of an FSC its file's, of an average that of its half maps."""
    from emtomo.objects import FSC, Average
    from emtomo.viewers import comparison

    if not outputs:
        raise EmtomoError("Name outputs of the project's runs, e.g. postprocess.fsc.")
    opened = EmtomoProject.open(project)
    curves = []
    for text in outputs:
        run, name = output_target(opened, text)
        value = getattr(run, name, None)
        if isinstance(value, FSC):
            path = Path(opened.path, value.file.get())
            curves.append(comparison.read_curve(text, path, float(value.pixel_size.get() or 0)))
        elif isinstance(value, Average) and value.half1_file.get() and value.half2_file.get():
            first, second = (Path(opened.path, h.get()) for h in (value.half1_file, value.half2_file))
            (curve,), _ = comparison.correlate_maps(first, second, pixel_size=float(value.pixel_size.get()))
            curve.name = text
            curves.append(curve)
        elif value is None:
            raise EmtomoError(f"{run.getObjLabel()} is {run.getStatus()} and has not made {name}.")
        else:
            raise EmtomoError(f"{text} is neither a Fourier shell correlation nor an average with half maps.")
    return curves


def statistics(
    what: Annotated[Path, typer.Argument(metavar="FILE|PROJECT", help="A volume, or a project.")],
    output: Annotated[str, typer.Argument(metavar="RUN.output", help="In a project: a map or a set.")] = "",
    png: Png = None,
    as_json: Json = False,
) -> None:
    """Print minimum, percentiles, maximum, mean and deviation of a map or of the columns of a set; draw histograms."""
    from emtomo.compute.statistics import describe_values, sample_values
    from emtomo.viewers.base import save
    from emtomo.viewers.comparison import draw_histograms

    target = png.absolute() if png else None
    values = _values_of_output(what, output) if _is_project(what) else {_name_of(what): _voxels(what)}
    rows = []
    for name, numbers in values.items():
        try:
            rows.append({"name": name, **asdict(describe_values(numbers))})
        except EmtomoError as error:
            say(f"{name}: {error}")
    if as_json:
        result_json(rows)
    else:
        result("\t".join(["name", "count", "missing", *SHOWN]))
        for row in rows:
            cells = [str(row["name"]), str(row["count"]), str(row["missing"]), *(f"{row[key]:.6g}" for key in SHOWN)]
            result("\t".join(cells))
    if target is not None and rows:
        save(draw_histograms({row["name"]: sample_values(values[row["name"]]) for row in rows}), target)
        say(f"Picture: {target}")


def _name_of(path: Path) -> str:
    from emtomo.io.images import split_volume

    file, volume = split_volume(path)
    return f"{file.name}:{volume}" if volume else file.name


def _voxels(path: Path) -> "np.ndarray":
    from emtomo.io import images, mrc

    info = images.describe(path)
    images.check_one_volume(path, info)
    # a file that is one volume is mapped, not read
    return mrc.open_volume(path) if info.format == "mrc" and path.is_file() else images.read_any(path)


def _values_of_output(project: Path, output: str) -> "dict[str, np.ndarray]":
    """Return name → values: the voxels of a map or of each tomogram, the columns of numbers of any other set."""
    from emtomo.engine.table import TableSet
    from emtomo.objects import SetOfTomograms

    opened = EmtomoProject.open(project)
    run, name = output_target(opened, output)
    value: Any = getattr(run, name, None)
    if value is None:
        raise EmtomoError(f"{run.getObjLabel()} is {run.getStatus()} and has not made {name}.")
    if isinstance(value, SetOfTomograms):
        frame = value.frame(["tomogram_id", "file"])
        return {str(t): _voxels(Path(opened.path, f)) for t, f in frame.itertuples(index=False)}
    if isinstance(value, TableSet):
        columns = value.frame().select_dtypes("number")
        if not len(columns):
            raise EmtomoError(f"{output} is an empty set.")
        return {str(c): columns[c].to_numpy(float) for c in columns}
    return {output: _voxels(Path(opened.path, value.file.get()))}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for verb in (fsc, statistics):
        app.command()(verb)
