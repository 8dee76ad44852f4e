"""Transforms against numpy's, in the precision of what goes in; no other module names a library for them."""

import re
from pathlib import Path

import numpy as np
import pytest

import emtomo.compute
from emtomo.compute.fourier import transforms

LIBRARIES = re.compile(r"scipy\.fft\b|scipy import fft|pyfftw|ducc0|(np|numpy)\.fft\.i?r?h?fft(n|2)?\(")


@pytest.mark.parametrize("shape", [(6, 8, 10), (7, 9, 5), (4, 1, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transforms_are_numpys(shape, dtype, rng):
    volume = rng.normal(size=shape).astype(dtype)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    spectrum = transforms.rfftn(volume)
    assert spectrum.dtype == np.result_type(dtype, np.complex64)
    assert np.allclose(spectrum, np.fft.rfftn(volume), atol=tolerance * 100)
    back = transforms.irfftn(spectrum.copy(), shape, overwrite_x=True)
    assert back.dtype == dtype and np.allclose(back, volume, atol=tolerance)
    assert np.allclose(transforms.irfft2(transforms.rfft2(volume), shape[1:]), volume, atol=tolerance)
    assert np.allclose(transforms.rfftn(volume, axes=(-3, -2, -1), workers=2), spectrum)
    padded = transforms.rfftn(volume, (9, 12, 12))
    assert np.allclose(padded, np.fft.rfftn(volume, (9, 12, 12)), atol=tolerance * 100)
    line = transforms.rfft(volume, 16, axis=1)
    assert np.allclose(line, np.fft.rfft(volume, 16, axis=1), atol=tolerance * 100)
    assert np.allclose(transforms.irfft(line, 16, axis=1), np.fft.irfft(line, 16, axis=1), atol=tolerance)
    assert np.allclose(transforms.ifft(line, axis=0), np.fft.ifft(line, axis=0), atol=tolerance * 10)
    cut = transforms.irfftn(spectrum, (4, *shape[1:]))
    assert np.allclose(cut, np.fft.irfftn(spectrum, (4, *shape[1:]), axes=(0, 1, 2)), atol=tolerance * 10)


def test_threads_do_not_change_a_digit(rng):
    volume = rng.normal(size=(40, 50, 60)).astype(np.float32)
    assert np.array_equal(transforms.rfftn(volume, workers=1), transforms.rfftn(volume, workers=2))


def test_other_types_and_broadcast_arrays_are_taken(rng):
    counts = rng.integers(0, 100, (5, 6)).astype(np.int16)
    assert np.allclose(transforms.rfftn(counts), np.fft.rfftn(counts))
    same = np.broadcast_to(np.float32(2.0), (4, 6))
    assert np.allclose(transforms.irfftn(transforms.rfftn(same), (4, 6)), 2.0)


@pytest.mark.parametrize(("n", "least"), [(1, 1), (97, 97), (120, 120), (211, 211)])
def test_fast_lengths_are_products_of_small_primes(n, least):
    for real in (False, True):
        found = transforms.next_fast_len(n, real)
        assert found >= least and found < 1.2 * n + 2
        for prime in (2, 3, 5, 7, 11):
            while found % prime == 0:
                found //= prime
        assert found == 1


def test_no_other_module_names_a_library():
    root = Path(emtomo.compute.__file__).parent
    naming = {
        str(file.relative_to(root)): sorted({m.group(0) for m in LIBRARIES.finditer(file.read_text(encoding="utf8"))})
        for file in root.rglob("*.py")
        if file != Path(transforms.__file__)
    }
    naming["matching/scan_cuda.py"] = [n for n in naming["matching/scan_cuda.py"] if n != "scipy.fft"]  # CuPy's module
    assert not {name: found for name, found in naming.items() if found}
