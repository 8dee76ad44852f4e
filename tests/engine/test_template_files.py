"""Files of templates: what is wrong with one in a sentence, and variables that take any text."""

import pytest

from emtomo.engine.templates import read_template
from emtomo.errors import FormatError, ProjectError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only words", "there is none"),
        ("[{]", "line 1: not JSON"),
        ("[1]", "list of protocols"),
        ('[{"object.id": "1"}]', "without 'object.className'"),
    ],
)
def test_broken_templates_get_one_sentence(text, message, tmp_path):
    path = tmp_path / "a.json.template"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_template(path)


def test_template_variables_take_any_text(tmp_path):
    path = tmp_path / "a.json.template"
    path.write_text(
        'Words.\n[{"object.className": "ImportTomograms", "object.id": "1", "files": "~Folder||2|in~", '
        '"pattern": "~Pattern|*.mrc|0|pattern~", "pixel_size": "~Size|10|4|size~"}]'
    )
    template = read_template(path)
    filled = template.fill_in({"in": "/x/50% \"a\" ~b 'c'", "size": "2.5"}, tmp_path)[0]
    assert filled["files"] == "/x/50% \"a\" ~b 'c'" and filled["pixel_size"] == 2.5 and filled["pattern"] == "*.mrc"
    with pytest.raises(ProjectError, match="needs in"):
        template.fill_in({}, tmp_path)
    with pytest.raises(ProjectError, match="no variable wrong"):
        template.fill_in({"in": "x", "wrong": "1"}, tmp_path)
    with pytest.raises(ProjectError, match="size must be a number, got 'ten'"):
        template.fill_in({"in": "x", "size": "ten"}, tmp_path)
