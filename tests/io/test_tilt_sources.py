"""Tilt series on disk: which files belong together, in every format, and what is wrong with half of them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emtomo.errors import EmtomoError
from emtomo.io import imod_tilts, mrc, relion_tilts, scipion_tilts, star, warp
from emtomo.io.tilt_sources import find_series, series_of_names
from emtomo.io.tilts import Tilts

N = 5
ANGLES = np.linspace(-40.0, 40.0, N)


def tilts(name="TS a", n=N):
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "angle": ANGLES[:n],
            "rotation": 84.0 + rng.normal(0, 0.5, n),
            "shift_x": rng.normal(0, 8, n),
            "shift_y": rng.normal(0, 8, n),
            "dose": 3.0 * np.argsort(np.argsort(np.abs(ANGLES[:n]))),
            "defocus_u": 30000.0 + rng.normal(0, 300, n),
            "defocus_v": 29000.0 + rng.normal(0, 300, n),
            "defocus_angle": rng.uniform(0, 90, n),
            "excluded": np.zeros(n),
        }
    )
    optics = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.07}
    return Tilts(table, 2.0, (24, 20), (24, 20, 12), optics, name=name)


def stack(path, n=N, shape=(20, 24), seed=0, only=None):
    """Write images, or only one of them, and return all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).normal(100, 10, (n, *shape)).astype(np.float32)
    mrc.write_volume(path, images if only is None else images[[only]], 2.0, stack=True)
    return images


def mdoc(path, angles=ANGLES, names=None, image=""):
    """Write the .mdoc of a stack, taken from zero outwards."""
    order = np.argsort(np.argsort(np.abs(angles), kind="stable"))
    lines = ["PixelSpacing = 2.0", "Voltage = 300", "ImageSize = 24 20", f"ImageFile = {image}", ""]
    lines += ["[T = SerialEM: Digitized on a camera]", "[T =     Tilt axis angle = 84.0, binning = 1]", ""]
    for k, angle in enumerate(angles):
        lines += [f"[ZValue = {k}]", f"TiltAngle = {angle:.3f}", "ExposureDose = 3.0"]
        lines += [f"SubFramePath = D:\\frames\\{names[k]}"] if names else []
        lines += [f"DateTime = 01-Jan-20  12:{order[k]:02d}:00", ""]
    path.write_text("\n".join(lines))


def files_in(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def write(kind, folder):
    """Write a series with its images as programs of a kind do."""
    given = tilts()
    name = given.name
    if kind == "mdoc":
        stack(folder / f"{name}.mrc")
        mdoc(folder / f"{name}.mrc.mdoc")
    elif kind == "imod":
        stack(folder / f"{name}.st")
        imod_tilts.write_tlt(folder / f"{name}.tlt", given.table["angle"])
        imod_tilts.write_tlt(folder / f"{name}.rawtlt", given.table["angle"] + 0.3)
        imod_tilts.write_tlt(folder / f"{name}.xtilt", np.full(N, 1.5))
        imod_tilts.write_xf(folder / f"{name}.xf", given, 2.0)
        imod_tilts.write_com(folder, given)
        mdoc(folder / f"{name}.st.mdoc")
    elif kind == "aretomo":
        stack(folder / f"{name}.mrc")
        rows = [
            f"{k} {r.rotation} 1.0 {r.shift_x / 2} {r.shift_y / 2} 1 1 1 0 {r.angle}"
            for k, r in enumerate(given.table.itertuples())
        ]
        head = ["# AreTomo Alignment / Priims bprmMn", f"# RawSize = 24 20 {N}"]
        (folder / f"{name}.aln").write_text("\n".join([*head, *rows]) + "\n")
    elif kind == "warp":
        given.table["name"] = [f"frames/{name}_{k}.tif" for k in range(N)]
        for k in range(N):
            stack(folder / "average" / f"{name}_{k}.mrc", only=k)
        warp.write_xml(folder / f"{name}.xml", given)
        warp.write_tomostar(folder / f"{name}.tomostar", given)
    elif kind == "relion5":
        given.name = "TS_a"
        for k in range(N):
            stack(folder / "MotionCorr" / f"TS_a_{k}.mrc", only=k)
        given.table["name"] = [f"MotionCorr/TS_a_{k}.mrc" for k in range(N)]
        (folder / "ImportJob").mkdir()
        relion_tilts.write_tomograms(folder / "ImportJob" / "tomograms.star", [given])
    elif kind == "relion4":
        given.name = "TS_a"
        stack(folder / "TS_a.mrc")
        write_relion4(folder, given)
    elif kind == "scipion":
        given.name = "TS_a"
        stack(folder / "TS_a.mrc")
        scipion_tilts.write_tilt_series(folder / "tiltseries.sqlite", [given])
    return given


def write_relion4(folder, given):
    """Write RELION 4's tomograms.star: matrices from the tomogram's first voxel to the image's."""
    geometry = given.geometry()
    matrices = np.zeros((N, 3, 4))
    matrices[:, :, :3] = geometry.rotations
    matrices[:, :2, 3] = geometry.shifts / given.pixel_size + np.array(given.image_size) / 2
    matrices[:, :, 3] -= geometry.rotations @ np.array(given.volume_size) / 2
    rows = {f"rlnTomoProj{a}": ["[" + ",".join(f"{v:.8f}" for v in m[i]) + "]" for m in matrices]
            for i, a in enumerate("XYZ")}  # fmt: skip
    columns = {"rlnDefocusU": "defocus_u", "rlnDefocusV": "defocus_v", "rlnDefocusAngle": "defocus_angle"}
    rows |= {name: given.table[column] for name, column in columns.items()}
    rows["rlnMicrographPreExposure"] = given.table["dose"]
    whole = {"rlnTomoName": ["TS_a"], "rlnTomoTiltSeriesName": ["TS_a.mrc:mrc"], "rlnTomoHand": [-1.0]}
    whole |= {f"rlnTomoSize{a}": [n] for a, n in zip("XYZ", given.volume_size, strict=True)}
    whole["rlnTomoTiltSeriesPixelSize"] = [given.pixel_size]
    whole |= {"rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.07]}
    star.write_blocks(folder / "tomograms.star", {"global": pd.DataFrame(whole), "TS_a": pd.DataFrame(rows)})


@pytest.mark.parametrize("kind", ["mdoc", "imod", "aretomo", "warp", "relion5"])
def test_every_program_gives_the_same_series(kind, tmp_path):
    given = write(kind, tmp_path)
    found, unused = find_series([f for f in files_in(tmp_path) if "average" not in f.parts], pixel_size=2.0)
    assert [s.name for s in found] == [given.name]
    series = found[0]
    assert len(series.images) == N and series.odd == []
    assert_allclose(series.tilts.column("angle"), ANGLES, atol=1e-3)
    if kind != "mdoc":
        for column in ("shift_x", "shift_y", "rotation"):
            assert_allclose(series.tilts.column(column), given.column(column), atol=1e-3, err_msg=column)
    if kind in ("mdoc", "imod"):
        assert_allclose(series.tilts.column("dose"), [9.0, 3.0, 0.0, 6.0, 12.0])
        assert series.tilts.pixel_size == 2.0 and series.stack is not None
    if kind == "imod":
        assert_allclose(series.tilts.column("x_tilt"), 1.5)
        assert series.tilts.volume_size == (24, 20, 12)
    if kind in ("warp", "relion5"):
        assert series.stack is None and numbers(series) == list(range(N))
        assert_allclose(series.tilts.column("defocus_u"), given.column("defocus_u"), atol=0.1)
    assert [f.name for f in unused if f.suffix in (".mrc", ".st")] == []


def numbers(series):
    return [int(path.stem[-1]) for path, _ in series.images]


def test_several_series_halves_and_what_belongs_to_none(tmp_path):
    for name in ("TS_1", "TS_2.5"):
        stack(tmp_path / f"{name}.mrc")
        mdoc(tmp_path / f"{name}.mrc.mdoc")
    stack(tmp_path / "TS_1_ODD.mrc")
    stack(tmp_path / "TS_1_EVN.mrc")
    stack(tmp_path / "alone.mrc")
    imod_tilts.write_tlt(tmp_path / "notes.xtilt", np.zeros(3))
    found, unused = find_series(files_in(tmp_path))
    assert [s.name for s in found] == ["TS_1", "TS_2.5"]
    assert found[0].odd == [(tmp_path / "TS_1_ODD.mrc", k) for k in range(N)] and len(found[0].even) == N
    assert [f.name for f in unused] == ["alone.mrc", "notes.xtilt"]
    (tmp_path / "TS_1_EVN.mrc").unlink()
    with pytest.raises(EmtomoError, match="odd images of TS_1, but no even"):
        find_series(files_in(tmp_path))


@pytest.mark.parametrize(("odd", "even"), [("_Odd", "_EVEN"), ("-odd", ".evn"), ("ODD/", "EVN/"), ("odd/", "Even/")])
def test_halves_are_found_in_capitals_or_not_beside_or_in_folders(odd, even, tmp_path):
    def half(mark):
        return tmp_path / (f"{mark}TS.mrc" if mark.endswith("/") else f"TS{mark}.mrc")

    for path in (tmp_path / "TS.mrc", half(odd), half(even)):
        path.parent.mkdir(exist_ok=True)
        stack(path)
    imod_tilts.write_tlt(tmp_path / "TS.rawtlt", ANGLES)
    (series,), unused = find_series(sorted(p for p in tmp_path.rglob("*") if p.is_file()))
    assert series.stack == tmp_path / "TS.mrc" and unused == []
    assert [part[2][1] for part in (series.odd, series.even)] == [2, 2]
    assert [part[0][0].resolve() for part in (series.odd, series.even)] == [half(m).resolve() for m in (odd, even)]


def test_a_sections_z_value_is_the_number_of_its_image(tmp_path):
    stack(tmp_path / "a.mrc")
    z = [2, 3, 1, 4, 0]  # as the file has them
    text = [f"[ZValue = {k}]\nTiltAngle = {ANGLES[k]}\nDateTime = 01-Jan-26  10:0{t}:00\n" for t, k in enumerate(z)]
    (tmp_path / "a.mrc.mdoc").write_bytes(("PixelSpacing = 2\n\n" + "\n".join(text)).replace("\n", "\r\n").encode())
    series = find_series(files_in(tmp_path))[0][0]
    assert_allclose(series.tilts.column("angle"), ANGLES)
    assert series.tilts.column("acquisition_order").tolist() == [5, 3, 1, 2, 4]
    (tmp_path / "a.mrc.mdoc").write_text("".join(text).replace("ZValue = 3", "ZValue = 2"))
    with pytest.raises(EmtomoError, match="a.mrc.mdoc, line 4: ZValue 2 stands in line 1 already"):
        find_series(files_in(tmp_path))


def test_a_series_of_a_single_tilt(tmp_path):
    stack(tmp_path / "it's one.mrc", n=1)
    (tmp_path / "it's one.tlt").write_text("12.0\n")
    (series,), _ = find_series(files_in(tmp_path))
    assert series.images == [(tmp_path / "it's one.mrc", 0)] and series.tilts.table["angle"].tolist() == [12.0]


def test_mdoc_in_the_order_of_time_beside_sorted_angles(tmp_path):
    stack(tmp_path / "a.st")
    imod_tilts.write_tlt(tmp_path / "a.rawtlt", ANGLES)
    shuffled = np.array([0.0, 20.0, -20.0, -40.0, 40.0])
    mdoc(tmp_path / "a.mdoc", shuffled + 0.2)
    series = find_series(files_in(tmp_path))[0][0]
    assert_allclose(series.tilts.column("angle"), ANGLES)
    assert_allclose(series.tilts.column("dose"), [9.0, 3.0, 0.0, 6.0, 12.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: stack(d / "a.st", 4), "a.st: it has 4 images, but a.tlt has 5 tilts"),
        (
            lambda d: (
                imod_tilts.write_tlt(d / "a.rawtlt", ANGLES),
                imod_tilts.write_tlt(d / "a.tlt", ANGLES[1:]),
            ),
            "a.st: it has 5 images, but a.tlt has 4 tilts",
        ),
        (lambda d: (d / "a.st").unlink(), "a.tlt: no stack of images named a"),
        (lambda d: imod_tilts.write_tlt(d / "a.xtilt", np.zeros(3)), "a.xtilt beside it has another number of lines"),
        (lambda d: imod_tilts.write_xf(d / "a.xf", tilts(n=4), 2.0), "another number of lines"),
        (lambda d: mdoc(d / "a.mdoc", ANGLES[:4]), "a.mdoc: it has 4 tilts, but a.tlt has 5"),
        (lambda d: mdoc(d / "a.mdoc", ANGLES * 0.5), "angles are not those of a.tlt"),
        (lambda d: stack(d / "a_odd.st", 4), "a_odd.st: it has 4 images, but a.st has 5"),
    ],
)
def test_half_a_series_is_an_error_that_names_the_file(change, message, tmp_path):
    stack(tmp_path / "a.st")
    imod_tilts.write_tlt(tmp_path / "a.tlt", ANGLES)
    change(tmp_path)
    with pytest.raises(EmtomoError, match=message):
        find_series(files_in(tmp_path))


def test_images_that_say_their_tilt_in_their_name(tmp_path):
    for k, angle in enumerate((0, 20, -20)):
        for name in ("TS_1", "TS_2"):
            stack(tmp_path / f"{name}_{k + 1:03d}_{angle}.0.mrc", 1)
    found = series_of_names(files_in(tmp_path), "{TS}_{TO}_{TA}.mrc")
    assert [s.name for s in found] == ["TS_1", "TS_2"]
    assert found[0].tilts.column("angle").tolist() == [-20, 0, 20]
    assert found[0].tilts.table["acquisition_order"].tolist() == [3, 1, 2]
    assert [p.name for p, _ in found[0].images] == ["TS_1_003_-20.0.mrc", "TS_1_001_0.0.mrc", "TS_1_002_20.0.mrc"]
    (tmp_path / "TS_1_009_0.mrc").write_bytes((tmp_path / "TS_1_001_0.0.mrc").read_bytes())
    with pytest.raises(EmtomoError, match="two images have one tilt angle"):
        series_of_names(files_in(tmp_path), "{TS}_{TO}_{TA}.mrc")


def test_matrices_that_count_from_the_first_voxel_give_the_shift_of_the_centre(tmp_path):
    """RELION 4: an image's pixel is the matrix times the tomogram's voxel, both from the first."""
    rotation = tilts().geometry().rotations
    move = np.random.default_rng(1).uniform(5, 15, (N, 2))
    rows = {
        f"rlnTomoProj{axis}": [
            "[" + ",".join(f"{v:.9g}" for v in [*rotation[t, k], move[t, k] if k < 2 else 0.0]) + "]" for t in range(N)
        ]
        for k, axis in enumerate("XYZ")
    }
    head = pd.DataFrame({"rlnTomoName": ["a"], "rlnTomoSizeX": [24], "rlnTomoSizeY": [20], "rlnTomoSizeZ": [12],
                         "rlnTomoTiltSeriesPixelSize": [2.0], "rlnTomoHand": [-1],
                         "rlnTomoTiltSeriesName": ["tilts/stack of a.mrc:mrc"]})  # fmt: skip
    star.write_blocks(tmp_path / "tomograms.star", {"global": head, "a": pd.DataFrame(rows)})
    stack(tmp_path / "tilts" / "stack of a.mrc", shape=(26, 30))
    found, _ = find_series([tmp_path / "tomograms.star"])
    assert found[0].images == [(tmp_path / "tilts" / "stack of a.mrc", t) for t in range(N)]
    series = relion_tilts.read_tomograms(tmp_path / "tomograms.star")["a"]
    with pytest.raises(EmtomoError, match="sizes of images"):
        series.geometry()
    series.image_size = (30, 26)
    voxel = np.array([[3.0, 7.0, 2.0]])
    seen = series.project((voxel - [12, 10, 6]) * 2.0)[:, 0, :2] / 2.0 + [15, 13]
    expected = rotation[:, :2] @ voxel[0] + move
    assert_allclose(seen, expected, atol=1e-5)
