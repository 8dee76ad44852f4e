"""What a new form starts from, and when it counts as edited."""

import pytest

from emtomo.engine.parameters import protocol_named
from emtomo.gui.core.form import FormModel
from emtomo.gui.core.prefill import ancestors, choose_output, is_denoised
from emtomo.gui.core.runs import Run, RunOutput


def run(i, protocol, parents=(), kind="SetOfTomograms", name="tomograms", status="finished"):
    output = RunOutput(i, f"run {i}", name, (kind, "TableSet"), "", status != "finished")
    return Run(i, f"run {i}", protocol, protocol, status, frozenset(parents), (output,))


@pytest.fixture
def runs():
    made = [
        run(2, "import-tomograms"),
        run(3, "bin-tomograms", [2]),
        run(4, "denoise-tomograms", [3]),
        run(5, "pick-manually", [4], "SetOfCoordinates3D", "coordinates"),
        run(6, "import-tomograms"),
        run(7, "pick-manually", [6], "SetOfCoordinates3D", "coordinates", "saved"),
        run(8, "bin-tomograms", [4]),
    ]
    return {r.id: r for r in made}


def tomograms(runs):
    return [o for r in runs.values() for o in r.outputs if "SetOfTomograms" in o.kinds]


@pytest.mark.parametrize(
    ("protocol", "selected", "wanted"),
    [
        ("pick-vectorial", [2], 8),  # the latest downstream, denoised and binned
        ("pick-vectorial", [6], 6),
        ("extract-subtomograms", [2], 3),  # binned, not denoised
        ("extract-subtomograms", [5], 3),  # above the selection
        ("extract-subtomograms", [4], 3),
        ("match-template", [4], 8),
        ("denoise-tomograms", [], 6),
        ("extract-subtomograms", [99], 6),
    ],
)
def test_a_form_takes_the_output_that_the_selection_means(runs, protocol, selected, wanted):
    assert choose_output(protocol, tomograms(runs), runs, selected).run == wanted


def test_denoised_tomograms_are_taken_where_there_are_no_others(runs):
    only = [o for o in tomograms(runs) if o.run in (4, 8)]
    assert choose_output("extract-subtomograms", only, runs, []).run == 8
    assert choose_output("extract-subtomograms", [], runs, [2]) is None
    assert is_denoised(runs[8].outputs[0], runs) and not is_denoised(runs[5].outputs[0], runs)
    assert ancestors(runs, [5]) == {2, 3, 4} and ancestors(runs, [2]) == set()


def test_a_new_form_is_filled_and_only_then_counts_edits(runs):
    model = FormModel(protocol_named("extract-subtomograms"), "extract subtomograms")
    model.preset(runs, [5])
    model.mark_saved()
    assert model.fields["coordinates"].text == "5.coordinates"
    assert model.fields["tomograms"].text == "3.tomograms"  # picked in denoised ones, cut from those before
    other = FormModel(protocol_named("extract-subtomograms"), "other")
    other.preset(runs, [7])
    assert other.fields["tomograms"].text == ""  # those in which they were picked
    both = FormModel(protocol_named("consensus-picks"), "consensus")
    picks = [run(9, "match-template", [3], "SetOfCoordinates3D", "coordinates"),
             run(10, "pick-again", [9], "SetOfCoordinates3D", "coordinates"),
             run(11, "match-template", [6], "SetOfCoordinates3D", "coordinates")]  # fmt: skip
    both.preset(runs | {r.id: r for r in picks}, [], runs[5].outputs[0])
    assert both.fields["coordinates"].text == "5.coordinates,10.coordinates"  # no other tomograms, each picker once
    picking = FormModel(protocol_named("pick-manually"), "picking")
    assert picking.alternatives() == ["tomograms", "micrographs"]
    picking.preset(runs | {12: run(12, "import-micrographs", (), "SetOfMicrographs", "micrographs")}, [2])
    assert (picking.fields["tomograms"].text, picking.fields["micrographs"].text) == ("8.tomograms", "")
    flat = FormModel(protocol_named("pick-manually"), "picking")
    flat.preset(runs | {12: run(12, "import-micrographs", (), "SetOfMicrographs", "micrographs")}, [12])
    assert (flat.fields["tomograms"].text, flat.fields["micrographs"].text) == ("", "12.micrographs")
    assert not model.dirty
    model.label = "other"
    assert model.dirty
    model.mark_saved()
    model.comment = "why"
    assert model.dirty
    model.comment = ""
    assert not model.dirty
    model.put("box_size", "48")
    assert model.dirty
