"""Files that somebody sent: nothing is followed to other files, and a claim takes no memory that is not there."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import atoms, containers, images, limits, mrc
from emtomo.io.convert_images import convert_image
from emtomo.io.recognise import recognise
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


# --- compressed MRC, text ---


def header(shape, mode=2):
    words = np.zeros(256, "<i4")
    words[:4] = [*shape[::-1], mode]
    words[7:10] = shape[::-1]
    words[10:13] = np.array(shape[::-1], "<f4").view("<i4")
    words[16:19] = [1, 2, 3]
    words[52] = int.from_bytes(b"MAP ", "little")
    words[53] = 0x4444
    return words.tobytes()


def test_what_is_more_than_the_free_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(header((64, 64, 64)) + bytes(4 * 64**3)))
    assert images.read_any(path).shape == (64, 64, 64)
    monkeypatch.setattr(limits, "free_memory", lambda: 1_000_000)
    refuses(path, "needs 1.05 MB of memory, 1 MB are free")


def test_a_model_of_atoms_inflates_no_further_than_a_model_may(tmp_path, monkeypatch):
    monkeypatch.setattr(atoms, "SMALL", 10_000)
    (tmp_path / "a.pdb.gz").write_bytes(gzip.compress(bytes(2**20)))
    with pytest.raises(FormatError, match="more than"):
        atoms.read_atoms(tmp_path / "a.pdb.gz")


def test_a_strip_of_tiff_inflates_no_further_than_its_page(tmp_path):
    import tifffile

    path = tmp_path / "a.tif"
    data = np.ones((3, 16, 16), np.float32)
    tifffile.imwrite(path, data, compression="zlib", photometric="minisblack")
    assert np.array_equal(images.read_any(path), data)
    with tifffile.TiffFile(path) as file:  # the only strip of the first page is put at the end of the file
        tags, order = file.pages[0].tags, {"<": "little", ">": "big"}[file.byteorder]
        places = tags["StripOffsets"].valueoffset, tags["StripByteCounts"].valueoffset
        assert len(file.pages[0].dataoffsets) == 1
    bomb, raw = zlib.compress(bytes(2**25)), bytearray(path.read_bytes())
    for place, value in zip(places, (len(raw), len(bomb)), strict=True):
        raw[place : place + 4] = value.to_bytes(4, order)
    path.write_bytes(raw + bomb)
    tracemalloc.start()
    with pytest.raises(FormatError, match="holds more than"):
        images.read_any(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


# --- what is no file ---


@pytest.mark.parametrize("suffix", [".mrc", ".star", ".csv", ".json", ".em", ".tif", ".h5", ".xml", ".sqlite", ".mod",
                                    ".mat", ".mdoc", ".tlt", ".tbl"])  # fmt: skip
def test_a_pipe_is_no_plain_file(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    os.mkfifo(path)
    for read in (recognise, images.describe, images.read_any, mrc.read_header):
        with pytest.raises(EmtomoError, match="no plain file"):
            read(path)


def test_a_device_is_no_plain_file():
    with pytest.raises(FormatError, match="no plain file"):
        images.describe("/dev/zero")


def test_a_compressed_volume_takes_the_memory_that_it_claims_and_no_more(tmp_path):
    path = tmp_path / "a.mrc.gz"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(header((8, 8, 8)) + np.ones(512, "<f4").tobytes())
        for _ in range(24):
            stream.write(bytes(2**20))
    tracemalloc.start()
    assert images.read_any(path).sum() == 512
    assert tracemalloc.get_traced_memory()[1] < 5e6
    path.write_bytes(gzip.compress(header((256, 128, 128)) + bytes(2**24), 1))
    tracemalloc.reset_peak()
    assert images.read_any(path).nbytes == 2**24
    assert tracemalloc.get_traced_memory()[1] < 2**24 + 5e6
    tracemalloc.stop()


def test_compressed_text_is_named(tmp_path):
    text = b"data_\n\nloop_\n_rlnCoordinateX\n1\n"
    for name, compress in (("p.star.gz", gzip.compress), ("p.tbl.bz2", bz2.compress)):
        path = tmp_path / name
        path.write_bytes(compress(text))
        with pytest.raises(EmtomoError, match=f"{name}: a compressed text file, which is not read: decompress it"):
            convert_image(path, tmp_path / "out.star")
        assert not (tmp_path / "out.star").exists()
    path = tmp_path / "p.star.xz"
    path.write_bytes(lzma.compress(text))
    with pytest.raises(EmtomoError, match="p.star.xz: a compressed file or an archive, which is not read"):
        recognise(path)
    path = tmp_path / "run.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "p.star.xz", "p.star.xz")
    (tmp_path / "run.tar").write_bytes(gzip.decompress(path.read_bytes()))
    with zipfile.ZipFile(tmp_path / "a.mrc.zip", "w") as archive:
        archive.writestr("a.mrc", header((8, 8, 8)) + bytes(2048))
    (tmp_path / "utf16.star.gz").write_bytes(gzip.compress(text.decode().encode("utf-16")))
    (tmp_path / "a.h5.gz").write_bytes(gzip.compress(b"\x89HDF\r\n\x1a\n" + b"\xff\x00" * 1024))
    for name, sentence in (
        ("run.tar.gz", "an archive, which is not read"),
        ("run.tar", "an archive, which is not read"),
        ("a.mrc.zip", "an archive, which is not read"),
        ("utf16.star.gz", "a compressed text file, which is not read"),
        ("a.h5.gz", "compressed in it is no MRC volume"),
    ):
        with pytest.raises(FormatError, match=f"{name}: .*{sentence}"):
            images.describe(tmp_path / name)
