"""Where the documentation is: the site that was built, else its pages, else the place where they are kept."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TUTORIALS = (
    ("directional_picking", "Directional picking: membranes to an average"),
    ("non_directional_picking", "Picking without directions"),
    ("refinement", "Refinement of subtomograms"),
    ("single_particles", "Single particles: micrographs to a model"),
    ("pose_refinement", "Pose refinement on tilt series"),
    ("multi_particle_refinement", "Multi-particle refinement"),
)


@dataclass(frozen=True)
class Page:
    """A page of the documentation: its title, and its file; None where the documentation is not installed."""

    title: str
    file: Path | None


def find_page(name: str, root: Path = ROOT) -> Path | None:
    """Return the file of a page, of the built site if there is one; None if there is none on this machine."""
    for path in (root / "site" / f"{name}.html", root / "docs" / f"{name}.md"):
        if path.is_file():
            return path
    return None


def tutorials(root: Path = ROOT) -> list[Page]:
    """Return the tutorials in the order in which they are best read."""
    return [Page(title, find_page(f"tutorials/{name}", root)) for name, title in TUTORIALS]


def start_page(root: Path = ROOT) -> Path | None:
    """Return the first page of the documentation."""
    readme = root / "README.md"
    return find_page("index", root) or (readme if readme.is_file() else None)
