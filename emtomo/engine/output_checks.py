"""What a user should hear of inputs and outputs that say nothing or cannot be: types, pixel sizes, voxels."""

from pathlib import Path
from typing import Any

import numpy as np
from pyworkflow.object import PointerList, Set
from pyworkflow.protocol.params import PointerParam

from emtomo.engine.form import input_classes, plain_type
from emtomo.errors import EmtomoError
from emtomo.io import mrc
from emtomo.options import LARGEST_PIXEL, SMALLEST_PIXEL

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


def input_errors(protocol: Any) -> list[str]:
    """Return a sentence for every input of a run that is of another type, or has a pixel size that cannot be."""
    errors = []
    for name, param in protocol.getDefinition().iterParams():
        if not isinstance(param, PointerParam):
            continue
        accepted = input_classes(param)
        value = getattr(protocol, name)
        for pointer in value if isinstance(value, PointerList) else [value]:
            given = pointer.get()
            kinds = {kind.__name__ for kind in type(given).__mro__}
            if given is not None and not kinds & set(accepted):
                got = plain_type([type(given).__name__])
                errors.append(f"{param.label} must be {plain_type(accepted)}, got {got}.")
            errors += size_errors(str(param.label), given)
    return errors


def size_errors(label: str, given: Any) -> list[str]:
    """Return a sentence if an input says a pixel size that cannot be, or none although it is of voxels."""
    if not hasattr(given, "pixel_size"):
        return []
    size = given.pixel_size.get()
    if size is None:
        lacks = not given.SIZE_OPTIONAL and any(given.header_files())
        return [f"{label}: the pixel size is missing or no number; run what made it again."] if lacks else []
    if SMALLEST_PIXEL <= size <= LARGEST_PIXEL:
        return []
    return [f"{label}: the pixel size must be from {SMALLEST_PIXEL:g} to {LARGEST_PIXEL:g} Å, it is {size:g} Å."]


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
