"""Verbs on files of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from emtomo.cli.arguments import check_pixel_size
from emtomo.cli.output import result, say
from emtomo.engine.parameters import output_target
from emtomo.engine.project import EmtomoProject
from emtomo.errors import EmtomoError

Source = Annotated[Path, typer.Argument(metavar="IN", help="A file, or a folder of files with particles.")]
Target = Annotated[Path, typer.Argument(metavar="OUT", help="What to write; the ending says the format.")]


def convert(
    source: Source,
    target: Target,
    kind: Annotated[str, typer.Option("--from", help="Format of IN; by default recognised by content.")] = "auto",
    to: Annotated[str, typer.Option("--to", help="Format of OUT; by default by its ending.")] = "auto",
    pixel_size: Annotated[float | None, typer.Option(help="Å per voxel of the positions in IN.")] = None,
    table_map: Annotated[Path | None, typer.Option(help="Dynamo's .doc with the names of the tomograms.")] = None,
    tomograms: Annotated[
        Path | None, typer.Option(help="Sizes: tomograms.star, a Scipion set, a tomogram or a folder of them.")
    ] = None,
    angles: Annotated[
        str, typer.Option(help="Last three of six columns of text: normals, relion, dynamo or motl.")
    ] = "normals",
    origin_offset: Annotated[float, typer.Option(help="Index of the first voxel in IN: 0, or 1.")] = 0.0,
    box_size: Annotated[int, typer.Option(help="Voxels, for formats that hold it.")] = 32,
    dataset: Annotated[
        str, typer.Option(help="Which of several volumes in IN: number from 1, or name; IN:2 says it too.")
    ] = "",
) -> None:
    """Convert particles, alignments and CTFs of tilt series, or images between programs."""
    from emtomo.io import convert as work
    from emtomo.io import images, tilt_formats
    from emtomo.io.recognise import recognise

    _check_place(target)
    check_pixel_size(pixel_size)
    file, dataset = images.split_volume(source, dataset)
    known = recognise(file) if kind == "auto" and file.is_file() else kind
    if known in tilt_formats.FORMATS or to in tilt_formats.FORMATS:
        from emtomo.io.convert_tilts import convert_tilts

        done = convert_tilts(source, target, kind=known, to=to, pixel_size=pixel_size, tomograms=tomograms)
    elif known in images.FORMATS or file.suffix == ".zarr":
        from emtomo.io.convert_images import convert_image

        done = convert_image(file, target, pixel_size=pixel_size, volume=dataset)
    else:
        done = work.convert_particles(
            source, target, kind=kind, to=to, pixel_size=pixel_size, table_map=table_map, tomograms=tomograms,
            angles=angles, origin_offset=origin_offset, box_size=box_size,
        )  # fmt: skip
    _tell(done.lines, done.files)


def dynamo2warp(
    table: Annotated[Path, typer.Option("-i", "--input-table-file", help="Dynamo table.")],
    table_map: Annotated[Path, typer.Option("-tm", "--table-map-file", help="Table map (.doc).")],
    output: Annotated[Path, typer.Option("-o", "--output-star-file", help="STAR file to write.")],
) -> None:
    """Write a Dynamo table as the STAR file that Warp extracts subtomograms from."""
    from emtomo.io.convert import dynamo_to_warp

    _check_place(output)
    done = dynamo_to_warp(table, table_map, output)
    _tell(done.lines, done.files)


def relion_star_downgrade(
    star_file: Annotated[Path, typer.Option("-s", "--star-file", help="Particles of RELION 3.1.")],
) -> None:
    """Write a RELION 3.1 STAR file as RELION 3.0's beside it."""
    from emtomo.io.convert import downgrade

    done = downgrade(star_file)
    _tell(done.lines, done.files)


def export(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")],
    output: Annotated[str, typer.Argument(metavar="RUN.output", help="What to write.")],
    target: Target,
    format: Annotated[str, typer.Option("--format", help="By default by the ending of OUT.")] = "auto",
) -> None:
    """Write an output of a run as a file of another program."""
    from emtomo.objects.exchange import export_output

    _check_place(target)
    place = target.absolute()
    opened = EmtomoProject.open(project)
    run, name = output_target(opened, output)
    done = export_output(run, name, place, format)
    _tell(done.lines, done.files)


def _check_place(target: Path) -> None:
    """Say before any work that there is no folder to write into."""
    if not target.absolute().parent.is_dir():
        raise EmtomoError(f"There is no folder {target.absolute().parent} to write into.")


def _tell(lines: list[str], files: list[Path]) -> None:
    for line in lines:
        say(line)
    for path in files:
        result(str(path))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for verb in (convert, dynamo2warp, relion_star_downgrade, export):
        app.command()(verb)
