"""The ``emtomo`` command: thin commands over engine, io and viewers.

Exit status: 0 done, 1 a run failed, 2 bad usage. Messages go to stderr, results to stdout.
"""

import sqlite3
import sys
from typing import Annotated

import typer

import emtomo.engine
from emtomo.cli import demo, doctor, files, logs, manage, measure, protocols, results, runs, windows
from emtomo.cli.arguments import ProjectAnywhere
from emtomo.errors import EmtomoError, is_full, one_line

app = typer.Typer(
    name="emtomo",
    help="From tilt series, tomograms or micrographs to oriented particles, a refined average and its resolution.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (demo, runs, manage, logs, protocols, files, results, measure, windows, doctor):
    module.add_to(app)
for command in app.registered_commands:
    command.cls = ProjectAnywhere


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emtomo {emtomo.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From tilt series, tomograms or micrographs to oriented particles, a refined average and its resolution."""


def main() -> None:
    """Run the command line; an error of the user's making is one sentence and exit status 2."""
    try:
        app()
    except EmtomoError as error:
        print(f"emtomo: {one_line(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        if not is_full(error):
            raise
        print("emtomo: The disk is full; nothing is lost: make room, then give the command again.", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print("emtomo: stopped watching; runs that have started go on.", file=sys.stderr)  # noqa: T201
        sys.exit(130)
