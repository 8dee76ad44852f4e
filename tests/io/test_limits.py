"""Files that somebody sent: nothing is followed to other files, and a claim takes no memory that is not there."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from emtomo.errors import FormatError
from emtomo.io import containers, images
from tests.conftest import shared

VOLUME = np.random.default_rng(1).normal(size=(6, 7, 9)).astype(np.float32)


def refuses(path, words, most=100e6):
    """Check that reading a volume ends in one sentence, and takes little memory on the way."""
    for read in (images.describe, images.read_any):
        tracemalloc.start()
        with pytest.raises(FormatError, match=words) as reported:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "\n" not in str(reported.value) and peak < most, peak


# --- HDF5 ---


@pytest.mark.parametrize("place", ["MDF", "MDF/images", "MDF/images/0", "MDF/images/0/image", "data", "a/b/data"])
def test_a_link_of_hdf5_to_another_file_is_not_followed(place, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name in ("MDF/images/0/image", "x"):
            file[name] = VOLUME
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[place] = h5py.ExternalLink("other.h5", "x" if place.endswith(("image", "data")) else f"/{place}")
    refuses(tmp_path / "a.h5", "points to another file")


@pytest.mark.parametrize("name", ["data", "MDF/images/0/image"])
def test_numbers_of_hdf5_in_other_files_are_not_read(name, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(VOLUME.tobytes())
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset(name, VOLUME.shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    refuses(tmp_path / "raw.h5", "in another file")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = VOLUME
    layout = h5py.VirtualLayout(VOLUME.shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", VOLUME.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset(name, layout)
    refuses(tmp_path / "virtual.h5", "virtual")


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (2, 3, 4)}, {"chunks": (2, 3, 4), "compression": "gzip"}, {"compression": "lzf"},
     {"chunks": (4, 4, 4), "compression": "gzip", "shuffle": True, "fletcher32": True}],
    ids=["plain", "chunks", "gzip", "lzf", "all"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["f4", ">f4", "i2", "f8"])
def test_usual_files_of_hdf5_are_read(options, dtype, tmp_path):
    data = (VOLUME * 100).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=data, **options)
        file["same"] = h5py.SoftLink("/data")
    assert np.array_equal(images.read_any(tmp_path / "a.h5"), data)


def test_missing_chunks_of_hdf5_have_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("d", (8, 8, 8), "f4", chunks=(4, 4, 4), compression="gzip", fillvalue=3)
        data[:4, :4, :4] = 1
    found = images.read_any(tmp_path / "a.h5")
    assert found.sum() == 64 + 3 * (512 - 64)


def test_floods_of_hdf5_are_refused(tmp_path):
    with h5py.File(tmp_path / "chunk.h5", "w") as file:
        data = file.create_dataset("d", (4, 4, 4), "f4", chunks=(4, 4, 4), compression="gzip")
        data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**27)))
    with pytest.raises(FormatError, match="holds more than"):
        images.read_any(tmp_path / "chunk.h5")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("d", (8, 8, 8), "f4", chunks=(1024, 1024, 1024), maxshape=(None,) * 3, compression="gzip")
    refuses(tmp_path / "large.h5", "one chunk claims")
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file.create_dataset("d", (1024, 1024, 1024), "f4", chunks=(64, 64, 64))
    refuses(tmp_path / "none.h5", "claims 4.29 GB")


def test_what_was_sent_is_refused():
    refuses(shared("faults", "hostile", "ext_link.h5"), "points to another file")
    refuses(shared("faults", "hostile", "stack_of_many.h5"), "claims")
    folder = shared("faults", "hostile", "claims_4GB.zarr")
    with pytest.raises(FormatError, match="claims"):
        images.read_any(folder)


# --- Zarr ---


def zarr_of(folder: Path, **more: object) -> Path:
    """Write an OME-Zarr image by hand: 4³ float32, one chunk."""
    (folder / "0").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [{"axes": [], "datasets": [level]}]}))
    meta = {"zarr_format": 2, "shape": [4, 4, 4], "chunks": [4, 4, 4], "dtype": "<f4", "compressor": None,
            "fill_value": 0, "order": "C", "filters": None, **more}  # fmt: skip
    (folder / "0/.zarray").write_text(json.dumps(meta))
    (folder / "0/0.0.0").write_bytes(np.ones(64, "f4").tobytes())
    return folder


def blosc(size: int) -> bytes:
    return bytes([2, 1, 1, 4]) + size.to_bytes(4, "little") + size.to_bytes(4, "little") + (32).to_bytes(4, "little")


BOMBS = {
    "zlib": zlib.compress(bytes(2**25)),
    "gzip": gzip.compress(bytes(2**25)),
    "bz2": bz2.compress(bytes(2**25)),
    "lzma": lzma.compress(bytes(2**25)),
    "blosc": blosc(2**30) + bytes(40),
    "lz4": (2**30).to_bytes(4, "little") + bytes(40),
    "zstd": b"\x28\xb5\x2f\xfd\xa4" + (2**30).to_bytes(4, "little") + bytes(40),
}


@pytest.mark.parametrize("codec", BOMBS)
def test_a_chunk_of_zarr_that_inflates_is_refused(codec, tmp_path):
    folder = zarr_of(tmp_path / "a.zarr", compressor={"id": codec})
    (folder / "0/0.0.0").write_bytes(BOMBS[codec])
    with pytest.raises(FormatError, match="holds more than|may hold 256"):
        images.read_any(folder)


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lzma", "blosc", "lz4", "zstd", None])
def test_usual_files_of_zarr_are_read(codec, tmp_path):
    import numcodecs

    folder = zarr_of(tmp_path / "a.zarr", compressor={"id": codec} if codec else None)
    if codec:
        (folder / "0/0.0.0").write_bytes(bytes(numcodecs.get_codec({"id": codec}).encode(np.ones(64, "f4"))))
    assert images.read_any(folder).sum() == 64


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"chunks": [0, 4, 4]}, r"array '0' claims chunks of \(0, 4, 4\) voxels"),
        ({"chunks": [4, 4]}, "the description of its array '0' is damaged"),
        ({"shape": [0, 4, 4]}, r"has shape \(0, 4, 4\)"),
        ({"dtype": "<x9"}, "the description of its array '0' is damaged"),
    ],
)
def test_a_zarr_of_impossible_sizes_is_reported_in_our_words(more, words, tmp_path):
    refuses(zarr_of(tmp_path / "a.zarr", **more), words)


@pytest.mark.parametrize("where", ["chunks", "shards"])
def test_chunks_without_voxels_are_refused_in_zarr_3(where, tmp_path):
    import zarr

    folder = tmp_path / "a.zarr"
    group = zarr.create_group(folder)
    group.attrs["ome"] = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    group.create_array("0", data=np.ones((4, 4, 4), "f4"), chunks=(2, 2, 2), shards=(4, 4, 4))
    assert images.read_any(folder).sum() == 64
    meta = json.loads((folder / "0/zarr.json").read_text())
    part = meta["chunk_grid"] if where == "chunks" else meta["codecs"][0]
    part["configuration"]["chunk_shape"] = [0, 4, 4]
    (folder / "0/zarr.json").write_text(json.dumps(meta))
    refuses(folder, r"array '0' claims chunks of \(0, 4, 4\) voxels")


def test_what_a_zarr_says_of_its_arrays_in_another_place_is_not_used(tmp_path):
    folder = zarr_of(tmp_path / "a.zarr")
    said = {name: json.loads((folder / name).read_text()) for name in (".zgroup", ".zattrs", "0/.zarray")}
    said["0/.zarray"]["chunks"] = [0, 4, 4]
    (folder / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": said}))
    assert images.read_any(folder).sum() == 64


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "no multiscales"),
        ({"multiscales": {}}, "no multiscales"),
        ({"multiscales": [{"datasets": []}]}, "name no dataset by its path"),
        ({"multiscales": [{"datasets": [{"path": "none"}]}]}, "there is no array 'none' in it"),
        ({"multiscales": [{"datasets": [{"path": "0", "coordinateTransformations": [
            {"type": "scale", "scale": ["a", 1, 1]}]}]}]}, "scale of its dataset '0' must be numbers"),
    ],
)  # fmt: skip
def test_attributes_of_a_zarr_that_name_no_image_are_reported(attributes, words, tmp_path):
    folder = zarr_of(tmp_path / "a.zarr")
    (folder / ".zattrs").write_text(json.dumps(attributes))
    refuses(folder, words)


@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_chunk_of_blosc_that_is_cut_is_refused(left, tmp_path):
    containers.write_zarr(tmp_path / "a.zarr", VOLUME, 3.0)
    chunk = tmp_path / "a.zarr/0/0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:left])  # else Blosc reads what lies behind it in memory
    with pytest.raises(FormatError, match="chunk 0.0.0 is cut"):
        images.read_any(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["hdf5", "tiff", "zarr", "em"])
def test_values_beyond_float32_are_refused(kind, tmp_path):
    for largest in (-1e300, 3e38):
        values = np.ones((2, 3, 4))
        values[1, 1, 1], values[0, 0, 0] = largest, np.nan
        path = tmp_path / f"{largest}.{kind}"
        if kind == "hdf5":
            with h5py.File(path, "w") as file:
                file["data"] = values
        elif kind == "tiff":
            tifffile.imwrite(path, values, photometric="minisblack")
        elif kind == "zarr":
            with np.errstate(over="ignore"):  # of the coarser level
                containers.write_zarr(path, values, 3.0, levels=1)
        else:
            sizes = np.array([4, 3, 2], "<i4").tobytes()
            path.write_bytes(b"\x06\0\0\x09" + sizes + bytes(496) + values.astype("<f8").tobytes())
        if largest == 3e38:
            assert np.array_equal(images.read_any(path), values, equal_nan=True)
            continue
        with pytest.raises(FormatError, match=r"within ±3.4e38 \(float32\), got one of ±1e\+300"):
            images.read_any(path)


def test_what_this_program_writes_as_zarr_is_read(tmp_path):
    containers.write_zarr(tmp_path / "a.zarr", VOLUME, 3.0)
    assert np.array_equal(images.read_any(tmp_path / "a.zarr"), VOLUME)


@pytest.mark.parametrize(
    "more",
    [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}, {"dtype": "|O", "filters": [{"id": "pickle"}]},
     {"filters": [{"id": "delta", "dtype": "<f4"}, {"id": "pickle"}]}, {"filters": [{"id": "json2"}]}],
)  # fmt: skip
def test_nothing_in_a_chunk_of_zarr_is_unpickled(more, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "RAN"),))

    folder = zarr_of(tmp_path / "a.zarr", **more)
    (folder / "0/0.0.0").write_bytes(pickle.dumps(Evil()))
    refuses_any(folder)
    assert not (tmp_path / "RAN").exists()


def refuses_any(path):
    with pytest.raises(FormatError):
        images.read_any(path)


def test_a_zarr_is_not_followed_to_other_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(64, "f4").tobytes())
    folder = zarr_of(tmp_path / "a.zarr")
    (folder / "0/0.0.0").unlink()
    (folder / "0/0.0.0").symlink_to(secret)
    with pytest.raises(FormatError, match="is a link"):
        images.read_any(folder)
    other = zarr_of(tmp_path / "b.zarr")
    for name in ("../c.zarr/0", str(tmp_path / "c.zarr/0")):
        text = (other / ".zattrs").read_text()
        (other / ".zattrs").write_text(text.replace('"path": "0"', f'"path": "{name}"'))
        refuses_any(other)
        (other / ".zattrs").write_text(text)


@pytest.mark.parametrize("chunks", [[1, 1, 1], [2**14] * 3])
def test_chunks_of_zarr_of_unheard_sizes_are_refused(chunks, tmp_path):
    folder = zarr_of(tmp_path / "a.zarr", shape=[64, 64, 64], chunks=chunks)
    with pytest.raises(FormatError, match="chunk"):
        images.read_any(folder)


# --- what is no file ---
