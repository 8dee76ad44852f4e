"""MRC, EM and TIFF volumes: every mode, and what is wrong with bad files in one sentence."""

import bz2
import gzip
import shutil

import mrcfile
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal

from emtomo.errors import FormatError
from emtomo.io import images, mrc
from tests.conftest import shared

MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


@pytest.fixture
def volume(rng):
    return rng.integers(0, 100, (4, 5, 6))


def write(path, data, **header):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        file.voxel_size = 7.5
        for name, value in header.items():
            file.header[name] = value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pack", [None, gzip, bz2])
def test_every_mode_plain_and_compressed(mode, pack, volume, tmp_path):
    path = tmp_path / "a b'c.mrc"
    write(path, volume.astype(MODES[mode]), nxstart=-3)
    if pack:
        packed = tmp_path / "packed.mrc.gz"
        with path.open("rb") as source, pack.open(packed, "wb") as target:
            shutil.copyfileobj(source, target)
        path = packed
    assert_array_equal(np.asarray(images.read_any(path)), volume)
    info = images.describe(path)
    assert info.shape == (4, 5, 6) and info.pixel_size == pytest.approx(7.5) and info.plain == (pack is None)


def test_extended_header_is_skipped(volume, tmp_path):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(volume.astype(np.float32))
        file.set_extended_header(np.frombuffer(b"FEI" + b"x" * 765, "S1"))
    assert_array_equal(mrc.open_volume(path), volume)


def test_big_endian_files_are_read(volume, tmp_path):
    path = tmp_path / "a.mrc"
    header = np.zeros(256, ">i4")
    header[:4] = 6, 5, 4, 1
    header[7:10] = 6, 5, 4
    path.write_bytes(header.tobytes() + volume.astype(">i2").tobytes())
    assert_array_equal(mrc.open_volume(path), volume)


def test_writing_keeps_values_pixel_size_and_origin(volume, tmp_path):
    path = tmp_path / "a.mrc"
    mrc.write_volume(path, volume, 3.25, origin=(1.0, 2.0, 3.0))
    assert_array_equal(mrc.read_volume(path), volume)
    info = mrc.read_header(path)
    assert info.pixel_size == pytest.approx(3.25) and info.origin == (1.0, 2.0, 3.0)
    assert mrcfile.validate(path)
    assert not list(tmp_path.glob("*.part"))


def test_a_stack_of_volumes_is_valid_and_written_piece_by_piece(tmp_path, rng):
    path, boxes = tmp_path / "s.mrc", rng.normal(size=(5, 4, 4, 4)).astype(np.float32)
    with mrc.StackWriter(path, boxes.shape, 10.0, 2) as stack:
        for k in (0, 2, 4):
            assert not path.exists()  # nothing under the final name before it is whole
            stack.batch(len(boxes[k : k + 2]))[:] = boxes[k : k + 2]
    with mrcfile.open(path) as file:
        assert file.is_volume_stack() and file.data.shape == (5, 4, 4, 4)
        assert_allclose(file.voxel_size.x, 10.0)
    assert_array_equal(mrc.open_volume(path).reshape(5, 4, 4, 4), boxes)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path):
    path = tmp_path / "s.mrc"
    with pytest.raises(RuntimeError), mrc.StackWriter(path, (3, 4, 4, 4), 1.0, 1) as stack:
        stack.batch(1)[:] = 1
        raise RuntimeError
    with pytest.raises(ValueError, match="1 of 3 volumes"), mrc.StackWriter(path, (3, 4, 4, 4), 1.0, 1) as stack:
        stack.batch(1)[:] = 1
    assert not list(tmp_path.iterdir())


def test_em_files_of_other_programs():
    path = shared("maps", "human_ribo_21A.em")
    info = images.describe(path)
    assert info.format == "em" and len(set(info.shape)) == 1
    data = images.read_any(path)
    assert np.isfinite(data).all() and data.std() > 0


def test_tiff_stacks():
    data = images.read_any(shared("microtubule", "13pf_MT.tif"))
    assert data.ndim == 3 and data.dtype == np.uint8


def damaged(tmp_path, volume, how):
    path = tmp_path / "bad.mrc"
    write(path, volume.astype(np.float32))
    raw = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
        return path
    if how == "empty":
        raw = bytearray()
    elif how == "short":
        raw = raw[:500]
    elif how == "truncated":
        raw = raw[:-40]
    elif how == "huge":
        raw[0:4] = np.int32(2**23).tobytes()
    elif how == "zero":
        raw[0:4] = np.int32(0).tobytes()
    elif how == "mode":
        raw[12:16] = np.int32(77).tobytes()
    elif how == "complex":
        raw[12:16] = np.int32(4).tobytes()
    elif how == "extended":
        raw[92:96] = np.int32(-5).tobytes()
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "cannot be read: No such file"),
        ("empty", "1024 bytes of header, this one has 0"),
        ("short", "this one has 500"),
        ("truncated", "header claims 6×5×4 voxels, 1504 bytes, but the file holds 1464"),
        ("huge", "header claims 8388608×5×4"),
        ("zero", "header claims 0×5×4"),
        ("mode", "mode 77 is no mode that can be read"),
        ("complex", "complex"),
        ("extended", "extended header claims -5"),
    ],
)
def test_each_fault_has_its_sentence(how, message, volume, tmp_path):
    with pytest.raises(FormatError, match=message) as caught:
        images.read_any(damaged(tmp_path, volume, how))
    assert "bad.mrc" in str(caught.value)


def test_damaged_gzip_is_reported(tmp_path, volume):
    path = tmp_path / "a.mrc"
    write(path, volume.astype(np.float32))
    packed = tmp_path / "a.mrc.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-30])
    with pytest.raises(FormatError):
        images.read_any(packed)


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_gives_a_traceback(seed, tmp_path, volume):
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.mrc"
    write(path, volume.astype(np.float32))
    raw = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 20)):
        raw[rng.integers(0, 240)] = rng.integers(0, 256)
    path.write_bytes(bytes(raw[: rng.integers(1, len(raw) + 1)]))
    try:
        assert images.read_any(path).ndim == 3
    except FormatError as error:
        assert "a.mrc" in str(error)


def test_a_tiff_that_is_no_stack_is_reported(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4, 5, 6), np.float32))
    with pytest.raises(FormatError, match="three axes"):
        images.read_any(path)
