"""Tilt series of particles whose poses are known, as sets on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emtomo.compute.optics.ctf import image_frequencies
from emtomo.compute.rotations import random_rotations
from emtomo.compute.tilt.geometry import TiltGeometry
from emtomo.io import mrc
from emtomo.objects import SetOfCoordinates3D, SetOfSubtomograms, SetOfTiltSeries, coordinates_frame
from tests.compute.refinement.data import project


@dataclass
class SeriesData:
    """Sets, and the truth: coordinates with orientations."""

    series: SetOfTiltSeries
    truth: SetOfCoordinates3D
    folder: Path


def write_series(
    folder: Path,
    volume: np.ndarray,
    *,
    pixel: float = 8.0,
    names: tuple[str, ...] = ("TS_1", "TS_2"),
    count: int = 12,
    angles: Sequence[float] = tuple(range(-60, 61, 12)),
    width: int = 240,
    depth: float = 600.0,
    defocus: float = 25000.0,
    defocus_spread: float = 0.0,
    noise: float = 1.0,
    dose: float = 2.0,
    uneven: float = 0.0,
    seed: int = 1,
) -> SeriesData:
    """Write tilt series of `count` particles each, dark as a camera takes them; noise in the images' deviations.

    `uneven` is the standard deviation of the logarithm of the noise, from one image to the next.
    """
    rng = np.random.default_rng(seed)
    around = defocus_spread * np.linspace(-1, 1, len(angles)) if len(angles) > 1 else np.zeros(len(angles))
    tables, images, frames = [], [], []
    t, angles = len(angles), np.asarray(angles, float)
    for s, name in enumerate(names):
        stack = folder / f"{name}.mrc"
        tables.append({"tomogram_id": name, "file": str(stack), "size_x": width, "size_y": width, "hand": 1,
                       "volume_x": width * pixel, "volume_y": width * pixel, "volume_z": depth})  # fmt: skip
        images.append(pd.DataFrame({
            "tomogram_id": name, "file": str(stack), "index": np.arange(t), "angle": angles, "tilt_axis_angle": 3.0,
            "dose": dose * np.argsort(np.argsort(np.abs(angles), kind="stable")), "shift_x": rng.normal(0, 12, t),
            "shift_y": rng.normal(0, 12, t), "acquisition_order": 1 + np.argsort(np.argsort(np.abs(angles))),
            "defocus_u": defocus + 200.0 + around, "defocus_v": defocus - 200.0 + around, "defocus_angle": 30.0,
        }))  # fmt: skip
        reach = (width / 2 - volume.shape[0]) * pixel / 1.5
        places = _apart(rng, count, reach, depth, 0.8 * volume.shape[0] * pixel)
        rotations = random_rotations(count, seed + 17 * s)
        frames.append(coordinates_frame(name, places, rotations))
    path = folder / "series.sqlite"
    out = SetOfTiltSeries.create(path, pixel_size=pixel)
    out.extend(pd.DataFrame(tables), pd.concat(images, ignore_index=True))
    out.write()
    out = SetOfTiltSeries.open(path)
    for name, frame in zip(names, frames, strict=True):
        values = draw_images(volume, out.geometry(name), frame, pixel, width)
        level = noise * values.std() * np.exp(uneven * rng.normal(size=(t, 1, 1)))
        values += level.astype(np.float32) * rng.standard_normal(values.shape, np.float32)
        with mrc.StackWriter(folder / f"{name}.mrc", (t, width, width), pixel, t) as writer:
            writer.batch(t)[:] = values
    truth = SetOfCoordinates3D.create(folder / "truth.sqlite", pixel_size=pixel, box_size=volume.shape[0])
    truth.extend(pd.concat(frames, ignore_index=True))
    truth.write()
    return SeriesData(out, SetOfCoordinates3D.open(folder / "truth.sqlite"), folder)


def draw_images(
    volume: np.ndarray, geometry: TiltGeometry, frame: pd.DataFrame, pixel: float, width: int
) -> np.ndarray:
    """Return (t, width, width) images of particles, each with the CTF at its own height and the weights of dose."""
    n, wide = volume.shape[0], 3 * volume.shape[0]
    seen = geometry.project(frame[["x", "y", "z"]].to_numpy(float))
    rotations = frame[[f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)]].to_numpy(float).reshape(-1, 3, 3)
    k = image_frequencies((wide, wide), pixel)
    images = np.zeros((len(geometry), width + wide, width + wide), np.float32)
    for t in range(len(geometry)):
        left = geometry.take(np.array([t])).weights(np.hypot(*k))[0]
        ctf = geometry.local_ctf(seen[:, :, 2])[t]
        for p in range(len(frame)):
            place = seen[t, p, :2] / pixel + (width + wide) // 2
            nearest = np.rint(place).astype(int)
            flat = np.ones((n, n // 2 + 1))
            small = project(volume, geometry.sections[t] @ rotations[p], place - nearest, flat)
            small -= np.median(np.r_[small[0], small[-1], small[:, 0], small[:, -1]])  # it has no zero frequency
            big = np.zeros((wide, wide))
            low = wide // 2 - n // 2
            big[low : low + n, low : low + n] = small
            transfer = ctf[p].values(*k, contrast="dark") * left
            image = np.fft.irfft2(np.fft.rfft2(big) * transfer, (wide, wide))
            x, y = nearest - wide // 2
            images[t, y : y + wide, x : x + wide] += image
    first = (width + wide) // 2 - width // 2
    cut = slice(first, first + width)
    return np.ascontiguousarray(images[:, cut, cut])


def _apart(rng: np.random.Generator, count: int, reach: float, depth: float, least: float) -> np.ndarray:
    """Return places whose x and y are apart."""
    places: list[np.ndarray] = []
    for _ in range(100_000):
        if len(places) == count:
            break
        one = rng.uniform(-1, 1, 3) * [reach, reach, depth / 2]
        if all(np.hypot(*(one - other)[:2]) > least for other in places):
            places.append(one)
    assert len(places) == count, "the images are too small for so many particles"
    return np.array(places)


def subtomograms_of(data: SeriesData, rotations: np.ndarray, shifts: np.ndarray | None = None) -> SetOfSubtomograms:
    """Return the particles as subtomograms without boxes, with other orientations, and centres moved back by shifts."""
    frame = data.truth.frame().drop(columns="picker")
    shifts = np.zeros((len(frame), 3)) if shifts is None else shifts
    frame[[f"r{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)]] = rotations.reshape(-1, 9)
    for k, axis in enumerate("xyz"):
        frame[axis] -= shifts[:, k]
    path = data.folder / "away.sqlite"
    out = SetOfSubtomograms.create(
        path, pixel_size=float(data.truth.pixel_size.get()), box_size=int(data.truth.box_size.get())
    )
    out.extend(frame)
    out.write()
    return SetOfSubtomograms.open(path)
