"""Buttons are offered where they apply, and fields say what is chosen where they are empty."""

import pytest

from emtomo.gui.core.automatic import automatic_text
from emtomo.gui.core.availability import applies
from emtomo.gui.core.fields import FormField
from emtomo.gui.core.runs import Run, RunOutput


def run(status, *outputs):
    made = tuple(RunOutput(1, "a", name, (), pending=name == "later") for name in outputs)
    return Run(1, "a", "bin-tomograms", "bin", status, frozenset(), made)


@pytest.mark.parametrize(
    ("action", "runs", "expected"),
    [
        ("new", [], True), ("edit", [], False), ("edit", [run("saved")], True),
        ("stop", [run("finished")], False), ("stop", [run("finished"), run("running")], True),
        ("stop", [run("scheduled")], True), ("run", [run("running")], False), ("run", [run("failed")], True),
        ("restart", [run("saved")], False), ("restart", [run("finished")], True),
        ("view", [run("saved", "later")], False), ("view", [run("finished", "tomograms")], True),
        ("compare", [run("saved")], False), ("compare", [run("saved")] * 2, True),
        ("compare", [run("saved")] * 3, False),
        ("rename", [run("saved")] * 2, False),
        ("delete", [run("running")], False), ("delete", [run("scheduled")], True),
    ],
)  # fmt: skip
def test_actions_apply_to_the_runs_that_are_selected(action, runs, expected):
    assert applies(action, runs) is expected


def field(text, help, kind="int"):
    return FormField("x", "x", kind, "X", help, text=text)


@pytest.mark.parametrize(
    ("text", "help", "others", "expected"),
    [
        ("", "Steps. Empty: 10 for eed (10 to 60 is sensible), 70 for bflow (50 to 250).", {"eed"}, "automatic: 10"),
        ("", "Steps. Empty: 10 for eed (10 to 60 is sensible), 70 for bflow (50 to 250).", {"bflow"}, "automatic: 70"),
        ("20", "Steps. Empty: 10 for eed, 70 for bflow.", {"eed"}, ""),
        ("", "Step; above 0.15 it is not stable. Empty: 0.1 for eed, 0.15 for bflow.", {"eed"}, "automatic: 0.1"),
        ("0", "Of a sphere. 0: the box.", (), "automatic: the box"),
        ("0.0", "Of a sphere. 0: the box.", (), "automatic: the box"),
        ("5", "Of a sphere. 0: the box.", (), ""),
        ("0", "Threads for the computation; 0 takes all that there are.", (), "automatic: all that there are"),
        ("", "Unbinned pixels; empty: that of the average.", (), "automatic: that of the average"),
        ("0", "Of a sphere. Empty: the box.", (), ""),
        ("", "Empty: what the file says, else that of the tomograms. 1 when positions are in Å.", (),
         "automatic: what the file says, else that of the tomograms"),
        ("", "The tilts with the least dose.", (), ""),
        ("abc", "Of a sphere. 0: the box.", (), ""),
    ],
)  # fmt: skip
def test_a_field_says_what_is_automatic(text, help, others, expected):
    assert automatic_text(field(text, help), others) == expected


def test_the_form_of_denoising_says_how_many_iterations_are_taken():
    from emtomo.compute.denoise import DenoiseOptions
    from emtomo.options import option_fields

    reported = {f.name: f.param.help for f in option_fields(DenoiseOptions)}
    assert automatic_text(field("", reported["iterations"]), {"eed", "5"}) == "automatic: 10"
