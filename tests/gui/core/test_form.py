"""Forms without a window: every protocol, conditions, live checks, inputs, and the same on the command line."""

import shlex
from pathlib import Path

import pytest
from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import BooleanParam, EnumParam, Form, IntParam, PointerParam, StringParam

from emtomo.cli.runs import key_values
from emtomo.engine.parameters import protocols_by_name as names
from emtomo.engine.parameters import public_names, set_parameters
from emtomo.gui.core import catalogue
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.runs import Run, RunOutput

ALL = sorted(names())


class Foreign(Protocol):
    """A protocol of another plugin, with what emtomo's own do not use: sections, groups, lines, conditions, enums."""

    _label = "foreign"
    _possibleOutputs = {}

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam("volumes", PointerParam, pointerClass="SetOfTomograms", label="Volumes", allowsNull=False)
        form.addParam("useMask", BooleanParam, default=False, label="Use a mask?")
        form.addParam("maskName", StringParam, default="", condition="useMask", label="Mask")
        group = form.addGroup("Search")
        group.addParam("mode", EnumParam, choices=["fast", "slow"], default=0, label="Mode")
        line = group.addLine("Range", condition="mode==1")
        line.addParam("first", IntParam, default=1, label="from")
        form.addSection("More")
        form.addParam("count", IntParam, default=5, label="Count")


@pytest.mark.parametrize("name", ALL)
def test_every_protocol_has_a_form_that_shows_all_its_parameters(name):
    model = FormModel(names()[name], "run")
    shown = [n for tab in model.tabs for n in tab.names]
    assert sorted(shown) == sorted(public_names(names()[name]()))
    assert len(set(shown)) == len(shown)
    for field in model.fields.values():
        assert field.label and field.help, field.name
        assert not field.changed
        # only missing inputs, and numbers without a default, may be wrong in an untouched form
        assert not field.error or field.wanted or field.text == "", field.error


@pytest.mark.parametrize("name", ALL)
def test_the_command_that_a_form_copies_says_the_same(name):
    model = FormModel(names()[name], "a label")
    changed = {}
    for field in model.fields.values():
        if field.kind == "int" and field.param is not None:
            changed[field.name] = str(int(field.default or 3) + 1)
        elif field.kind == "bool":
            changed[field.name] = "no" if field.default == "yes" else "yes"
        elif field.kind == "path":
            changed[field.name] = '/data/it\'s a "file" $HOME.mrc'
    for key, text in changed.items():
        model.put(key, text)
    words = shlex.split(model.command("/some where/project"))
    assert words[:4] == ["emtomo", "run", "/some where/project", name]
    assert words[-2:] == ["--label", "a label"]
    assert key_values(words[4:-2]) == {
        k: v for k, v in changed.items() if model.fields[k].changed and model.fields[k].condition
    }


def test_a_cluster_that_cannot_be_is_reported_at_once_and_only_with_dask():
    model = FormModel(names()["bin-tomograms"], "run")
    model.put("cluster", "ftp://x")
    assert set(model.errors()) == {"tomograms"}
    model.put("executor", "dask")
    assert "tcp://HOST:PORT" in model.errors()["cluster"]
    model.put("cluster", "/nowhere/s.json")
    assert model.errors()["cluster"] == "There is no scheduler's file /nowhere/s.json."
    for good in ("", "slurm", "tcp://127.0.0.1:8786"):
        model.put("cluster", good)
        assert set(model.errors()) == {"tomograms"}


def test_a_name_that_is_a_path_is_reported_at_its_field():
    model = FormModel(names()["create-species"], "run")
    model.put("name", "a/b")
    assert model.errors()["name"].startswith("Name must be a plain name, without slash")


def test_a_choice_with_a_label_is_its_word_and_shows_the_label():
    field = FormModel(names()["reconstruct-tomograms"], "run").fields["method"]
    assert field.choices == ("wbp", "sirt") and field.choice_label("sirt") == "SIRT"


def test_the_command_of_a_form_names_the_cluster_and_the_queue():
    model = FormModel(names()["refine-poses"], "fine", queue=("main", {"JOB_TIME": "2:00:00"}))
    assert not model.visible("cluster") and not model.visible("workers")
    model.put("executor", "dask")
    assert model.visible("cluster") and model.visible("workers")
    model.put("cluster", "slurm")
    assert [t.title for t in model.tabs if "cluster" in t.names] == ["Computation"]
    words = shlex.split(model.command("p"))
    assert {"executor=dask", "cluster=slurm"} < set(words)
    assert words[-6:] == ["--executor", "queue", "--queue", "main", "--queue-set", "JOB_TIME=2:00:00"]
    assert model.dirty and model.texts() != model.original
    model.put("executor", "spark")
    assert "must be one of local, dask" in model.errors()["executor"]


@pytest.mark.parametrize("name", ALL)
def test_what_a_form_says_can_be_set_on_a_run(name):
    run = names()[name]()
    model = FormModel(names()[name], "run")
    texts = {n: t for n, t in model.form_values().values.items() if not model.fields[n].wanted}
    set_parameters(None, run, texts, Path("/"))
    again = FormModel(names()[name], "run", dict(texts))
    assert again.texts() == model.texts()


def test_bad_values_are_reported_in_sentences_and_hidden_ones_count_as_right():
    model = FormModel(names()["pick-convnet"], "run")
    for text, reported in (
        ("0", "Iterations must be >= 1, got 0."),
        ("x", "Iterations must be a whole number, got 'x'."),
        ("", "Iterations must not be empty."),
    ):
        model.put("iterations", text)
        assert model.fields["iterations"].error == reported
        assert model.errors()["iterations"] == reported
    model.put("iterations", " 12 ")
    assert "iterations" not in model.errors() and model.form_values().values["iterations"] == "12"
    model.put("learning_rate", "nan")
    assert "finite" in model.fields["learning_rate"].error
    model.put("min_distance", "")  # optional: empty means automatic
    assert "min_distance" not in model.errors()


def test_expert_fields_show_on_demand_and_stay_when_changed():
    model = FormModel(names()["pick-convnet"], "run")
    assert not model.visible("training_box") and model.visible("iterations")
    model.put("training_box", "128")
    assert model.visible("training_box")
    model.reset("training_box")
    assert not model.visible("training_box")
    model.set_expert(True)
    assert model.visible("training_box")


def test_a_foreign_protocol_has_its_tabs_conditions_and_enums():
    model = FormModel(Foreign, "run")
    assert [t.title for t in model.tabs] == ["Input", "More"]
    assert model.fields["mode"].choices == ("fast", "slow") and model.fields["first"].group == "Range"
    assert not model.visible("maskName")
    heard = []
    model.listeners.append(heard.append)
    model.put("useMask", "yes")
    assert model.visible("maskName") and "maskName" in heard[-1]
    model.put("mode", "1")
    assert model.fields["volumes"].wanted == ("SetOfTomograms",)
    assert set(model.errors()) == {"volumes"}
    model.put("maskName", "a")
    assert model.dirty


def test_options_that_do_not_count_are_hidden():
    model = FormModel(names()["create-mask"], "run")
    assert model.visible("threshold") and not model.visible("diameter")
    model.put("shape", "cylinder")
    assert model.visible("height") and model.visible("diameter") and not model.visible("threshold")
    model.put("diameter", "-1")
    assert "diameter" in model.errors()
    model.put("shape", "threshold")
    assert "diameter" not in model.errors()  # what is hidden is not in the way


def run(i, label, outputs, parents=(), status="finished"):
    made = tuple(RunOutput(i, label, n, k, "reported", status != "finished") for n, k in outputs)
    return Run(i, label, "p", "p", status, frozenset(parents), made)


TOMOGRAMS, MESHES = ("SetOfTomograms", "TableSet"), ("SetOfMeshes", "TableSet")


def test_inputs_offer_what_fits_newest_first_and_nothing_below_the_run_itself():
    runs = {
        1: run(1, "import", [("tomograms", TOMOGRAMS)]),
        2: run(2, "bin", [("tomograms", TOMOGRAMS)], [1]),
        3: run(3, "pick", [("meshes", MESHES)], [2]),
        4: run(4, "denoise", [("tomograms", TOMOGRAMS)], [2], "running"),
        5: run(5, "broken", [("tomograms", TOMOGRAMS)], [2], "failed"),
    }
    model = FormModel(names()["denoise-tomograms"], "run")
    assert [o.target for o in model.candidates("tomograms", runs)] == ["2.tomograms", "1.tomograms", "4.tomograms"]
    assert model.candidates("tomograms", runs)[-1].title == "denoise.tomograms (pending)"
    own = FormModel(names()["denoise-tomograms"], "denoise", {"tomograms": "2.tomograms"}, run=1)
    assert model.fits("tomograms", runs[1].outputs[0]) and not model.fits("tomograms", runs[3].outputs[0])
    assert own.candidates("tomograms", runs) == []  # all the others are made from run 1
    model.preset(runs, [2])
    assert model.fields["tomograms"].text == "2.tomograms" and not model.errors()


def test_protocols_are_found_by_the_words_of_other_programs():
    found = {e.name for e in catalogue.entries() if e.matches("boxer")}
    assert {"pick-manually", "pick-convnet"} <= found
    assert {e.name for e in catalogue.entries() if e.matches("tomoeed")} == {"denoise-tomograms"}
    best = min(
        (e for e in catalogue.entries() if e.matches("extract subtomograms")),
        key=lambda e: e.rank("extract subtomograms"),
    )
    assert best.name == "extract-subtomograms"
    assert {e.name for e in catalogue.entries()} == set(names())
    assert not [e for e in catalogue.entries() if e.stage == catalogue.OTHER]
    assert set(catalogue.ALIASES) == set(names()) == {n for stage in catalogue.STAGES.values() for n in stage}
