"""Protocols: what a user can run. The engine finds them here by their class."""

from emtomo.protocols.align_symmetry import AlignSymmetry
from emtomo.protocols.apply_alignment import ApplyAlignment
from emtomo.protocols.apply_mask import ApplyMask
from emtomo.protocols.bin_tomograms import BinTomograms
from emtomo.protocols.check_alignment import CheckAlignment
from emtomo.protocols.classify_2d import Classify2D
from emtomo.protocols.classify_3d import Classify3D
from emtomo.protocols.clean_coordinates import CleanCoordinates
from emtomo.protocols.compare_picks import ComparePicks
from emtomo.protocols.consensus_picks import ConsensusPicks
from emtomo.protocols.create_mask import CreateMask
from emtomo.protocols.create_population import CreatePopulation
from emtomo.protocols.create_species import CreateSpecies
from emtomo.protocols.denoise_tomograms import DenoiseTomograms
from emtomo.protocols.estimate_ctf import EstimateCtf
from emtomo.protocols.export_coordinates import ExportCoordinates
from emtomo.protocols.export_particles import ExportParticles
from emtomo.protocols.export_particles_2d import ExportParticles2D
from emtomo.protocols.export_particles_star import ExportParticlesStar
from emtomo.protocols.extract_particles import ExtractParticles
from emtomo.protocols.extract_subtomograms import ExtractSubtomograms
from emtomo.protocols.import_coordinates import ImportCoordinates
from emtomo.protocols.import_coordinates_2d import ImportCoordinates2D
from emtomo.protocols.import_micrographs import ImportMicrographs
from emtomo.protocols.import_particles import ImportParticles
from emtomo.protocols.import_species import ImportSpecies
from emtomo.protocols.import_subtomograms import ImportSubtomograms
from emtomo.protocols.import_tilt_series import ImportTiltSeries
from emtomo.protocols.import_tomograms import ImportTomograms
from emtomo.protocols.import_volume import ImportVolume
from emtomo.protocols.initial_model import InitialModel
from emtomo.protocols.match_template import MatchTemplate
from emtomo.protocols.match_template_2d import MatchTemplate2D
from emtomo.protocols.model_workflow import ModelWorkflow
from emtomo.protocols.multi_particle_refinement import MultiParticleRefinement
from emtomo.protocols.pick_again import PickAgain
from emtomo.protocols.pick_convnet import PickConvnet
from emtomo.protocols.pick_log import PickLog
from emtomo.protocols.pick_manually import PickManually
from emtomo.protocols.pick_vectorial import PickVectorial
from emtomo.protocols.postprocess import PostProcess
from emtomo.protocols.reconstruct_average import ReconstructAverage
from emtomo.protocols.reconstruct_tomograms import ReconstructTomograms
from emtomo.protocols.refine_poses import RefinePoses
from emtomo.protocols.refine_surface import RefineSurface
from emtomo.protocols.select_classes import SelectClasses
from emtomo.protocols.select_subset import SelectSubset
from emtomo.protocols.select_tilts import SelectTilts
from emtomo.protocols.simulate_micrographs import SimulateMicrographs
from emtomo.protocols.simulate_tomograms import SimulateTomograms
from emtomo.protocols.symmetrize import Symmetrize

__all__ = [
    "AlignSymmetry",
    "ApplyAlignment",
    "ApplyMask",
    "BinTomograms",
    "CheckAlignment",
    "Classify2D",
    "Classify3D",
    "CleanCoordinates",
    "ComparePicks",
    "ConsensusPicks",
    "CreateMask",
    "CreatePopulation",
    "CreateSpecies",
    "DenoiseTomograms",
    "EstimateCtf",
    "ExportCoordinates",
    "ExportParticles",
    "ExportParticles2D",
    "ExportParticlesStar",
    "ExtractParticles",
    "ExtractSubtomograms",
    "ImportCoordinates",
    "ImportCoordinates2D",
    "ImportMicrographs",
    "ImportParticles",
    "ImportSpecies",
    "ImportSubtomograms",
    "ImportTiltSeries",
    "ImportTomograms",
    "ImportVolume",
    "InitialModel",
    "MatchTemplate",
    "MatchTemplate2D",
    "ModelWorkflow",
    "MultiParticleRefinement",
    "PickAgain",
    "PickConvnet",
    "PickManually",
    "PickLog",
    "PickVectorial",
    "PostProcess",
    "ReconstructAverage",
    "ReconstructTomograms",
    "RefinePoses",
    "RefineSurface",
    "SelectClasses",
    "SelectSubset",
    "SelectTilts",
    "SimulateMicrographs",
    "SimulateTomograms",
    "Symmetrize",
]
