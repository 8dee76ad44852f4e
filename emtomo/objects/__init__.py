"""Typed data that flows between protocols."""

from emtomo.objects.class_2d import Class2D, SetOfClasses2D
from emtomo.objects.class_3d import Class3D, SetOfClasses3D
from emtomo.objects.coordinates import Coordinate3D, SetOfCoordinates3D, coordinates_frame
from emtomo.objects.coordinates_2d import Coordinate2D, SetOfCoordinates2D, coordinates_2d_frame
from emtomo.objects.mesh import MeshPoint, SetOfMeshes
from emtomo.objects.micrograph import Micrograph, SetOfMicrographs
from emtomo.objects.particle import Particle, SetOfParticles
from emtomo.objects.particle_series import ParticleSeries, SetOfParticleSeries
from emtomo.objects.population import Population, Species
from emtomo.objects.rotation import positions_of, rotation_columns, rotations_of
from emtomo.objects.subtomogram import SetOfSubtomograms, Subtomogram
from emtomo.objects.tilt_series import SetOfTiltSeries, TiltSeries
from emtomo.objects.tomogram import SetOfTomograms, Tomogram
from emtomo.objects.volume import FSC, Average, Mask, Volume

__all__ = [
    "FSC",
    "Average",
    "Class2D",
    "Class3D",
    "Coordinate2D",
    "Coordinate3D",
    "Mask",
    "MeshPoint",
    "Micrograph",
    "Particle",
    "ParticleSeries",
    "Population",
    "SetOfClasses2D",
    "SetOfClasses3D",
    "SetOfCoordinates2D",
    "SetOfCoordinates3D",
    "SetOfMeshes",
    "SetOfMicrographs",
    "SetOfParticleSeries",
    "SetOfParticles",
    "SetOfSubtomograms",
    "SetOfTiltSeries",
    "SetOfTomograms",
    "Species",
    "Subtomogram",
    "TiltSeries",
    "Tomogram",
    "Volume",
    "coordinates_2d_frame",
    "coordinates_frame",
    "positions_of",
    "rotation_columns",
    "rotations_of",
]
