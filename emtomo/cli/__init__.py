"""The ``emtomo`` command: thin verbs over engine, io and viewers.

Exit status: 0 done, 1 a run failed, 2 bad usage. Messages go to stderr, results to stdout.
"""

import sys

import typer

import emtomo.engine  # noqa: F401  the environment must be prepared before pyworkflow is imported
from emtomo.cli import demo, doctor, files, protocols, results, runs, windows
from emtomo.errors import EmtomoError, one_line

app = typer.Typer(
    name="emtomo",
    help="From tomograms to oriented particles and their average.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (demo, runs, protocols, files, results, windows, doctor):
    module.add_to(app)


def main() -> None:
    """Run the command line; an error of the user's making is one sentence and exit status 2."""
    try:
        app()
    except EmtomoError as error:
        print(f"emtomo: {one_line(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except KeyboardInterrupt:
        print("emtomo: stopped watching; runs that have started go on.", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
