"""Fit the CTF's rings in the power spectra of a tilt series, for one hand."""

from dataclasses import dataclass, replace

import numpy as np

from emtomo.compute.optics.ctf import Ctf, wavelength
from emtomo.compute.optics.estimation_options import CtfEstimationOptions
from emtomo.compute.optics.power_spectra import PolarGrid

PHASE_STEP = 0.06  # turns of phase at the finest ring between two defoci that are tried
PHASE_SHIFTS = np.arange(0.0, 180.0, 10.0)
LEAST_NORM = 0.3  # of the largest norm of the model: slower oscillations count as background
ROUNDS = 3  # of defocus and astigmatism in turn
ASTIGMATISM_SPREAD = 300.0  # Å, of single tilts about that of the series
LEAST_RING = 2.5  # standard deviations that rings must stand out from noise to count as fitting
CORRELATED = 2.0  # bins of rings and sectors whose noise is one


@dataclass(frozen=True)
class RingSpectra:
    """Spectra of n images, their tiles brought to equal phase.

    Attributes
    ----------
    grid : PolarGrid
    optics : Ctf
        Voltage, Cs, amplitude contrast and phase shift.
    sums : (n, a, k) complex array
        Means over tiles of power times exp(i 2π λ h k²); for the other hand the conjugate.
    heights : (n, h) array
        Å, quantiles of those of the tiles.
    attenuation : (n, k) array
        What the inclination of the section leaves of the rings of a tile.
    subtract : (k, k) array
        Takes a background off, see :func:`background_projection`.
    order : (n,) int array
        The images by tilt angle.
    """

    grid: PolarGrid
    optics: Ctf
    sums: np.ndarray
    heights: np.ndarray
    attenuation: np.ndarray
    subtract: np.ndarray
    order: np.ndarray

    def phase_factor(self, defocus: np.ndarray, phase_shift: float) -> np.ndarray:
        """Return exp(2iγ) of shape (*defocus, k), the CTF being sin γ."""
        ctf = replace(self.optics, defocus_u=defocus, defocus_v=defocus, phase_shift=phase_shift)
        k = self.grid.frequency
        sine = ctf.values(k, 0.0, dtype=np.float64)
        cosine = replace(ctf, phase_shift=phase_shift + 90.0).values(k, 0.0, dtype=np.float64)
        return np.asarray((cosine + 1j * sine) ** 2)

    def window_factors(self, defocus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (*defocus, k) what the tiles' window leaves of rings, which high defocus puts close, and of noise."""
        k = self.grid.frequency
        return self.grid.window_factors(
            2 * wavelength(self.optics.voltage) * np.abs(np.asarray(defocus, float))[..., None] * k
        )

    def ring_filter(self, defocus: np.ndarray, phase_shift: float) -> np.ndarray:
        """Return (*defocus, k) phase factors exp(2iγ) with the weights of signal over noise."""
        signal, noise = self.window_factors(defocus)
        return self.phase_factor(defocus, phase_shift) * (signal / noise)

    def hand_overlap(self) -> np.ndarray:
        """Return (n,) from 0 to 1: how much of the score is left when the other hand is taken."""
        turn = 4 * np.pi * wavelength(self.optics.voltage) * self.heights[:, :, None] * self.grid.frequency**2
        weight = self.grid.rings * self.attenuation**2
        return np.asarray(np.abs((weight * np.exp(1j * turn).mean(axis=1)).sum(axis=1)) / weight.sum(axis=1))


class RingFit:
    """The fit of one series with one hand.

    Parameters
    ----------
    spectra : RingSpectra
    hand : int
        1 where defocus grows with the height, else -1.
    options : CtfEstimationOptions

    Attributes
    ----------
    defocus : (n,) array
        Å, mean of both axes.
    astigmatism : (n, 2) array
        Å, U - V times cosine and sine of twice the angle.
    phase_shift : float
        Degrees.
    significance : (n,) array
        Scores at these values, in standard deviations of those at all defoci.
    """

    def __init__(self, spectra: RingSpectra, hand: int, options: CtfEstimationOptions) -> None:
        self.spectra, self.hand, self.options = spectra, hand, options
        grid, self._k2 = spectra.grid, spectra.grid.frequency**2
        length = float(wavelength(spectra.optics.voltage))
        self._turn = np.pi * length * self._k2  # of 2γ for every Å of astigmatism
        sums = spectra.sums if hand == 1 else spectra.sums.conj()
        self._weights = grid.rings * spectra.attenuation
        self._data = sums * self._weights[:, None, :]
        step = PHASE_STEP / (length * self._k2[-1])
        count = int((options.max_defocus - options.min_defocus) / step) + 2
        self._grid = np.linspace(options.min_defocus, options.max_defocus, count)
        n = len(sums)
        self.defocus, self.astigmatism = np.full(n, self._grid[0]), np.zeros((n, 2))
        self.phase_shift = float(spectra.optics.phase_shift)
        self.significance = np.zeros(n)

    def fit(self) -> "RingFit":
        """Fit all parameters and return the fit itself."""
        if self.options.estimate_phase_shift:
            self._search_phase_shift()
        self._search()
        for left in reversed(range(ROUNDS if self.options.astigmatism != "none" else 0)):
            self._refine_defocus()
            self._fit_astigmatism(per_tilt=self.options.astigmatism == "per_tilt" and left == 0)
            self._search()
        self._refine_defocus()
        return self

    # --- defocus ---

    def _profiles(self) -> np.ndarray:
        """Return (n, k) sums over the sectors, which the astigmatism brings to equal phase."""
        return np.einsum("nak,nak->nk", self._data, self._astigmatic_phase(self.astigmatism))

    def _astigmatic_phase(self, astigmatism: np.ndarray) -> np.ndarray:
        """Return (..., a, k) phase factors of (..., 2) astigmatism."""
        angle = 2 * self.spectra.grid.angle
        local = astigmatism[..., :1] * np.cos(angle) + astigmatism[..., 1:] * np.sin(angle)
        return np.asarray(np.exp(1j * local[..., None] * self._turn))

    def _norms(self) -> np.ndarray:
        """Return (n, d) norms of the model without its background at the defoci that are tried."""
        s = self.spectra
        reach = float(np.abs(s.heights).max(initial=0.0)) + 1.0
        step = self._grid[1] - self._grid[0]
        more = int(np.ceil(reach / step))
        wide = self._grid[0] + step * np.arange(-more, len(self._grid) + more)
        signal, noise = s.window_factors(wide)
        rings = (s.phase_factor(wide, self.phase_shift).real * signal) @ s.subtract
        square = (rings**2 / noise) @ (self._weights * s.attenuation).T
        out = np.zeros((len(s.sums), len(self._grid)))
        for h in s.heights.T:
            for t in range(len(out)):
                out[t] += np.interp(self._grid + self.hand * h[t], wide, square[:, t])
        return np.sqrt(out / s.heights.shape[1])

    def _score(self) -> np.ndarray:
        """Return (n, d) scores of the defoci that are tried, in standard deviations."""
        s, norms = self.spectra, self._norms()
        model = s.ring_filter(self._grid, self.phase_shift)
        scores = -(self._profiles() @ model.T).real / np.maximum(norms, LEAST_NORM * norms.max(axis=1, keepdims=True))
        middle = np.median(scores, axis=1, keepdims=True)
        spread = 1.4826 * np.median(np.abs(scores - middle), axis=1, keepdims=True)
        self._norm, self._middle, self._spread = norms, middle, np.maximum(spread, 1e-30)
        return (scores - middle) / self._spread

    def _search(self) -> float:
        """Set the defocus of every tilt from the whole range: the best path over the tilts by angle.

        Half the square of a score is the logarithm of its likelihood; a change of defocus between neighbours costs its
        size over the typical change, so that rings that are clear overrule the neighbours.
        """
        order = self.spectra.order
        scores = self._score()
        gain = 0.5 * np.maximum(scores[order], 0) ** 2
        cost = np.abs(self._grid[:, None] - self._grid) / self.options.defocus_change
        best, came = gain[0], np.zeros(gain.shape, int)
        for t in range(1, len(gain)):
            total = best - cost
            came[t] = total.argmax(axis=1)
            best = gain[t] + np.take_along_axis(total, came[t][:, None], axis=1)[:, 0]
        index = np.zeros(len(gain), int)
        index[-1] = int(best.argmax())
        for t in range(len(gain) - 1, 0, -1):
            index[t - 1] = came[t, index[t]]
        self.defocus[order] = self._grid[index]
        self.significance[order] = scores[order, index]
        return float(best.max())

    def _refine_defocus(self) -> None:
        """Move every defocus to the highest score within a step of the search."""
        profiles, s = self._profiles(), self.spectra
        width = self._grid[1] - self._grid[0]
        for width_now in (width, width / 8):
            tried = self.defocus[:, None] + np.linspace(-1, 1, 17) * width_now
            model = s.ring_filter(tried, self.phase_shift)
            norm = np.stack([np.interp(d, self._grid, m) for d, m in zip(tried, self._norm, strict=True)])
            floor = LEAST_NORM * self._norm.max(axis=1, keepdims=True)
            scores = -np.einsum("nk,ndk->nd", profiles, model).real / np.maximum(norm, floor)
            best = scores.argmax(axis=1)[:, None]
            self.defocus = np.take_along_axis(tried, best, axis=1)[:, 0]
        self.significance = ((np.take_along_axis(scores, best, axis=1) - self._middle) / self._spread)[:, 0]

    # --- astigmatism and phase shift ---

    def _fit_astigmatism(self, per_tilt: bool) -> None:
        """Set the astigmatism of all tilts together, and where it is wanted that of each."""
        s = self.spectra
        phase = s.ring_filter(self.defocus, self.phase_shift)
        norm = np.array([np.interp(d, self._grid, m) for d, m in zip(self.defocus, self._norm, strict=True)])
        parts = self._data * phase[:, None, :] / (self._spread * np.maximum(norm, 1e-30)[:, None])[:, :, None]
        trust = np.maximum(self.significance, 0.0)
        shared = self._best_astigmatism(np.einsum("nak,n->ak", parts, trust) / max(float(trust.sum()), 1e-30))
        self.astigmatism[:] = shared
        if per_tilt:
            for t, part in enumerate(parts):
                self.astigmatism[t] = self._best_astigmatism(part * trust[t], shared)

    def _best_astigmatism(self, part: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
        """Return the (2,) astigmatism of the highest score of (a, k) data; near `centre` where it is given."""
        limit = self.options.max_astigmatism
        if limit == 0:
            return np.zeros(2)
        reach = limit if centre is None else 3 * ASTIGMATISM_SPREAD
        best = np.zeros(2) if centre is None else centre
        while reach > 2.0:
            line = np.linspace(-reach, reach, 17)
            tried = best + np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
            tried = tried[np.hypot(*tried.T) <= limit]
            if not len(tried):
                return best
            scores = -np.einsum("ak,dak->d", part, self._astigmatic_phase(tried)).real
            if centre is not None:
                scores = scores - 0.5 * (((tried - centre) / ASTIGMATISM_SPREAD) ** 2).sum(axis=1)
            best = tried[scores.argmax()]
            reach /= 5
        return np.asarray(best)

    def _search_phase_shift(self) -> None:
        """Set the phase shift with which the whole series fits best."""
        tried = PHASE_SHIFTS
        for step in (2.0, 0.5):
            found = []
            for shift in tried:
                self.phase_shift = float(shift % 180)
                found.append(self._search())
            best = tried[int(np.argmax(found))]
            tried = best + step * np.arange(-4, 5)
            self.phase_shift = float(best % 180)

    # --- quality ---

    def score_filters(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what gives scores of rings at the fitted values, in standard deviations.

        Returns
        -------
        filters : (n, a, k) complex array
        middles : (n,) array
            The score of (a, k) sums of a tilt is the real part of the sum of their products with its filter, less its
            middle.
        """
        norm = np.array([np.interp(d, self._grid, m) for d, m in zip(self.defocus, self._norm, strict=True)])
        scale = np.maximum(norm, LEAST_NORM * self._norm.max(axis=1)) * self._spread[:, 0]
        rings = self._weights * self.spectra.ring_filter(self.defocus, self.phase_shift) / scale[:, None]
        filters = -self._astigmatic_phase(self.astigmatism) * rings[:, None, :]
        return filters, (self._middle / self._spread)[:, 0]

    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, k) rings at equal phase without background, and those of the CTF, both around 0."""
        s = self.spectra
        measured = (self._profiles() / np.maximum(self._weights, 1e-12)).real / len(s.grid.angle)
        model = -s.phase_factor(self.defocus, self.phase_shift).real * s.window_factors(self.defocus)[0] * s.attenuation
        return measured, model @ s.subtract

    def resolution(self) -> np.ndarray:
        """Return (n,) Å to which the rings stand out from the noise without a gap; NaN where they nowhere do."""
        s = self.spectra
        data = self._data * self._astigmatic_phase(self.astigmatism)
        phase = s.phase_factor(self.defocus, self.phase_shift)
        signal = -(data.sum(axis=1) * phase).real
        noise = 0.5 * CORRELATED * (np.abs(data) ** 2).sum(axis=1)
        width = max(5, len(self._k2) // 10)
        sum_up = np.ones(width)
        out = np.full(len(signal), np.nan)
        for t in range(len(signal)):
            # windows end at the borders: fewer rings count there
            stand = np.convolve(signal[t], sum_up, "same") / np.sqrt(np.convolve(noise[t], sum_up, "same") + 1e-30)
            above, peak = stand >= LEAST_RING, int(stand.argmax())
            if above[peak]:
                gaps = np.flatnonzero(~above[peak:])
                last = peak + int(gaps[0]) - 1 if len(gaps) else len(above) - 1
                out[t] = 1 / s.grid.frequency[last]
        return out


def curve_correlation(measured: np.ndarray, model: np.ndarray, spectra: RingSpectra) -> np.ndarray:
    """Return (n,) correlations of (n, k) curves, every ring weighted by its pixels."""
    weight = spectra.grid.rings

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the weighted scalar product, row by row."""
        return np.asarray((weight * a * b).sum(axis=1))

    return product(measured, model) / np.sqrt(np.maximum(product(measured, measured) * product(model, model), 1e-30))
