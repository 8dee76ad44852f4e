"""Protocols: what a user can run. The engine finds them here by their class."""

from emtomo.protocols.apply_alignment import ApplyAlignment
from emtomo.protocols.bin_tomograms import BinTomograms
from emtomo.protocols.clean_coordinates import CleanCoordinates
from emtomo.protocols.consensus_picks import ConsensusPicks
from emtomo.protocols.denoise_tomograms import DenoiseTomograms
from emtomo.protocols.extract_subtomograms import ExtractSubtomograms
from emtomo.protocols.import_coordinates import ImportCoordinates
from emtomo.protocols.import_tomograms import ImportTomograms
from emtomo.protocols.model_workflow import ModelWorkflow
from emtomo.protocols.pick_vectorial import PickVectorial
from emtomo.protocols.select_subset import SelectSubset
from emtomo.protocols.simulate_tomograms import SimulateTomograms

__all__ = [
    "ApplyAlignment",
    "BinTomograms",
    "CleanCoordinates",
    "ConsensusPicks",
    "DenoiseTomograms",
    "ExtractSubtomograms",
    "ImportCoordinates",
    "ImportTomograms",
    "ModelWorkflow",
    "PickVectorial",
    "SelectSubset",
    "SimulateTomograms",
]
