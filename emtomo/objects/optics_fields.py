"""Defocus of micrographs and particles: the fields that their sets share, and the CTF of their rows."""

import numpy as np
import pandas as pd

from emtomo.compute.optics.ctf import Ctf
from emtomo.engine.fields import Field
from emtomo.engine.table import TableSet
from emtomo.errors import EmtomoError
from emtomo.wording import count_text

DEFOCUS_FIELDS = (
    Field("defocus_u", float, "along the astigmatism's angle, underfocus positive; missing: not known", "Å"),
    Field("defocus_v", float, "perpendicular to it", "Å"),
    Field("defocus_angle", float, "of the astigmatism, from x towards y", "°", 0.0),
    Field("phase_shift", float, "of a phase plate", "°", 0.0),
)
SHOWN = 5  # names in a sentence


def without_ctf(frame: pd.DataFrame) -> list[str]:
    """Return the ids of the micrographs, once each, whose defocus some row of `frame` lacks."""
    defocus = frame[["defocus_u", "defocus_v"]].to_numpy(float)
    missing = ~np.isfinite(defocus).all(axis=1)
    return [str(name) for name in dict.fromkeys(frame["micrograph_id"][missing])]


def ctf_of(frame: pd.DataFrame, items: TableSet) -> Ctf:
    """Return the CTFs of rows of a set of micrographs or 2D particles, one a row.

    Parameters
    ----------
    frame : DataFrame
        With ``micrograph_id`` and the columns of ``DEFOCUS_FIELDS``.
    items : TableSet
        With voltage, cs and amplitude_contrast.

    Raises
    ------
    EmtomoError
        If a row has no defocus; the sentence names the micrographs.
    """
    missing = without_ctf(frame)
    if missing:
        raise EmtomoError(
            f"The CTF of {count_text(len(missing), 'micrograph')} is not known ({', '.join(missing[:SHOWN])}"
            f"{' …' if len(missing) > SHOWN else ''}): estimate it first, or do without CTF correction."
        )
    optics = {name: float(getattr(items, name).get()) for name in ("voltage", "cs", "amplitude_contrast")}
    u, v, angle, phase = (frame[field.name].to_numpy(float) for field in DEFOCUS_FIELDS)
    return Ctf(u, v, np.nan_to_num(angle), np.nan_to_num(phase), **optics)
