"""The command line, carried out in this process: starting Python takes longer than most commands."""

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch


@dataclass
class Done:
    """What a command left: its exit status, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def emtomo(*arguments: object, cwd: Path | None = None) -> Done:
    """Carry out ``emtomo ARGUMENTS`` in a folder as its own process would."""
    from emtomo.cli import main

    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    status = 0
    try:
        os.chdir(cwd or before)
        with (
            patch.object(sys, "argv", ["emtomo", *map(str, arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os.chdir(before)
    return Done(status, out.getvalue(), err.getvalue())
