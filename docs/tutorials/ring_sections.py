"""Draw sections of averages beside the simulated ring: PNG RING.mrc AVERAGE.mrc=NAME [AVERAGE.mrc=NAME …].

Above across the ring's proteins, below along its axis. All particles may share a shift along that axis, which no image
tells: each average is cut at the height at which it agrees best with the ring.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from emtomo.io.mrc import read_volume

REACH = 8  # voxels by which an average may be shifted along the axis


def in_box(ring: np.ndarray, size: int) -> np.ndarray:
    """Return the ring in the middle of a larger box."""
    before = size // 2 - len(ring) // 2
    return np.pad(ring, (before, size - len(ring) - before))


def shift_along_axis(average: np.ndarray, ring: np.ndarray) -> int:
    """Return the shift at which an average correlates best with the ring, within the ring's radius."""
    y, x = np.indices(ring.shape[1:]) - len(ring) // 2
    inside = np.hypot(y, x) <= np.hypot(*np.argwhere(ring.any(axis=0)).T - len(ring) // 2).max()
    shifts = range(-REACH, REACH + 1)
    return max(
        shifts, key=lambda s: np.corrcoef(np.roll(average, s, 0)[:, inside].ravel(), ring[:, inside].ravel())[0, 1]
    )


def main() -> None:
    """Draw one column for each average and one for the ring."""
    png, ring_file, *averages = sys.argv[1:]
    named = [(name, np.asarray(read_volume(path))) for path, name in (a.rsplit("=", 1) for a in averages)]
    ring = in_box(np.asarray(read_volume(ring_file)), len(named[0][1]))
    across, along = int(ring.sum(axis=(1, 2)).argmax()), len(ring) // 2
    columns = [(name, np.roll(a, shift_along_axis(a, ring), 0)) for name, a in named] + [("simulated ring", ring)]
    figure = Figure(figsize=(1.7 * len(columns), 3.7), layout="constrained")
    for axes, (name, volume) in zip(figure.subplots(2, len(columns)).T, columns, strict=True):
        axes[0].set_title(name, fontsize=8)
        for one, section in zip(axes, (volume[across], volume[:, along]), strict=True):
            one.imshow(
                section, cmap="gray", origin="lower", vmin=np.quantile(section, 0.005), vmax=np.quantile(section, 0.995)
            )
            one.set(xticks=[], yticks=[])
    figure.savefig(png, dpi=100)


if __name__ == "__main__":
    main()
