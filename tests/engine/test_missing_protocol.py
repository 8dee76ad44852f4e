"""A run whose protocol is not installed here."""

from types import SimpleNamespace

import pytest

from emtomo.engine.parameters import output_target
from emtomo.errors import ProjectError


def test_its_outputs_are_asked_for_in_vain_and_a_sentence_says_why():
    run = SimpleNamespace(iterOutputAttributes=list, _possibleOutputs=None)
    with pytest.raises(ProjectError, match=r"Run s has no outputs; its protocol is not installed\."):
        output_target(SimpleNamespace(find=lambda name: run), "s.volume")
