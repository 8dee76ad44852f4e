"""The verb that shows everything at once on data with a known truth."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtomo.cli.output import Watcher, result, say
from emtomo.engine.parameters import protocol_named, set_parameters
from emtomo.engine.project import EmtomoProject, error_of
from emtomo.engine.runner import run_all
from emtomo.engine.templates import add_workflow, read_template
from emtomo.errors import ProjectError

if TYPE_CHECKING:
    import pandas as pd


def demo(
    project: Annotated[Path, typer.Option(help="Folder for the project; must not exist.")] = Path("emtomo-demo"),
    seed: Annotated[int, typer.Option(help="Of the simulated sample.")] = 1,
) -> None:
    """Simulate a tomogram, run the directional workflow on it, compare with the truth, write report.html."""
    from emtomo.cli.truth import compare
    from emtomo.viewers.report import write_report

    started = time.time()
    folder = Path.cwd()
    opened = EmtomoProject.start(project)
    home = Path(opened.path)
    say("Simulating a tomogram with vesicles that carry membrane proteins ...")
    simulation = opened.new_run(protocol_named("simulate-tomograms"), "simulate")
    set_parameters(opened, simulation, {"seed": str(seed)}, folder)
    opened.saveProtocol(simulation)
    _run(opened, [simulation.getObjId()])
    simulation = opened.find("simulate")
    points = home / "points.csv"
    write_points(simulation.meshes.frame(), points)
    tomogram = home / simulation.tomograms.frame()["file"].iloc[0]
    size = simulation.tomograms.pixel_size.get()
    say("Running the directional workflow: import, bin, denoise, pick, model, extract, average ...")
    values = {"tomograms": str(tomogram), "points": str(points), "pixel_size": f"{size:g}"}
    made = add_workflow(opened, read_template("directional_picking"), values, folder)
    _run(opened, [run.getObjId() for run in made])
    notes = compare(opened, simulation)
    report = home / "report.html"
    write_report(opened, report, notes=notes)
    say(f"\nDone in {time.time() - started:.0f} s. Compared with the truth:")
    for note in notes:
        say(f"    {note}")
    average = opened.find("average").average.file.get()
    result(f"project  {home}")
    result(f"points   {points}")
    result(f"average  {home / average}")
    result(f"report   {report}")
    say(f"\nLook at it with the mouse: emtomo gui {project}")


def write_points(frame: "pd.DataFrame", path: Path) -> None:
    """Write points as the CSV file that ``pick-vectorial`` reads."""
    columns = ["tomogram_id", "group", "x", "y", "z", "role", "model"]
    part = path.with_name(path.name + ".part")
    frame[columns].to_csv(part, index=False, float_format="%.2f")
    part.replace(path)


def _run(opened: EmtomoProject, ids: list[int]) -> None:
    with Watcher(ids) as look:
        states = run_all(opened, ids, on_change=look)
    for i, state in states.items():
        if state != "finished":
            run = opened.find(str(i))
            raise ProjectError(f"The demo stopped: {run.getObjLabel()} {state}: {error_of(run)}")


def add_to(app: typer.Typer) -> None:
    """Add the verb of this module to the command."""
    app.command()(demo)
