"""What comes after an output: the protocols that take it, the usual one first, as the walkthroughs go."""

from collections.abc import Sequence

from pyworkflow.protocol.params import PointerParam

from emtomo.engine.parameters import protocol_named
from emtomo.gui.core.catalogue import Entry, entries
from emtomo.gui.core.runs import RunOutput

# by class of the output; the first that fits is the usual one
USUAL: dict[str, tuple[str, ...]] = {
    "Species": ("create-population",),
    "Population": ("multi-particle-refinement",),
    "SetOfTiltSeries": ("estimate-ctf", "reconstruct-tomograms", "export-particles"),
    "SetOfMeshes": ("model-workflow", "pick-vectorial", "export-coordinates"),
    "SetOfSubtomograms": ("reconstruct-average", "initial-model", "refine-poses", "classify-3d", "select-subset"),
    "SetOfParticleSeries": ("reconstruct-average", "refine-poses", "classify-3d", "select-subset"),
    "SetOfCoordinates3D": ("extract-subtomograms", "clean-coordinates", "consensus-picks", "export-coordinates"),
    "SetOfMicrographs": ("estimate-ctf", "pick-log", "match-template-2d", "extract-particles", "select-subset"),
    "SetOfCoordinates2D": ("extract-particles", "select-subset"),
    "SetOfParticles": ("classify-2d", "initial-model", "refine-poses", "extract-particles", "export-particles-2d"),
    "SetOfClasses2D": ("select-classes", "match-template-2d", "export-particles-2d"),
    "SetOfTomograms": (
        "bin-tomograms",
        "denoise-tomograms",
        "pick-vectorial",
        "pick-manually",
        "pick-convnet",
        "match-template",
    ),
    "Average": ("postprocess", "create-mask", "refine-poses", "match-template"),
    "Mask": ("postprocess", "refine-poses", "apply-mask"),
    "Volume": ("match-template", "create-mask", "symmetrize"),
}
# after these the first of the usual ones was done already
AFTER: dict[str, tuple[str, ...]] = {
    "estimate-ctf": ("reconstruct-tomograms", "pick-log"),
    "bin-tomograms": ("denoise-tomograms", "pick-vectorial", "pick-manually"),
    "denoise-tomograms": ("pick-vectorial", "pick-manually", "pick-convnet", "match-template"),
    "match-template": ("extract-subtomograms", "consensus-picks", "pick-again", "clean-coordinates"),
    "pick-convnet": ("extract-subtomograms", "consensus-picks", "pick-again", "clean-coordinates"),
    "reconstruct-average": ("refine-poses", "create-mask", "postprocess"),
    "initial-model": ("refine-poses", "align-symmetry", "create-mask"),
    "refine-poses": ("postprocess", "create-mask", "apply-alignment", "create-species"),
    "multi-particle-refinement": ("postprocess", "multi-particle-refinement", "reconstruct-tomograms"),
}


def takes(protocol: str, kinds: tuple[str, ...]) -> bool:
    """Return whether a protocol has an input for an output of these classes."""
    for _, param in protocol_named(protocol)().getDefinition().iterParams():
        if isinstance(param, PointerParam):
            wanted = str(param.pointerClass).strip("[]").replace("'", "").split(",")
            if {w.strip() for w in wanted} & set(kinds):
                return True
    return False


def next_protocols(output: RunOutput, protocol: str) -> list[Entry]:
    """Return the protocols that take an output of a run of `protocol`, the usual ones first, then as in the tree."""
    usual = next((USUAL[k] for k in output.kinds if k in USUAL), ())
    order = {name: k for k, name in enumerate(dict.fromkeys([*AFTER.get(protocol, ()), *usual]))}
    found = [e for e in entries() if _takes(e.name, output.kinds)]
    return sorted(found, key=lambda e: order.get(e.name, len(order)))


def usual_steps(outputs: Sequence[RunOutput], protocol: str, most: int = 6) -> list[tuple[RunOutput, Entry]]:
    """Return at most `most` usual next protocols after a run of `protocol`, each with the output that it starts from.

    What comes after this protocol is first, then what comes after outputs of these kinds.
    """
    known = {entry.name: entry for entry in entries()}
    found: dict[str, tuple[RunOutput, Entry]] = {}
    for output in outputs:
        usual = next((USUAL[k] for k in output.kinds if k in USUAL), ())
        for name in (*AFTER.get(protocol, ()), *usual):
            if name in known and _takes(name, output.kinds):
                found.setdefault(name, (output, known[name]))
    first = AFTER.get(protocol, ())
    names = sorted(found, key=lambda name: first.index(name) if name in first else len(first))
    return [found[name] for name in names[:most]]


_known: dict[tuple[str, tuple[str, ...]], bool] = {}


def _takes(protocol: str, kinds: tuple[str, ...]) -> bool:
    key = protocol, kinds
    if key not in _known:
        _known[key] = takes(protocol, kinds)
    return _known[key]
