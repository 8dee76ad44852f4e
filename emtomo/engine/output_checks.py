"""What a user should hear of data that say nothing: empty, without numbers, of a pixel size that cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
from pyworkflow.object import Set

from emtomo.errors import EmtomoError
from emtomo.io import mrc

PIXEL_SIZES = 1e-3, 1e5  # Å, from less than an atom to a cell in a voxel
SLICES = 64  # that are looked at of a large volume


def remarks_on(name: str, output: Any) -> list[str]:
    """Return sentences about an output that is registered under `name`; none where all is well."""
    if isinstance(output, Set):
        if len(output) == 0:
            return [f"The output {name} is empty."]
        if name != "tomograms":
            return []
        frame = output.frame(["tomogram_id", "file"])
        bad = [str(i) for i, file in zip(frame["tomogram_id"], frame["file"], strict=True) if not is_finite(file)]
        return [f"There are voxels that are no numbers (NaN or infinite) in {', '.join(bad)}."] if bad else []
    file = getattr(output, "file", None)
    if file is None or is_finite(file.get()):
        return []
    return [f"There are voxels that are no numbers (NaN or infinite) in the output {name}: look at its input."]


def size_errors(label: str, given: Any) -> list[str]:
    """Return a sentence if an input says a pixel size that cannot be; one that says none has it from elsewhere."""
    size = getattr(getattr(given, "pixel_size", None), "get", lambda: None)()
    if size is None or PIXEL_SIZES[0] <= size <= PIXEL_SIZES[1]:
        return []
    return [f"{label}: the pixel size must be from {PIXEL_SIZES[0]:g} to {PIXEL_SIZES[1]:g} Å, it is {size:g} Å."]


def is_finite(file: str | None) -> bool:
    """Return whether the voxels of an MRC file are finite numbers, in slices from all over it."""
    if not file or not str(file).endswith(".mrc") or not Path(file).exists():
        return True
    try:
        volume = mrc.open_volume(file)
    except EmtomoError:
        return True
    step = max(1, len(volume) // SLICES)
    return all(bool(np.isfinite(volume[k]).all()) for k in range(0, len(volume), step))
