"""A run whose protocol is not installed here."""

import sys
from types import SimpleNamespace

import pytest

from emtomo.engine.parameters import output_target, protocol_named
from emtomo.errors import ProjectError


def test_its_outputs_are_asked_for_in_vain_and_a_sentence_says_why():
    run = SimpleNamespace(iterOutputAttributes=list, _possibleOutputs=None)
    with pytest.raises(ProjectError, match=r"Run s has no outputs; its protocol is not installed\."):
        output_target(SimpleNamespace(find=lambda name: run), "s.volume")


def test_protocols_that_cannot_be_imported_are_named_and_not_missed(monkeypatch):
    monkeypatch.setattr("emtomo.engine.parameters.Domain.getProtocols", dict)
    monkeypatch.setitem(sys.modules, "emtomo.protocols", None)
    with pytest.raises(ProjectError, match="protocols cannot be loaded: .*emtomo.protocols.* Install emtomo again"):
        protocol_named("bin-tomograms")
