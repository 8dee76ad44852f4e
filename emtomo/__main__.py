"""Run the command line as ``python -m emtomo``."""

from emtomo.cli import main

main()
