"""Where dialogs begin, what they filter, and where the documentation is."""

from emtomo.gui.core.file_kinds import filters, first_folder, remember_folder
from emtomo.gui.core.help_pages import find_page, follow_link, guide, tutorials
from emtomo.gui.core.markdown import PagePiece, read_pieces
from emtomo.gui.core.settings import Settings


def test_a_dialog_begins_where_a_file_of_its_kind_was_chosen_last(tmp_path):
    settings = Settings(tmp_path / "windows.json")
    data = tmp_path / "my data"
    data.mkdir()
    remember_folder(settings, "data", data / "a.mrc")
    again = Settings(tmp_path / "windows.json")
    assert first_folder(again, "data", "/start") == str(data)
    assert first_folder(again, "template", "/start") == "/start"
    data.rmdir()  # a disk that is gone
    assert first_folder(again, "data", "/start") == "/start"
    assert "*.json.template" in filters("template")[0][1] and filters("project") == []


def test_every_page_is_found_and_a_built_site_comes_first_then_the_source_then_what_is_installed(tmp_path):
    assert all(page.file is not None for page in tutorials() + guide())
    assert find_page("tutorials/refinement", tmp_path, tmp_path / "installed") is None
    for name in ("installed/tutorials/refinement.md", "docs/tutorials/refinement.md", "site/tutorials/refinement.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_page("tutorials/refinement", tmp_path, tmp_path / "installed") == path


def test_links_between_pages_lead_to_pages_alone():
    page = find_page("tutorials/single_particles")
    assert follow_link(page, "../protocols/pick-log.md#results").name == "pick-log.md"
    assert follow_link(page, "https://a.org/b.md") is None and follow_link(page, "poses_against_truth.py") is None


def test_pages_are_read_as_pieces():
    page = "# A *title*\n\nOne line\nand **the next**, `a_b` and [a page](b.md).\n![shown](c.png)\n"
    page += "* item\n  goes on\n* two\n\n```\nrun a | b\n```\n| name | help |\n|---|---|\n| `x` | a \\| b |\n"
    pieces = list(read_pieces(page))
    assert pieces[:2] == [PagePiece("A title\n", "title"), PagePiece("One line and ")]
    assert PagePiece("the next", "bold") in pieces and PagePiece("a_b", "code") in pieces
    assert PagePiece("a page", "link", "b.md") in pieces and PagePiece("shown", "picture", "c.png") in pieces
    assert "".join(p.text for p in pieces).count("• ") == 3 and PagePiece("item goes on") in pieces
    assert PagePiece("run a | b\n\n", "block") in pieces and PagePiece("a | b") in pieces
    for one in tutorials() + guide():
        text = one.file.read_text(encoding="utf8")
        assert "".join(p.text for p in read_pieces(text)).count("```") == 0
