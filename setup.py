"""Install emtomo; what it is and needs stands in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

DOCS = Path(__file__).parent / "docs"
# with their pictures; the pages of protocols come without, which are ten times as large
ILLUSTRATED = [*(DOCS / "tutorials").glob("*.md"), DOCS / "windows.md"]


class BuildPackages(build_py):
    """Builds the packages, the pages of the documentation without the scripts that make them."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return the modules of a package."""
        return [] if package == "emtomo.docs" else super().find_package_modules(package, package_dir)

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """Return the files of a package that are no modules."""
        if package == "emtomo.docs":
            return [str(Path(src_dir, name)) for name in documentation()]
        return super().find_data_files(package, src_dir)


def documentation() -> list[str]:
    """Return the files of the documentation that are installed, relative to its folder."""
    pages = [p for p in DOCS.rglob("*.md") if "notes" not in p.parts[len(DOCS.parts) :]]
    pictures = {
        (page.parent / name).resolve()
        for page in ILLUSTRATED
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", page.read_text(encoding="utf8"))
    }
    return sorted(p.resolve().relative_to(DOCS.resolve()).as_posix() for p in [*pages, *pictures])


setup(
    # templates and documentation live at the top level of the repository and are installed as package data
    packages=[*find_packages(include=["emtomo", "emtomo.*"]), "emtomo.templates", "emtomo.docs"],
    package_dir={"emtomo": "emtomo", "emtomo.templates": "templates", "emtomo.docs": "docs"},
    cmdclass={"build_py": BuildPackages},
)
