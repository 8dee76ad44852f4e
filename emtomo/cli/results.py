"""Verbs that show results."""

from pathlib import Path
from typing import Annotated

import typer

from emtomo.cli.arguments import check_pixel_size
from emtomo.cli.output import result, say
from emtomo.engine.parameters import output_target
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError


def view(
    what: Annotated[Path, typer.Argument(metavar="FILE|PROJECT", help="A volume, a file of points, or a project.")],
    output: Annotated[str, typer.Argument(metavar="RUN.output", help="In a project: what to show.")] = "",
    png: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("view.png"),
    on: Annotated[Path | None, typer.Option(metavar="TOMOGRAM", help="Draw the points of FILE on this.")] = None,
    viewer: Annotated[str, typer.Option(help="How to draw an output of a run, e.g. 3d, scores, table.")] = "",
    pixel_size: Annotated[float | None, typer.Option(help="With --on: Å per voxel of the positions in FILE.")] = None,
    tomogram: Annotated[str, typer.Option(metavar="NAME", help="In a project: which one; the first if empty.")] = "",
    index: Annotated[int | None, typer.Option("--slice", metavar="N", help="Which xy slice, counted from 0.")] = None,
) -> None:
    """Draw a picture of a volume, of an output of a run, or of a file of points on a tomogram."""
    from emtomo.io.images import is_image
    from emtomo.viewers.pictures import picture_of_file, picture_of_output, picture_of_slice

    target = png.absolute()
    check_pixel_size(pixel_size)
    if on is not None:
        from emtomo.viewers.points import picture_of_points

        say(picture_of_points(what, on, target, pixel_size))
    elif not is_image(what) and what.is_dir():
        opened = EmtomoProject.open(what)
        run, name = output_target(opened, output)
        if (tomogram or index is not None) and viewer:
            raise EmtomoError("A slice of a tomogram (--tomogram, --slice) is drawn without --viewer.")
        if tomogram or index is not None:
            picture_of_slice(run, name, target, tomogram, index)
        else:
            picture_of_output(run, name, target, viewer)
    elif tomogram:
        raise EmtomoError("--tomogram names one of a project's tomograms; a file is one of its own.")
    else:
        picture_of_file(what, target, index)
    say("Picture written.")
    result(str(target))


def report(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write one HTML file about the project: workflow, runs, parameters, pictures."""
    from emtomo.viewers.report import write_report

    target = output.absolute()
    write_report(EmtomoProject.open(project), target)
    result(str(target))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(view)
    app.command()(report)
