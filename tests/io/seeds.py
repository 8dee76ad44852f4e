"""Small good files of every format: what the writers write, and what other programs would have written."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from emtomo.io import dynamo, formats, imod_tilts, mrc, relion_tilts, scipion_tilts, tiff, volumes, warp
from emtomo.io.particles import ParticleList, VolumeGeometry
from emtomo.io.tags import Tags
from emtomo.io.tilts import Tilts

SIZES = {"TS_01": VolumeGeometry((512, 480, 200), 10.0), "TS_02": VolumeGeometry((511, 481, 201), 10.0)}


def particles(n: int = 6, seed: int = 0, *, tomograms: int = 2) -> ParticleList:
    """Return particles with everything that some format can hold."""
    rng = np.random.default_rng(seed)
    names = np.array([f"TS_{k % tomograms + 1:02d}" for k in range(n)], object)
    return ParticleList(
        names,
        rng.uniform(20, 180, (n, 3)),
        rng.normal(0, 3, (n, 3)),
        Rotation.random(n, random_state=rng).as_matrix().reshape(-1, 3, 3),
        pixel_size=np.full(n, 10.0),
        columns={
            "group": rng.integers(1, 5, n),
            "score": np.round(rng.normal(size=n), 3),
            "class_number": rng.integers(1, 4, n),
            "half": np.arange(n) % 2 + 1,
            "id": np.arange(1, n + 1),
        },
        tags=Tags(white=True, weights="ctf_squared", premultiplied=True, hand=-1),
    )


def tilts(n: int = 5) -> Tilts:
    """Return a tilt series with everything that some format can hold."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({
        "name": [f"f_{k}.mrc" for k in range(n)], "angle": np.linspace(-60, 60, n), "x_tilt": np.full(n, 1.5),
        "rotation": np.full(n, 84.5), "shift_x": rng.normal(0, 20, n), "shift_y": rng.normal(0, 20, n),
        "dose": np.arange(n) * 3.0, "defocus_u": rng.uniform(2e4, 3e4, n), "defocus_v": rng.uniform(2e4, 3e4, n),
        "defocus_angle": rng.uniform(-90, 90, n), "phase_shift": np.full(n, 30.0), "excluded": np.zeros(n, int),
    })  # fmt: skip
    return Tilts(table, 2.0, (400, 380), (400, 380, 160), {"voltage": 300.0, "cs": 2.7}, hand=-1, name="TS_01")


_MDOC = """PixelSpacing = 2.0
Voltage = 300
ImageSize = 400 380

[T = SerialEM: somewhere]

[T =     Tilt axis angle = 82.9, binning = 1]

[ZValue = 0]
TiltAngle = -3.01
ExposureDose = 2.5
SubFramePath = X:\\frames\\a.tif
DateTime = 30-Nov-15  15:21:38

[ZValue = 1]
TiltAngle = 0.02
ExposureDose = 2.5
SubFramePath = X:\\frames\\b.tif
DateTime = 30-Nov-15  15:20:38
"""
_ALN = """# AreTomo Alignment / Priims bprmMn
# RawSize = 400 380 4
# NumPatches = 0
# DarkFrame =     0    0   -66.00
# AlphaOffset =     0.00
# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT
    1   -12.6611    1.00000     24.786     -2.677     1.00     1.00     1.00     0.00    -61.50
    2   -12.6611    1.00000     34.451     -8.599     1.00     1.00     1.00     0.00    -60.00
"""
_CBOX = """
data_global

_cbox_format_version   1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_Confidence #7
 12.25  27.5  50.0  25.0  25.0  25.0 <NA>
 65.5  39.25  51.0  25.0  25.0  25.0 <NA>
"""
_CTFFIND = """# Output from CTFFind version 4.1.8, run on 2019-02-25 11:33:34
# Pixel size: 1.327 Angstroms ; acceleration voltage: 300.0 keV ; spherical aberration: 2.70 mm ; \
amplitude contrast: 0.07
1.000000 14477.870117 13500.001953 75.000012 0.000000 0.001071 12.144508
2.000000 18332.730469 17896.296875 -84.116628 0.500000 0.006649 14.622980
"""
_GCTF = """
data_

loop_
_rlnMicrographName #1
_rlnDefocusU #2
_rlnDefocusV #3
_rlnDefocusAngle #4
_rlnVoltage #5
_rlnMagnification #6
_rlnDetectorPixelSize #7
split.mrc.01 35268.359375 35036.406250 21.260185 300.0 71029.937500 14.000000
split.mrc.02 34332.652344 35647.824219 10.495987 300.0 71029.937500 14.000000
"""
_PEET = (
    "CCC,reserved,reserved,pIndex,wedgeWT,NA,NA,NA,NA,NA,xOffset,yOffset,zOffset,NA,NA,reserved,"
    "EulerZ(1),EulerZ(3),EulerX(2),reserved\n" + "0.5,0,0,1,1,0,0,0,0,0,1.5,-2,0.25,0,0,0,10,20,30,0\n" * 3
)
_COM = "$tilt -StandardInput\nTILTFILE {name}.tlt\nTHICKNESS 160\nFULLIMAGE 400 380\nOFFSET 0.0\n"
_M = """
data_particles

loop_
_wrpCoordinateX1 #1
_wrpCoordinateX2 #2
_wrpCoordinateY1 #3
_wrpCoordinateY2 #4
_wrpCoordinateZ1 #5
_wrpCoordinateZ2 #6
_wrpAngleRot1 #7
_wrpAngleTilt1 #8
_wrpAnglePsi1 #9
_wrpRandomSubset #10
_wrpSourceName #11
1200.5 1200.6 800.25 800.1 400.125 400.2 10 20 30 1 TS_01.tomostar
1300.5 1300.6 900.25 900.1 410.125 410.2 40 50 60 2 TS_01.tomostar
"""
_TEXTS = {
    "m": ("m.star", _M),
    "cbox": ("a.cbox", _CBOX),
    "box": ("a.box", "10 20 30 30\n40 50 30 30\n"),
    "peet": ("run_MOTL.csv", _PEET),
    "mdoc": ("a.mdoc", _MDOC),
    "aln": ("a.aln", _ALN),
    "ctffind": ("a_ctffind4.txt", _CTFFIND),
    "gctf": ("a.star", _GCTF),
    "defocus": ("a.defocus", "1 1 -60.0 -60.0 2500 2\n2 3 -57.0 -54.0 2600\n"),
    "doc": ("a.doc", "  1  TS_01.mrc\n 7 TS_02.mrc_15.00Apx.mrc\n"),
    "vll": ("a.vll", "# list\n/data/TS_01.mrc\n* index = 1\n* ytilt = -60 60\n> crop.tbl\n/data/TS_02.mrc\n"),
}


def _peet_model(folder: Path) -> None:
    three = particles(3, tomograms=1)
    three.rotations = None
    formats.write(folder / "run.mod", three, "imod", sizes=SIZES)


def write_seed(kind: str, folder: Path) -> Path:
    """Write a good file of a kind into `folder` and return its path."""
    if kind in _TEXTS:
        name, text = _TEXTS[kind]
        (folder / name).write_text(text)
        if kind == "peet":
            _peet_model(folder)
        return folder / name
    series = tilts()
    writers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "tlt": ("a.tlt", lambda p: imod_tilts.write_tlt(p, series.column("angle"))),
        "xf": ("a.xf", lambda p: imod_tilts.write_xf(p, series, 2.0)),
        "defocus3": ("a.defocus", lambda p: imod_tilts.write_defocus(p, series)),
        "tomostar": ("a.tomostar", lambda p: warp.write_tomostar(p, series)),
        "warp-xml": ("a.xml", lambda p: warp.write_xml(p, series)),
        "tilts-relion": ("ts.star", lambda p: relion_tilts.write_tilt_star(p, series)),
        "scipion-tilts": ("t.sqlite", lambda p: scipion_tilts.write_tilt_series(p, [series])),
        "tomograms": ("tomograms.star", lambda p: relion_tilts.write_tomograms(p, [series])),
    }
    if kind == "dynamo-model":
        from scipy.io import savemat

        model = {"points": particles().positions, "group_labels": np.arange(6.0), "cvolume": {"file": "TS_01.mrc"}}
        savemat(folder / "a.omd", {"s": model})
        return folder / "a.omd"
    if kind == "com":
        imod_tilts.write_tlt(folder / "a.tlt", series.column("angle"))
        (folder / "tilt.com").write_text(_COM.format(name="a"))
        return folder / "tilt.com"
    if kind == "optimisation-set":
        formats.write(folder / "p.star", particles(), "relion4", sizes=SIZES)
        relion_tilts.write_tomograms(folder / "t.star", [series])
        volumes.write_optimisation_set(folder / "o.star", "p.star", "t.star")
        return folder / "o.star"
    if kind in writers:
        name, writer = writers[kind]
        writer(folder / name)
        return folder / name
    known = formats.FORMATS[kind]
    tail = "_info.json" if kind == "eman" else known.suffix
    one = particles(tomograms=1) if known.one_tomogram else particles()
    return formats.write(folder / f"TS_01{tail}", one, kind, sizes=SIZES)[0]


TEXT_PARTICLES = ("relion3.0", "relion3.1", "relion4", "relion5", "warp", "m", "dynamo", "stopgap", "peet", "eman",
                  "eman-list", "copick", "cbox", "box", "text")  # fmt: skip
TEXT_TILTS = ("tlt", "xf", "com", "defocus", "defocus3", "mdoc", "aln", "ctffind", "gctf", "warp-xml", "tomostar",
              "tilts-relion")  # fmt: skip
TEXT_LISTS = ("doc", "vll", "tomograms", "optimisation-set")
BINARY = ("imod", "motl", "scipion", "scipion-tilts", "dynamo-model")


IMAGES = ("mrc", "em", "tif", "hdf", "mrc.gz")


def write_image(kind: str, folder: Path) -> Path:
    """Write a small volume of a kind of image."""
    import gzip

    import h5py

    data = np.random.default_rng(2).normal(size=(5, 6, 7)).astype(np.float32)
    path = folder / f"a.{kind}"
    if kind == "em":
        path.write_bytes(em_image((7, 6, 5)))
    elif kind == "tif":
        tiff.write_tiff(path, data, 5.0)
    elif kind == "hdf":
        with h5py.File(path, "w") as file:
            group = file.create_group("MDF/images/0")
            group["image"] = data
            group.attrs["EMAN.apix_x"] = 5.0
    else:
        mrc.write_volume(folder / "a.mrc", data, 5.0)
        if kind == "mrc.gz":
            path.write_bytes(gzip.compress((folder / "a.mrc").read_bytes()))
    return path


def reader_of(kind: str) -> Callable[[Path], object]:
    """Return what a user's file of a kind is read with, recognised by content where that is how it is done."""
    from emtomo.io.convert_tilts import read_tilts

    lists: dict[str, Callable[[Path], object]] = {
        "scipion-tilts": scipion_tilts.read_tilt_series,
        "doc": dynamo.read_doc,
        "vll": dynamo.read_vll,
        "tomograms": relion_tilts.read_tomograms,
        "optimisation-set": formats.read,
    }
    if kind in lists:
        return lists[kind]
    if kind in TEXT_TILTS:
        forced = {"defocus3": "defocus"}.get(kind, kind)
        return lambda path: read_tilts(path, forced, 2.0)
    return lambda path: formats.read(path, kind)


def em_image(shape: tuple[int, int, int]) -> bytes:
    """Return an EM file of zeros."""
    header = bytearray(512)
    header[0], header[3] = 6, 5
    header[4:16] = struct.pack("<3i", *shape)
    return bytes(header) + bytes(4 * int(np.prod(shape)))
