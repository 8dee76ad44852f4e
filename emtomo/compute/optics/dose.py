"""What the electrons' dose leaves of the signal: one formula of weights, and B factors as programs write them."""

import numpy as np
import numpy.typing as npt

# factor of the critical dose at 100, 200 and 300 kV; linear between
_VOLTAGES, _FACTORS = (100.0, 200.0, 300.0), (0.64, 0.8, 1.0)
WARP_B_FACTOR_PER_DOSE = 4.0  # Å² for each e/Å²


def critical_dose(frequency: npt.ArrayLike, voltage: float = 300.0) -> np.ndarray:
    """Return the dose in e/Å² after which 1/e of a frequency's power is left: 0.245 k^-1.665 + 2.81 at 300 kV.

    Parameters
    ----------
    frequency : array
        1/Å; zero gives a very large dose.
    voltage : float
        kV; 0.8 of the dose of 300 kV at 200 kV, 0.64 at 100 kV.

    References
    ----------
    Grant & Grigorieff, eLife 4:e06980 (2015), Eq. 3 and the factor for 200 kV; RELION's factor for 100 kV.
    """
    k = np.maximum(np.asarray(frequency, float), 1e-6)
    return (0.245 * k**-1.665 + 2.81) * float(np.interp(voltage, _VOLTAGES, _FACTORS))


def dose_weights(frequency: npt.ArrayLike, dose: npt.ArrayLike, voltage: float = 300.0) -> np.ndarray:
    """Return the amplitude that is left of frequencies after a dose: exp(-dose / (2 critical dose)).

    Parameters
    ----------
    frequency : (*k) array
        1/Å.
    dose : float or (...) array
        e/Å² before the image (or to its middle); 1 comes back for none.
    voltage : float
        kV.

    Returns
    -------
    (..., *k) float32 array

    References
    ----------
    Grant & Grigorieff, eLife 4:e06980 (2015), Eq. 3 and 5.
    """
    critical = critical_dose(frequency, voltage)
    received = np.asarray(dose, float)
    return np.exp(-received.reshape(received.shape + (1,) * critical.ndim) / (2 * critical)).astype(np.float32)


def b_factor_weights(frequency: npt.ArrayLike, b_factor: npt.ArrayLike) -> np.ndarray:
    """Return exp(-B k²/4), float32 `(..., *k)`: dose weights of Warp (B = 4 Å² for each e/Å²) and RELION's B factors.

    Parameters
    ----------
    frequency : (*k) array
        1/Å.
    b_factor : float or (...) array
        Å², positive damps (Warp's own numbers are negative).
    """
    k2 = np.asarray(frequency, float) ** 2
    b = np.asarray(b_factor, float)
    return np.exp(-0.25 * b.reshape(b.shape + (1,) * k2.ndim) * k2).astype(np.float32)
