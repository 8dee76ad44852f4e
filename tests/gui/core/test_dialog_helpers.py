"""Where dialogs begin, what they filter, and where the documentation is."""

from emtomo.gui.core.file_kinds import filters, first_folder, remember_folder
from emtomo.gui.core.help_pages import find_page, start_page, tutorials
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


def test_every_tutorial_has_its_page_and_a_built_site_comes_first(tmp_path):
    assert all(page.file is not None for page in tutorials()) and start_page() is not None
    assert find_page("tutorials/refinement", tmp_path) is None and start_page(tmp_path) is None
    for name in ("docs/tutorials/refinement.md", "site/tutorials/refinement.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_page("tutorials/refinement", tmp_path) == path
