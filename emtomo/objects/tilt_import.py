"""Tilt series from other programs' files: what the form says against what their metadata say."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from emtomo.errors import EmtomoError
from emtomo.io.tilts import COLUMNS, Tilts, accumulate_dose, angles_of
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL, Param
from emtomo.wording import count_text

DISAGREE = 0.02  # relative; pixel sizes and doses that differ more are reported
AXIS_DISAGREES = 2.0  # degrees
DEFAULTS = {"voltage": 300.0, "cs": 2.7, "amplitude_contrast": 0.1}
ORDERS = ("metadata", "as in the file", "dose-symmetric")


@dataclass(frozen=True, kw_only=True)
class TiltSeriesOptions:
    """How the images were taken, where the metadata do not say it or say it wrongly."""

    pixel_size: Annotated[
        float | None,
        Param(
            "Pixel size",
            "Of the images. Empty: from metadata or headers.",
            unit="Å/px",
            ge=SMALLEST_PIXEL,
            le=LARGEST_PIXEL,
        ),
    ] = None
    voltage: Annotated[
        float | None, Param("Voltage", "Empty: from the metadata, else 300.", unit="kV", gt=0, le=2000)
    ] = None
    cs: Annotated[
        float | None, Param("Spherical aberration", "Empty: from the metadata, else 2.7.", unit="mm", ge=0, le=100)
    ] = None
    amplitude_contrast: Annotated[
        float | None, Param("Amplitude contrast", "Empty: from the metadata, else 0.1.", ge=0, le=1)
    ] = None
    tilt_axis_angle: Annotated[
        float | None,
        Param(
            "Tilt axis angle",
            "From the image's y axis, counter-clockwise. Empty: from the metadata.",
            unit="°",
            ge=-360,
            le=360,
        ),
    ] = None
    dose_per_tilt: Annotated[
        float | None, Param("Dose per tilt", "Empty: from the metadata.", unit="e/Å²", ge=0, le=1000)
    ] = None
    dose_before: Annotated[
        float, Param("Initial dose", "Before the first tilt; added to all.", unit="e/Å²", ge=0, le=1000)
    ] = 0.0
    order: Annotated[
        str,
        Param(
            "Order of the tilts",
            "In time: as the metadata say; as the images lie in the file; or from zero outwards, positive tilts first.",
            choices=ORDERS,
        ),
    ] = "metadata"
    thickness: Annotated[
        float | None,
        Param(
            "Thickness of the tomogram",
            "Along z; where particles are counted from the tomogram's first voxel, they need it. Empty: from the "
            "metadata.",
            unit="Å",
            gt=0,
            le=1e6,
        ),
    ] = None
    width: Annotated[
        float | None,
        Param(
            "Width of the tomogram",
            "Along x. Empty: from the metadata, else as wide as the images.",
            unit="Å",
            gt=0,
            le=1e6,
            expert=True,
        ),
    ] = None
    height: Annotated[
        float | None,
        Param(
            "Height of the tomogram",
            "Along y. Empty: from the metadata, else as high as the images.",
            unit="Å",
            gt=0,
            le=1e6,
            expert=True,
        ),
    ] = None
    hand: Annotated[
        str,
        Param(
            "Defocus hand",
            "Whether defocus grows (1) or falls (-1) with the height. Without metadata it is unknown, and taken as 1.",
            choices=("metadata", "1", "-1"),
            expert=True,
        ),
    ] = "metadata"


def complete_series(
    tilts: Tilts, image_size: tuple[int, int], header_size: float, options: TiltSeriesOptions
) -> list[str]:
    """Fill a series with what the form says, and return sentences on where its metadata say otherwise.

    Parameters
    ----------
    tilts : Tilts
        Changed.
    image_size : (2,) tuple
        x, y of the images.
    header_size : float
        Pixel size in the images' headers in Å, 0 where they do not say.
    options : TiltSeriesOptions

    Raises
    ------
    EmtomoError
        If the pixel size is not known or two sources disagree, sizes are swapped, numbers are missing, or all tilts are
        excluded.
    """
    sentences = _sizes(tilts, image_size)
    sentences += _pixel_size(tilts, header_size, options)
    tilts.take_offsets()
    for column in COLUMNS:
        values = tilts.column(column) if column != "name" else np.zeros(0)
        if not np.isfinite(values).all():
            k = int(np.argmin(np.isfinite(values)))
            raise EmtomoError(f"{tilts.name}: {column} of tilt {k + 1} must be a finite number.")
    if len(tilts) and tilts.column("excluded").all():
        raise EmtomoError(f"{tilts.name}: all {count_text(len(tilts), 'tilt')} are excluded.")
    if options.tilt_axis_angle is not None and tilts.rotations is None:
        sentences += _axis(tilts, options.tilt_axis_angle)
    elif "rotation" not in tilts.table and tilts.rotations is None:
        sentences.append(
            f"{tilts.name}: no angle of the tilt axis is known; it is taken along the images' y. Give the tilt axis "
            "angle."
        )
    sentences += _volume(tilts, image_size, options)
    sentences += _doses(tilts, options)
    for name in DEFAULTS:
        given, known = getattr(options, name), tilts.optics.get(name)
        if given is not None and known is not None and not np.isclose(given, known, rtol=1e-3):
            sentences.append(
                f"{tilts.name}: {name} is {known:g} in the metadata and {given:g} in the form, which counts."
            )
        tilts.optics[name] = float(given if given is not None else DEFAULTS[name] if known is None else known)
    if options.hand != "metadata":
        if tilts.hand not in (None, int(options.hand)):
            sentences.append(f"{tilts.name}: the hand is {tilts.hand} in the metadata and {options.hand} in the form.")
        tilts.hand = int(options.hand)
    return sentences


def _sizes(tilts: Tilts, image_size: tuple[int, int]) -> list[str]:
    known, tilts.image_size = tilts.image_size, image_size
    if known is None or tuple(known) == image_size:
        return []
    (a, b), (x, y) = known, image_size
    if a != b and (a > b) != (x > y) and abs(a / b * x / y - 1) < DISAGREE:
        if tilts.format == "imod" and _axis_across(tilts):
            return []  # tilt.com may say the size of the aligned images, which newstack has turned
        raise EmtomoError(
            f"{tilts.name}: the images have {x}×{y} pixels, and the metadata say {a}×{b}: are x and y swapped?"
        )
    return [f"{tilts.name}: the images have {x}×{y} pixels, and the metadata say {a}×{b}."]


def _axis_across(tilts: Tilts) -> bool:
    """Return whether the tilt axis lies along the images' x rather than y."""
    angles = tilts.column("rotation") if tilts.rotations is None else angles_of(tilts.rotations)[:, 0]
    return abs(float(np.sin(np.deg2rad(np.median(angles))))) > np.sqrt(0.5)


def _pixel_size(tilts: Tilts, header_size: float, options: TiltSeriesOptions) -> list[str]:
    known = tilts.pixel_size if np.isfinite(tilts.pixel_size) and tilts.pixel_size > 0 else 0.0
    given = options.pixel_size
    sources = {"the metadata": known if known != given else 0.0, "the headers of the images": header_size}
    if given is None:
        if not known and not header_size:
            raise EmtomoError(f"{tilts.name}: neither metadata nor images say the pixel size; give it in the form.")
        if known and header_size and header_size != 1.0 and abs(header_size / known - 1) > DISAGREE:
            raise EmtomoError(
                f"{tilts.name}: the metadata say {known:.4g} Å a pixel, and the headers of the images "
                f"{header_size:.4g}; give the pixel size in the form."
            )
        tilts.pixel_size = known or header_size
        unset = not known and header_size == 1.0
        return [f"{tilts.name}: 1 Å a pixel, as the headers say; many programs write 1 for unknown."] if unset else []
    tilts.pixel_size = given
    return [
        f"{tilts.name}: {source} say {size:.4g} Å a pixel, and the form {given:.4g}, which counts."
        for source, size in sources.items()
        if size and size != 1.0 and abs(size / given - 1) > DISAGREE
    ]


def _axis(tilts: Tilts, given: float) -> list[str]:
    sentences = []
    if "rotation" in tilts.table:
        away = (tilts.column("rotation") - given + 180) % 360 - 180
        worst = float(away[np.argmax(np.abs(away))]) if len(away) else 0.0
        if abs(worst) > AXIS_DISAGREES:
            sentences.append(
                f"{tilts.name}: the tilt axis lies at {given + worst:.1f}° in the metadata and at {given:.1f}° in the "
                "form, which counts."
            )
    tilts.table["rotation"] = float(given)
    return sentences


def _volume(tilts: Tilts, image_size: tuple[int, int], options: TiltSeriesOptions) -> list[str]:
    """Set the size of the tomogram: the form's, the metadata's, or along x and y that of the images."""
    given = (options.width, options.height, options.thickness)
    if given == (None, None, None):
        return []
    known = tilts.volume_size
    if known is None and options.thickness is None:
        raise EmtomoError(f"{tilts.name}: the metadata do not say how thick the tomogram is; give its thickness too.")
    x, y = image_size
    usual = known or ((y, x, 0) if _axis_across(tilts) else (x, y, 0))  # the tilt axis becomes y
    size = [n if one is None else max(1, round(one / tilts.pixel_size)) for n, one in zip(usual, given, strict=True)]
    tilts.volume_size = (size[0], size[1], size[2])
    if known is None or tuple(known) == tilts.volume_size:
        return []
    sizes = [" × ".join(f"{n * tilts.pixel_size:.0f}" for n in one) for one in (known, tilts.volume_size)]
    return [f"{tilts.name}: the tomogram has {sizes[0]} Å in the metadata and {sizes[1]} Å by the form, which counts."]


def _doses(tilts: Tilts, options: TiltSeriesOptions) -> list[str]:
    """Set order and dose of every tilt; return what is not known of them."""
    n, angle = len(tilts), tilts.column("angle")
    sentences = []
    if options.order == "as in the file":
        tilts.table["acquisition_order"] = np.arange(1, n + 1)
    elif options.order == "dose-symmetric":
        places = np.empty(n, int)
        places[np.lexsort((-np.sign(angle), np.abs(np.round(angle))))] = np.arange(1, n + 1)
        tilts.table["acquisition_order"] = places
    elif "acquisition_order" not in tilts.table and "dose" in tilts.table:
        tilts.table["acquisition_order"] = np.argsort(np.argsort(tilts.column("dose"), kind="stable")) + 1
    if options.dose_per_tilt is not None:
        if "acquisition_order" not in tilts.table:
            raise EmtomoError(f"{tilts.name}: the metadata do not say the order of the tilts; choose it in the form.")
        made = accumulate_dose(np.full(n, options.dose_per_tilt), tilts.column("acquisition_order"))
        known = tilts.column("dose")
        if known.any() and np.abs(known - made).max() > DISAGREE * made.max():
            sentences.append(
                f"{tilts.name}: the dose goes up to {known.max():.1f} e/Å² in the metadata and to {made.max():.1f} by "
                "the form, which counts."
            )
        tilts.table["dose"] = made
    if options.dose_before:
        tilts.table["dose"] = tilts.column("dose") + options.dose_before
    if (tilts.column("dose") < 0).any():
        raise EmtomoError(f"{tilts.name}: doses must not be negative.")
    if n > 1 and not tilts.column("dose").any():
        sentences.append(f"{tilts.name}: no dose is known; all its tilts count as undamaged. Give the dose per tilt.")
    return sentences


def common_value(name: str, values: dict[str, float], unit: str) -> float:
    """Return what all series agree on; a set has one pixel size and one microscope.

    Raises
    ------
    EmtomoError
        With the series, where they do not.
    """
    first = next(iter(values.values()))
    for series, value in values.items():
        if not np.isclose(value, first, rtol=1e-3):
            raise EmtomoError(
                f"{name} is {first:g} {unit} in {next(iter(values))} and {value:g} {unit} in {series}; a set has one: "
                "give it in the form, or import them apart."
            )
    return first
