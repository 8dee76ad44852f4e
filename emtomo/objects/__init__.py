"""Typed data that flows between protocols."""

from emtomo.objects.coordinates import Coordinate3D, SetOfCoordinates3D, coordinates_frame
from emtomo.objects.mesh import MeshPoint, SetOfMeshes
from emtomo.objects.particle_series import ParticleSeries, SetOfParticleSeries
from emtomo.objects.rotation import positions_of, rotation_columns, rotations_of
from emtomo.objects.subtomogram import SetOfSubtomograms, Subtomogram
from emtomo.objects.tilt_series import SetOfTiltSeries, TiltSeries
from emtomo.objects.tomogram import SetOfTomograms, Tomogram
from emtomo.objects.volume import FSC, Average, Mask, Volume

__all__ = [
    "FSC",
    "Average",
    "Coordinate3D",
    "Mask",
    "MeshPoint",
    "ParticleSeries",
    "SetOfCoordinates3D",
    "SetOfMeshes",
    "SetOfParticleSeries",
    "SetOfSubtomograms",
    "SetOfTiltSeries",
    "SetOfTomograms",
    "Subtomogram",
    "TiltSeries",
    "Tomogram",
    "Volume",
    "coordinates_frame",
    "positions_of",
    "rotation_columns",
    "rotations_of",
]
