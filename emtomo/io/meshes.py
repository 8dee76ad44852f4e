"""Triangle meshes as Wavefront OBJ, which every 3D program opens."""

from pathlib import Path

import numpy as np


def write_obj(path: str | Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh under a temporary name, then rename it to `path`.

    Parameters
    ----------
    path : str or Path
    vertices : (n, 3) array
        x, y, z.
    faces : (m, 3) int array
        0-based; the file counts from 1.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf8") as stream:
        np.savetxt(stream, vertices, "v %.4f %.4f %.4f")
        np.savetxt(stream, np.asarray(faces) + 1, "f %d %d %d")
    part.replace(path)


def read_obj(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and 0-based faces of an OBJ file of triangles."""
    rows: dict[str, list[list[float]]] = {"v": [], "f": []}
    with Path(path).open(encoding="utf8") as stream:
        for line in stream:
            words = line.split()
            if words and words[0] in rows:
                rows[words[0]].append([float(w.split("/")[0]) for w in words[1:4]])
    return np.array(rows["v"]).reshape(-1, 3), np.array(rows["f"], int).reshape(-1, 3) - 1
