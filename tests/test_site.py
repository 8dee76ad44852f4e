"""The documentation site: every public name and protocol has its place, links lead somewhere, nothing is remote."""

import importlib.util
import re
from pathlib import Path

import pytest

import emtomo
import emtomo.io

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("make_site", ROOT / "docs" / "make_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(site):
    return site.pages()


def test_every_public_name_has_an_entry(pages):
    for page, package in (("api.md", emtomo), ("api_io.md", emtomo.io)):
        for name in package._HOME:
            assert f"heading: {package.__name__}.{name}\n" in pages[page], name
    assert "| `iterations` |" in pages["api.md"]
    for name in ("compute.fourier.filters", "io.mrc", "objects.coordinates"):
        assert f"::: emtomo.{name}\n" in pages[f"reference/{name}.md"]


def test_every_page_is_in_the_menu_and_has_one_title(site, pages):
    menu = str(site.navigation(pages))
    for name, text in pages.items():
        assert f"'{name}'" in menu, name
        assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)) == 1, name


def test_links_and_pictures_of_the_site_exist(pages):
    there = {*pages, *(p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.p*"))}
    missing = []
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            path = Path("/", name).parent / target
            if not target.startswith("http") and str(path.resolve().relative_to("/")) not in there:
                missing.append(f"{name}: {target}")
    assert not missing


@pytest.mark.parametrize(
    ("name", "text", "is_remote"),
    [
        ("a.html", '<script defer src="https://a.org/x.js">', True),
        ("a.html", "<link href=//a.org/x.css rel=stylesheet>", True),
        ("a.html", '<img alt="" src="http://a.org/x.png">', True),
        ("a.html", "<style>@import 'https://a.org/x.css';</style>", True),
        ("a.css", "b { background: url(//a.org/x.png) }", True),
        ("a.html", '<a href="https://a.org">a</a><link rel="canonical" href="https://a.org">', False),
        ("a.html", '<script src="assets/x.js"></script><img src="data:image/png;base64,//aa">', False),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(site, tmp_path, name, text, is_remote):
    (tmp_path / name).write_text(text, encoding="utf8")
    assert bool(site.remote(tmp_path)) == is_remote
