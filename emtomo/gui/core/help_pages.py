"""Where the documentation is: the site that was built, else the pages of the source, else those installed."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = (
    ("directional_picking", "Directional picking: membranes to an average"),
    ("non_directional_picking", "Picking without directions"),
    ("refinement", "Refinement of subtomograms"),
    ("single_particles", "Single particles: micrographs to a model"),
    ("pose_refinement", "Pose refinement on tilt series"),
    ("multi_particle_refinement", "Multi-particle refinement"),
)
GUIDE = (
    ("windows", "The windows"),
    ("protocols/README", "Protocols"),
    ("command_line", "The command line"),
    ("formats", "Files of other programs"),
    ("conventions", "Conventions"),
    ("clusters", "More than one machine"),
    ("glossary", "Glossary"),
)


@dataclass(frozen=True)
class Page:
    """A page of the documentation: its title, and its file; None where the documentation is not installed."""

    title: str
    file: Path | None


def find_page(name: str, root: Path = ROOT, installed: Path = INSTALLED) -> Path | None:
    """Return the file of a page, of the built site if there is one; None if there is none on this machine."""
    for path in (root / "site" / f"{name}.html", root / "docs" / f"{name}.md", installed / f"{name}.md"):
        if path.is_file():
            return path
    return None


def tutorials(root: Path = ROOT, installed: Path = INSTALLED) -> list[Page]:
    """Return the tutorials in the order in which they are best read."""
    return [Page(title, find_page(f"tutorials/{name}", root, installed)) for name, title in TUTORIALS]


def guide(root: Path = ROOT, installed: Path = INSTALLED) -> list[Page]:
    """Return the pages about the program itself."""
    return [Page(title, find_page(name, root, installed)) for name, title in GUIDE]


def follow_link(page: Path, target: str) -> Path | None:
    """Return the page that a link of another one leads to; None for one that is not here or elsewhere.

    Parameters
    ----------
    page : Path
    target : str
        As the link says, with or without the place in the page.
    """
    name = target.split("#")[0]
    if not name or "://" in name:
        return None
    file = (page.parent / name).resolve()
    return file if file.suffix == ".md" and file.is_file() else None
