"""What a card says and offers: results, picks to be registered, the next protocols."""

import pytest

from emtomo.gui.core.next_steps import next_protocols, takes, usual_steps
from emtomo.gui.core.picking import PickingSession
from emtomo.gui.core.recent import demo_command, describe_project
from emtomo.gui.core.runs import Run, RunOutput
from emtomo.gui.core.unregistered import count_unregistered


def output(kind, name="out", pending=False, summary=""):
    return RunOutput(5, "run", name, (kind, "TableSet"), summary, pending)


@pytest.mark.parametrize(
    ("kind", "protocol", "first"),
    [
        ("SetOfTomograms", "import-tomograms", "bin-tomograms"),
        ("SetOfTomograms", "bin-tomograms", "denoise-tomograms"),
        ("SetOfTomograms", "denoise-tomograms", "pick-vectorial"),
        ("SetOfMeshes", "pick-vectorial", "model-workflow"),
        ("SetOfCoordinates3D", "model-workflow", "extract-subtomograms"),
        ("SetOfSubtomograms", "extract-subtomograms", "reconstruct-average"),
        ("SetOfSubtomograms", "initial-model", "refine-poses"),
        ("Average", "refine-poses", "postprocess"),
        ("Average", "multi-particle-refinement", "postprocess"),
        ("Population", "multi-particle-refinement", "multi-particle-refinement"),
        ("SetOfTiltSeries", "multi-particle-refinement", "reconstruct-tomograms"),
    ],
)
def test_the_usual_next_step_comes_first_and_all_that_fit_are_offered(kind, protocol, first):
    names = [e.name for e in next_protocols(output(kind), protocol)]
    assert names[0] == first and len(names) == len(set(names))
    assert all(takes(name, (kind, "TableSet")) for name in names)


def test_the_usual_steps_after_several_outputs_start_from_the_one_that_they_take():
    outputs = (output("SetOfSubtomograms", "subtomograms"), output("Average", "average"))
    steps = [(e.name, o.name) for o, e in usual_steps(outputs, "refine-poses")]
    assert steps[:3] == [("postprocess", "average"), ("create-mask", "average"), ("apply-alignment", "subtomograms")]
    assert len(steps) == 6 == len({name for name, _ in steps}) and usual_steps((), "refine-poses") == []


def test_what_takes_nothing_of_it_is_not_offered():
    names = {e.name for e in next_protocols(output("SetOfMeshes"), "pick-vectorial")}
    assert "extract-subtomograms" not in names and "import-tomograms" not in names


def card(**values):
    known = {"status": "finished", "parents": frozenset(), "outputs": ()} | values
    return Run(5, "label", "pick-vectorial", "vectorial picking", **known)


def test_a_card_says_what_was_made_or_is_still_to_be_registered():
    made = (output("SetOfCoordinates3D", summary="381 particles"), output("Average", summary="12.3 Å"))
    assert card(outputs=made).result_line == "381 particles  ·  12.3 Å"
    assert card(outputs=(output("Average", pending=True, summary="x"),)).result_line == ""
    assert card(outputs=made, unregistered=1).result_line == "1 pick not registered"
    assert card(outputs=made).card_button == "+" and card().card_button == ""
    assert card(status="saved", interactive="models", outputs=made).card_button == "Pick"
    assert card(interactive="models", unregistered=2, outputs=made).card_button == "Pick"
    assert card(interactive="models", outputs=made).card_button == "+"
    assert card(status="running", interactive="models").card_button == ""
    assert card(out_of_date=True).colour == "warning" and card().colour == "success"
    assert card(out_of_date=True).needs_update and not card().needs_update and not card(status="running").needs_update


def test_picks_that_wait_are_counted_without_touching_the_journals(tmp_path):
    assert count_unregistered(tmp_path, 5, "models") == 0
    path = tmp_path / "Picking" / "5" / "TS 1.jsonl"
    session = PickingSession("TS 1", path)
    session.new_model("vesicle")
    session.add(1, 2, 3)
    session.add(4, 5, 6)
    assert count_unregistered(tmp_path, 5, "models") == 2
    session.mark_saved()
    assert count_unregistered(tmp_path, 5, "models") == 0
    session.remove_last()
    assert count_unregistered(tmp_path, 5, "models") == 1
    with path.open("a") as stream:
        stream.write('{"do": "add", "gro')  # a picker is writing
    before = path.read_bytes()
    assert count_unregistered(tmp_path, 5, "models") == 1 and path.read_bytes() == before
    (tmp_path / "Picking" / "5" / "bad.jsonl").write_text("rubbish\n")
    assert count_unregistered(tmp_path, 5, "models") == 1


def test_recent_projects_say_their_runs_and_their_last_change(tmp_path):
    assert describe_project(tmp_path / "gone") == ("", "")
    (tmp_path / "Runs" / "000002_A").mkdir(parents=True)
    (tmp_path / "Runs" / "000007_B").mkdir()
    (tmp_path / "project.sqlite").write_text("")
    runs, changed = describe_project(tmp_path)
    assert runs == "2" and len(changed) == 16
    assert demo_command(tmp_path / "a b")[1:] == ["-m", "emtomo", "demo", "--project", str(tmp_path / "a b")]
