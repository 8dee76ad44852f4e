"""Forms in windows: every section, wizards, previews, templates, closing with and without changes."""

import pytest

from emtomo.engine.parameters import protocols_by_name
from emtomo.gui.core.previews import PREVIEWED
from emtomo.gui.core.wizards import WIZARDS

pytestmark = [pytest.mark.gui, pytest.mark.workflow]


@pytest.fixture
def robot(windows, project):
    return windows(project)


def test_every_form_shows_every_section_light_and_dark(robot):
    for k, name in enumerate(sorted(protocols_by_name())):
        if k % 8 == 0:
            robot.window.switch_theme()
        form = robot.window.new_form(name)
        form.w["expert"].invoke()
        for section in form.model.tabs:
            form.page.fold(section, folded=False)
        robot.pump(0.05)
        assert set(form.rows) == {field for field in form.model.fields if form.model.visible(field)}, name
        for field, row in form.rows.items():
            assert bool(row.input.winfo_manager()) == form.model.visible(field), (name, field)
        for field, row in list(form.rows.items()):  # a choice makes others appear
            if form.model.fields[field].kind == "choice":
                row.input.main.current(len(row.input.main.cget("values")) - 1)
                row.input.main.event_generate("<<ComboboxSelected>>")
                assert form.model.fields[field].text == form.model.fields[field].choices[-1], (name, field)
        form.destroy_form()


@pytest.mark.parametrize("kind", ["wizard", "preview"])
def test_every_wizard_on_an_empty_form_gives_a_message(robot, kind):
    for protocol, name in sorted(WIZARDS) if kind == "wizard" else PREVIEWED:
        form = robot.window.new_form(protocol)
        for field in form.model.fields.values():
            if field.wanted:
                form.model.put(field.name, "")
        form.w["expert"].invoke()
        robot.pump(0.02)
        form.wizard(name)
        assert robot.pump(until=lambda f=form: "refused" in f.w, timeout=5), (protocol, name)
        assert form.w["refused"].text.endswith(".")
        form.w["refused"].w["OK"].invoke()
        form.destroy_form()


def test_a_preview_moves_with_its_slider_and_gives_its_value_to_the_form(robot):
    form = robot.window.new_form("create-mask")
    form.model.put("volume", next(o.target for o in form.model.candidates("volume", robot.window.runs)))
    robot.pump(0.1)
    form.w["wizard threshold"].invoke()
    assert robot.pump(until=lambda: "preview" in form.w, timeout=10)
    preview = form.w["preview"]
    assert robot.pump(until=lambda: "inside" in preview.w["message"].cget("text"), timeout=10)
    first = preview.w["message"].cget("text")
    preview.value.set(preview.preview.high)
    preview._moved()
    assert robot.pump(until=lambda: preview.w["message"].cget("text") != first, timeout=10)
    preview.w["use"].invoke()
    assert float(form.model.fields["threshold"].text) == pytest.approx(preview.preview.high, rel=1e-3)


def test_templates_are_imported_with_what_is_missing_reported(robot):
    window = robot.window
    window.import_template()
    template = window.w["template"]
    template.choice.set("average_particles")
    template._chosen()
    robot.pump(0.3)
    assert min(entry.winfo_width() for entry in template.entries.values()) > 200  # a long title leaves room to type
    template.w["add"].invoke()
    assert "needs tomograms" in template.w["message"].cget("text")
    for alias, entry in template.entries.items():
        if not entry.get():
            path = template.template.variables[alias].code in ("2", "5", "6")
            entry.insert(0, "/data/a b.mrc" if path else "10")
    before = len(window.runs)
    template.w["add"].invoke()
    assert robot.pump(until=lambda: len(window.runs) >= before + 4, timeout=10)
    assert not template.winfo_exists()


def test_closing_asks_only_when_a_form_was_changed(robot):
    window = robot.window
    form = window.new_form("bin-tomograms")
    form.model.put("factor", "3")
    window.close()
    question = robot.toplevel("Question")
    question.w["Stay"].invoke()
    robot.pump(0.2)
    assert window.winfo_exists()
    form.destroy_form()


def test_a_filled_new_form_asks_before_it_closes(robot):
    form = robot.window.new_form("extract-subtomograms")
    robot.pump(0.3)
    robot.click(form.w["label"])
    robot.key("End")
    robot.type(" x")
    robot.click(form.w["close"])
    assert robot.pump(until=lambda: "question" in form.w, timeout=5)
    robot.click(form.w["question"].w["Stay"])
    assert form.winfo_exists() and form.model.label.endswith(" x")
    robot.click(form.w["close"])
    robot.pump(0.3)
    robot.click(form.w["question"].w["Save"])
    assert robot.pump(until=lambda: not form.winfo_exists(), timeout=10)
    assert robot.pump(until=lambda: robot.run_named("extract subtomograms x"), timeout=10)
    other = robot.window.new_form("extract-subtomograms")
    robot.pump(0.3)
    robot.click(other.w["close"])  # nothing was edited
    assert robot.pump(until=lambda: not other.winfo_exists(), timeout=5)
