"""MRC files as many programs write them, and TIFF volumes however their pages are grouped."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal

from emtomo.errors import FormatError
from emtomo.io import containers, images, mrc
from emtomo.io.convert_images import convert_image

SHAPE = (24, 36, 40)


def blob(shape=SHAPE):
    """Return a dark blob on noise around 200, in grey values of a byte."""
    z, y, x = np.indices(shape)
    noise = np.random.default_rng(1).normal(200, 4, shape)
    return noise - 150 * np.exp(-((x - 12) ** 2 + (y - 20) ** 2 + (z - 9) ** 2) / 12)


def header(data, mode, order="<", **words):
    """Return an MRC header: sizes, cell of 10 Å voxels, axes, statistics, stamp; `words` overrides by word number."""
    raw = bytearray(1024)
    nz, ny, nx = data.shape

    def put(word, values, kind):
        raw[4 * (word - 1) : 4 * (word - 1) + 4 * len(values)] = np.array(values, order + kind).tobytes()

    put(1, [nx, ny, nz, mode], "i4")
    put(8, [nx, ny, nz], "i4")
    put(11, [10.0 * nx, 10.0 * ny, 10.0 * nz], "f4")
    put(17, [1, 2, 3], "i4")
    put(20, [float(data.min()), float(data.max()), float(data.mean())], "f4")
    raw[208:212] = b"MAP "
    raw[212:214] = b"DD" if order == "<" else b"\x11\x11"
    for name, (kind, values) in words.items():
        put(int(name[1:]), values, kind)
    return raw


def save(folder, data, mode, kind, order="<", name="a.mrc", imod=None, **words):
    raw = header(data, mode, order, **words)
    if imod is not None:
        raw[152:156] = b"IMOD"
        raw[156:160] = np.array([imod], order + "i4").tobytes()
    path = folder / name
    path.write_bytes(bytes(raw) + np.ascontiguousarray(data).astype(order + kind).tobytes())
    return path


def test_bytes_of_imod_have_no_sign_unless_its_flag_says_so(tmp_path):
    truth = np.round(blob()).astype(np.uint8)
    assert_array_equal(mrc.read_volume(save(tmp_path, truth, 0, "u1", imod=0)), truth)
    signed = (truth.astype(int) - 128).astype(np.int8)
    assert_array_equal(mrc.read_volume(save(tmp_path, signed, 0, "i1", imod=1)), signed)


def test_bytes_without_flag_go_by_the_header_and_it_is_said(tmp_path):
    truth = np.round(blob()).astype(np.uint8)
    path = save(tmp_path, truth, 0, "u1")
    assert_array_equal(mrc.read_volume(path), truth)
    assert "0 to 255" in images.describe(path).notes[0]
    signed = (truth.astype(int) - 128).astype(np.int8)
    path = save(tmp_path, signed, 0, "i1")
    assert_array_equal(mrc.read_volume(path), signed)
    assert not images.describe(path).notes


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.15])  # densities around 120, 200 and 230, the blob always below 128
@pytest.mark.parametrize("how", ["plain", "gz"])
def test_bytes_of_which_the_header_says_nothing_go_by_their_values(how, scale, tmp_path):
    truth = np.round(blob() * scale).astype(np.uint8)
    nothing = {"w20": ("f4", [0.0, -1.0, -2.0])}

    def stored(data, kind):
        path = save(tmp_path, data, 0, kind, **nothing)
        if how == "gz":
            path = tmp_path / "a.mrc.gz"
            path.write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
        return path

    assert_array_equal(mrc.read_volume(stored(truth, "u1")), truth)
    signed = (truth.astype(int) - 128).astype(np.int8)
    path = stored(signed, "i1")
    assert_array_equal(mrc.read_volume(path), signed)
    assert "sign" in images.describe(path).notes[0]
    mask = np.where(truth > 115, 255, 0).astype(np.uint8)
    assert_array_equal(np.unique(mrc.read_volume(stored(mask, "u1"))), [0, 255])


def test_big_endian_bytes_whose_sizes_divide_by_256(tmp_path):
    truth = np.arange(256 * 256, dtype=np.uint8).reshape(1, 256, 256)
    path = save(tmp_path, truth, 0, "u1", order=">")
    assert mrc.read_header(path).shape == (1, 256, 256)
    raw = bytearray(path.read_bytes())
    raw[212:214] = b"\0\0"  # older files have no stamp
    path.write_bytes(bytes(raw))
    assert mrc.read_header(path).shape == (1, 256, 256)
    assert_array_equal(mrc.read_volume(path), truth)
    path.with_suffix(".mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert_array_equal(mrc.read_volume(path.with_suffix(".mrc.gz")), truth)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "kind"), [(1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_every_mode_in_both_byte_orders(mode, kind, order, tmp_path):
    truth = np.round(blob()).astype(np.float32)
    assert_array_equal(mrc.read_volume(save(tmp_path, truth, mode, kind, order)), truth)


@pytest.mark.parametrize(("mode", "name"), [(3, "transform"), (4, "transform"), (16, "colour"), (99, "no mode")])
def test_modes_that_are_no_density_are_named(mode, name, tmp_path):
    with pytest.raises(FormatError, match=rf"mode {mode} .*{name}"):
        mrc.read_header(save(tmp_path, blob(), mode, "f4"))


@pytest.mark.parametrize("nx", [8, 7])
def test_four_bits_a_voxel(nx, tmp_path):
    truth = np.random.default_rng(0).integers(0, 16, (3, 5, nx))
    padded = np.concatenate([truth, np.zeros((3, 5, nx % 2), int)], axis=2)
    packed = (padded[:, :, ::2] | padded[:, :, 1::2] << 4).astype(np.uint8)
    raw = header(truth, 101)
    path = tmp_path / "a.mrc"
    path.write_bytes(bytes(raw) + packed.tobytes())
    assert_array_equal(mrc.read_volume(path), truth)


@pytest.mark.parametrize("axes", [(3, 2, 1), (2, 1, 3), (3, 1, 2), (1, 3, 2), (2, 3, 1)])
def test_axes_are_those_that_the_header_says(axes, tmp_path):
    truth = blob()
    order = [2 - (axis - 1) for axis in axes][::-1]  # sections, rows, columns as axes of z, y, x
    stored = truth.transpose(order)
    nz, ny, nx = truth.shape
    path = save(
        tmp_path, stored, 2, "f4",
        w8=("i4", [nx, ny, nz]), w11=("f4", [10.0 * nx, 10.0 * ny, 10.0 * nz]), w17=("i4", list(axes)),
    )  # fmt: skip
    info = images.describe(path)
    assert (info.shape, info.pixel_size, info.plain) == (SHAPE, 10.0, False)
    assert_allclose(mrc.read_volume(path), truth.astype(np.float32))


def test_a_stack_of_volumes_is_no_tall_tomogram(tmp_path):
    stack = np.concatenate([blob(), blob()])
    path = save(tmp_path, stack, 2, "f4", w10=("i4", [24]), w13=("f4", [240.0]), w23=("i4", [477]))
    assert images.describe(path).volumes == 2
    with pytest.raises(FormatError, match="one volume is needed, but it holds 2 volumes, numbered from 1"):
        images.describe_volume(path)


def write_several(folder, kind):
    """Write three volumes into one file, and return it with their names."""
    import h5py

    volumes = [(k + 1) * np.arange(60, dtype=np.float32).reshape(3, 4, 5) for k in range(3)]
    names = [str(k + 1) for k in range(3)]
    path = folder / f"three of 'em.{kind.split()[0]}"
    if kind == "mrc":
        mrc.write_volume(path, np.stack(volumes), 4.0)
    elif kind == "tif":
        with tifffile.TiffWriter(path) as file:
            for one in volumes:
                file.write(one, metadata={"axes": "ZYX"}, photometric="minisblack")
    elif kind == "hdf eman":
        names = [f"MDF/images/{k}/image" for k in range(3)]
        with h5py.File(path, "w") as file:
            for k, one in enumerate(volumes):
                group = file.create_group(f"MDF/images/{k}")
                group["image"] = one
                group.attrs["EMAN.apix_x"] = 4.0
    else:
        names = ["a/first", "a/second", "third"]
        with h5py.File(path, "w") as file:
            for name, one in zip(names, volumes, strict=True):
                file[name] = one
            file["a/list"] = np.arange(5)
    return path, volumes, names


@pytest.mark.parametrize("kind", ["mrc", "tif", "hdf eman", "h5 plain"])
def test_one_of_several_volumes_is_chosen_by_number_or_name(kind, tmp_path):
    path, volumes, names = write_several(tmp_path, kind)
    assert images.describe(path).volumes == 3
    for k, (volume, name) in enumerate(zip(volumes, names, strict=True)):
        for choice in (str(k + 1), name, f"/{name}" if "/" in name else name):
            info = images.describe_volume(path, volume=choice)
            assert (info.shape, info.volumes, info.plain) == ((3, 4, 5), 1, False)
            assert_array_equal(images.read_any(path, choice), volume)
            named = Path(f"{path}:{choice}")
            assert images.is_image(named)
            assert images.describe(named).shape == (3, 4, 5)
            assert_array_equal(images.read_any(named), volume)
        convert_image(path, tmp_path / "out.mrc", pixel_size=4.0, volume=str(k + 1))
        assert_array_equal(mrc.read_volume(tmp_path / "out.mrc"), volume)
    for wrong in ("0", "4", "-1", "1.5", "b"):
        with pytest.raises(FormatError, match=f"no volume '{wrong}' in it; it holds 3"):
            images.describe(path, wrong)
        with pytest.raises(FormatError, match=f"no volume '{wrong}'"):
            images.read_any(path, wrong)
    with pytest.raises(FormatError, match="choose one as .*:"):
        convert_image(path, tmp_path / "out.mrc", pixel_size=4.0)


def test_one_of_two_images_of_an_ome_zarr_is_chosen(tmp_path):
    path = tmp_path / "two.zarr"
    containers.write_zarr(path, np.ones((3, 4, 5), np.float32), 10.0, levels=2)
    notes = json.loads((path / ".zattrs").read_text())
    (first,) = notes["multiscales"]
    second = {**first, "name": "coarse", "datasets": first["datasets"][1:]}
    (path / ".zattrs").write_text(json.dumps({"multiscales": [first, second]}))
    with pytest.raises(FormatError, match="it holds 2: two, coarse; choose one as two.zarr:two"):
        images.describe(path)
    for choice in ("2", "coarse"):
        assert images.describe(Path(f"{path}:{choice}")).shape == (1, 2, 2)
        assert images.read_any(path, choice).shape == (1, 2, 2)
    with pytest.raises(FormatError, match="no volume '3' in it"):
        images.read_any(path, "3")


def test_a_file_of_one_volume_has_no_second(tmp_path):
    mrc.write_volume(tmp_path / "a.mrc", np.ones((3, 4, 5), np.float32), 4.0)
    assert images.describe(tmp_path / "a.mrc", "1").plain
    with pytest.raises(FormatError, match="no volume '2' in it; it holds one volume"):
        images.describe(tmp_path / "a.mrc", "2")


@pytest.mark.parametrize("kind", ["mrc", "tif", "hdf", "zarr"])
def test_voxels_that_are_no_cubes_are_said(kind, tmp_path):
    import h5py

    path = tmp_path / f"a.{kind}"
    data = np.ones(SHAPE, np.float32)
    if kind == "mrc":
        save(tmp_path, data, 2, "f4", w13=("f4", [480.0]))
    elif kind == "tif":
        metadata = {"axes": "ZYX", "unit": "nm", "spacing": 2.0}
        tifffile.imwrite(path, data, imagej=True, metadata=metadata, resolution=(1.0, 1.0))
    elif kind == "hdf":
        with h5py.File(path, "w") as file:
            file["MDF/images/0/image"] = data
            for axis, size in zip("xyz", (10.0, 10.0, 20.0), strict=True):
                file["MDF/images/0"].attrs[f"EMAN.apix_{axis}"] = size
    else:
        containers.write_zarr(path, data, 10.0, levels=1)
        notes = (path / ".zattrs").read_text().replace("10.0", "20.0", 1)
        (path / ".zattrs").write_text(notes)
    assert images.is_image(path)
    with pytest.raises(FormatError, match="voxels of 10 × 10 × 20 Å"):
        images.describe_volume(path)
    assert images.describe_volume(path, pixel_size=10.0).shape == SHAPE
    assert "10 × 10 × 20 Å; 10 Å is written" in convert_image(path, tmp_path / "out.mrc").lines[1]


def test_axes_of_one_are_left_out_of_datasets(tmp_path):
    import h5py

    for shape in ((24, 36, 40, 1), (1, 1, 24, 36, 40), (1, 24, 36, 40, 1)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["exported"] = blob().reshape(shape)
        assert images.describe(tmp_path / "a.h5").shape == SHAPE
        assert_array_equal(images.read_any(tmp_path / "a.h5"), blob())


@pytest.mark.parametrize(
    ("imod", "words"),
    [
        (None, {"w50": ("f4", [100.0, 0, 0])}),
        (None, {"w5": ("i4", [10, 0, 0])}),
        (0, {"w50": ("f4", [-100.0, 0, 0])}),
        (4, {"w50": ("f4", [100.0, 0, 0])}),
    ],
)
def test_the_origin_is_where_the_first_voxel_lies(imod, words, tmp_path):
    assert images.describe(save(tmp_path, blob(), 2, "f4", imod=imod, **words)).first_voxel(10.0) == (100.0, 0.0, 0.0)


def test_a_start_in_voxels_counts_in_the_pixel_size_that_is_taken(tmp_path):
    for cell in ([200.0, 180.0, 120.0], [0.0, 0.0, 0.0]):
        info = images.describe(save(tmp_path, blob(), 2, "f4", w11=("f4", cell), w5=("i4", [-20, -18, -12])))
        assert info.first_voxel(10.0) == (-200.0, -180.0, -120.0) and info.zero(10.0) == (0.0, 0.0, 0.0)
    turned = save(tmp_path, blob().transpose(2, 1, 0), 2, "f4", w17=("i4", [3, 2, 1]), w5=("i4", [-12, -18, -20]))
    assert images.describe(turned).first_voxel(5.0) == (-100.0, -90.0, -60.0)


def test_files_of_eman_are_white(tmp_path):
    import h5py

    path = save(tmp_path, blob(), 2, "f4")
    assert images.describe(path).white is None
    raw = bytearray(path.read_bytes())
    raw[224:240] = b"EMAN 1/1/2024 12"
    path.write_bytes(bytes(raw))
    assert images.describe(path).white is True
    with h5py.File(tmp_path / "b.hdf", "w") as file:
        for k in range(2):
            file[f"MDF/images/{k}/image"] = blob().astype(np.float32)
    info = images.describe(tmp_path / "b.hdf")
    assert info.white is True and info.volumes == 2


@pytest.mark.parametrize(
    "how", ["one series", "pages", "compressed", "preview first", "colours first", "large picture first", "imagej"]
)
def test_all_pages_of_a_tiff_are_read(how, tmp_path):
    truth = np.round(blob()).astype(np.uint8)
    path = tmp_path / "a.tif"
    if how == "one series":
        tifffile.imwrite(path, truth, photometric="minisblack")
    elif how == "imagej":
        tifffile.imwrite(path, truth, imagej=True, metadata={"axes": "ZYX", "unit": "nm"}, resolution=(1.0, 1.0))
    else:
        with tifffile.TiffWriter(path) as file:
            if how == "preview first":
                file.write(truth[0, ::4, ::4], metadata=None, contiguous=False)
            if how == "colours first":
                file.write(np.zeros((8, 9, 3), np.uint8), photometric="rgb", metadata=None, contiguous=False)
            if how == "large picture first":
                file.write(np.zeros((200, 200), np.uint8), metadata=None, contiguous=False)
            for page in truth:
                file.write(page, metadata=None, contiguous=False, compression="zlib" if how == "compressed" else None)
    info = images.describe(path)
    assert info.shape == SHAPE
    assert_array_equal(images.read_any(path), truth)
    assert ("left out" in " ".join(info.notes)) == (" first" in how)
    assert info.pixel_size == (10.0 if how == "imagej" else 0.0)


UNITS = {"A": 10.0, "\\u00C5": 10.0, "angstrom": 10.0, "nm": 100.0, "px": 0.0}


@pytest.mark.parametrize(("unit", "size"), list(UNITS.items()))
def test_imagej_says_the_pixel_size_in_many_units(unit, size, tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": unit}
    tifffile.imwrite(path, np.zeros((3, 4, 5), np.float32), imagej=True, metadata=metadata, resolution=(0.1, 0.1))
    assert images.describe(path).pixel_size == pytest.approx(size)
