"""All formats of particles, one line each."""

from emtomo.io import (
    copick,
    cryolo,
    dynamo,
    dynamo_catalogue,
    eman,
    imod,
    motl,
    points,
    relion_formats,
    scipion,
    warp_m,
)
from emtomo.io.format import Format
from emtomo.io.particles import ParticleList

PARTICLES: tuple[Format[ParticleList], ...] = (  # in the order in which they are recognised
    relion_formats.OPTIMISATION_SET,
    relion_formats.COORDINATE_FILES,
    relion_formats.RELION_5,
    relion_formats.RELION_4,
    relion_formats.RELION_3_1,
    relion_formats.RELION_3_0,
    relion_formats.WARP,
    warp_m.PARTICLES,
    dynamo_catalogue.CATALOGUE,
    dynamo_catalogue.MODEL,
    imod.MODEL,
    scipion.PARTICLES,
    motl.MOTL,
    motl.STOPGAP,
    eman.INFO,
    eman.PARTICLE_LIST,
    copick.PICKS,
    cryolo.CBOX,
    cryolo.BOX,
    dynamo.TABLE,
    motl.PEET,
    points.TEXT,
)
FORMATS: dict[str, Format[ParticleList]] = {known.name: known for known in PARTICLES}
WRITTEN = tuple(known.name for known in PARTICLES if known.suffix and known.write)
WORDS = {
    "positions": "positions",
    "rotation": "orientations",
    "z_axis": "rotations about the z axis",
    "tomograms": "names of tomograms",
    "pixel_size": "pixel size",
    "shift": "shifts (added to the positions)",
    "other": "columns of its own",
    "tags": "tags",
    "group": "groups",
    "score": "scores",
    "class_number": "classes",
    "half": "half sets",
    "image": "box files",
    "ctf_image": "CTF volumes",
    "id": "particle numbers",
    "role": "roles",
    "label": "labels",
    "model": "models",
    "set_name": "names of sets",
}
