"""Compressed MRC and TIFF, archives, compressed text, pipes and devices: no more memory than a file may take."""

import bz2
import gzip
import lzma
import os
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import tifffile

from emtomo.errors import EmtomoError, FormatError
from emtomo.io import atoms, images, limits, mrc
from emtomo.io.convert_images import convert_image
from emtomo.io.recognise import recognise
from tests.io.test_limits import refuses


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
