"""Draw docs/pictures/axes.png: where positions are counted from, and how a particle stands in its tomogram."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from emtomo.io.poses import from_relion, to_dynamo, to_motl

ANGLES = np.array([[20.0, 50.0, -150.0]])
COLOURS = ("tab:red", "tab:green", "tab:blue")


def origins(axes: Axes) -> None:
    """Draw a row of voxels with every program's zero, for an odd and an even size."""
    for row, n in enumerate((8, 7)):
        y = -2.6 * row
        for k in range(n):
            axes.add_patch(plt.Rectangle((k - 0.5, y), 1, 0.8, fill=k == n // 2, fc="#cde", ec="0.4"))
            axes.text(k, y + 0.4, str(k), ha="center", va="center", fontsize=8)
        marks = [
            (0, "first voxel: text, Dynamo, RELION ≤ 4,\nWarp, AV3, STOPGAP, copick, M", "k", -0.25, "left"),
            (n // 2, f"n // 2 = {n // 2}: emtomo, EMAN2", "tab:blue", 1.0, "center"),
            (n / 2, f"n / 2 = {n / 2:g}: RELION 5, Scipion", "tab:red", -0.75, "left"),
        ]
        for x, text, colour, where, side in marks:
            axes.plot([x, x], [y, y + 0.8], color=colour, lw=2)
            axes.text(x if side == "center" else x - 0.3, y + where, text, color=colour, fontsize=8, ha=side, va="top"
                      if where < 0 else "bottom")  # fmt: skip
        axes.text(-1.2, y + 0.4, f"n = {n}", ha="right", va="center", fontsize=9)
    axes.set_xlim(-2.2, 10)
    axes.set_ylim(-4.4, 1.7)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title("zero of positions, along one axis", fontsize=10)


def pose(figure: plt.Figure, place: tuple[int, int, int]) -> None:
    """Draw the tomogram's axes and those of one particle, with its angles in three programs."""
    axes = figure.add_subplot(*place, projection="3d")
    rotation = from_relion(ANGLES)[0]
    centre = np.array([1.1, 0.2, 0.75])
    for k, name in enumerate("xyz"):
        axes.quiver(0, 0, 0, *(1.3 * np.eye(3)[k]), color="0.4", arrow_length_ratio=0.08)
        axes.text(*(1.38 * np.eye(3)[k]), f"{name} of the tomogram", fontsize=8, color="0.3")
        axes.quiver(*centre, *(0.6 * rotation[:, k]), color=COLOURS[k], arrow_length_ratio=0.15)
        axes.text(*(centre + 0.66 * rotation[:, k]), f"column {k + 1} of R: {name}", fontsize=8, color=COLOURS[k])
    axes.set(xlim=(0, 1.4), ylim=(0, 1.4), zlim=(0, 1.4))
    axes.view_init(22, -60)
    axes.set_axis_off()
    labelled = [
        ("RELION rot, tilt, psi", ANGLES[0]),
        ("Dynamo tdrot, tilt, narot", to_dynamo(rotation[None])[0]),
        ("AV3 phi, psi, theta", to_motl(rotation[None])[0]),
    ]
    lines = [f"{name}: " + ", ".join(f"{v:.0f}°" for v in values) for name, values in labelled]
    axes.set_title("tomogram = R @ reference\n" + "\n".join(lines), fontsize=9)


def main() -> None:
    """Write the picture."""
    figure = plt.figure(figsize=(12, 4.8))
    origins(figure.add_subplot(1, 2, 1))
    pose(figure, (1, 2, 2))
    figure.tight_layout()
    figure.savefig(Path(__file__).parent / "pictures" / "axes.png", dpi=110)


if __name__ == "__main__":
    main()
