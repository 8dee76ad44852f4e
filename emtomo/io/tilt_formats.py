"""All formats of tilt series, one line each."""

from emtomo.io import ctf_files, imod_tilts, mdoc, relion_tilts, scipion_tilts, warp
from emtomo.io.format import Format
from emtomo.io.tilts import Tilts

TILTS: tuple[Format[list[Tilts]], ...] = (  # in the order in which they are recognised
    warp.XML,
    ctf_files.WEDGES,
    warp.TOMOSTAR,
    relion_tilts.TOMOGRAMS,
    relion_tilts.SERIES,
    ctf_files.GCTF,
    scipion_tilts.SERIES,
    scipion_tilts.CTF,
    imod_tilts.ANGLES,
    imod_tilts.X_TILTS,
    imod_tilts.TRANSFORMS,
    imod_tilts.DEFOCUS,
    mdoc.MDOC,
    imod_tilts.ARETOMO,
    ctf_files.CTFFIND,
    imod_tilts.COMMANDS,
)
FORMATS: dict[str, Format[list[Tilts]]] = {known.name: known for known in TILTS}
WRITTEN = tuple(known.name for known in TILTS if known.write)
