"""Triangle meshes: hulls, refinement, area, volume, points on them."""

from dataclasses import dataclass

import numpy as np

from emtomo.compute.geometry.certainty import enough
from emtomo.compute.geometry.spacing import FINENESS, check_number, evenly_spaced
from emtomo.compute.rotations import unit
from emtomo.errors import ModelError

MOST_CANDIDATES = 30_000_000


@dataclass(frozen=True)
class Mesh:
    """Triangles; seen from outside, corners run counter-clockwise.

    Attributes
    ----------
    vertices : (n, 3) array
    faces : (m, 3) int array
    """

    vertices: np.ndarray
    faces: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """The (m, 3, 3) corners of the triangles."""
        return self.vertices[self.faces]

    @property
    def doubled(self) -> np.ndarray:
        """The (m, 3) normals of the triangles, each as long as twice its area."""
        c = self.corners
        return np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0])

    @property
    def area(self) -> float:
        """Sum of the triangles' areas."""
        return float(np.linalg.norm(self.doubled, axis=1).sum() / 2)

    @property
    def volume(self) -> float:
        """Enclosed volume of a closed mesh, by the divergence theorem."""
        return float(np.einsum("ij,ij->", self.corners[:, 0], self.doubled) / 6)

    @property
    def face_normals(self) -> np.ndarray:
        """Unit normals of the triangles."""
        return unit(self.doubled)

    def longest_edge(self) -> float:
        """Return the length of the longest edge."""
        c = self.corners
        return float(max(np.linalg.norm(c[:, i] - c[:, (i + 1) % 3], axis=1).max(initial=0) for i in range(3)))

    def flip(self) -> "Mesh":
        """Return the mesh with its other side out."""
        return Mesh(self.vertices, self.faces[:, ::-1])

    def refine(self) -> "Mesh":
        """Return the mesh with every triangle cut into 4 at the middles of its edges."""
        edges = np.sort(self.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, place = np.unique(edges, axis=0, return_inverse=True)
        middle = len(self.vertices) + place.reshape(-1, 3)
        vertices = np.concatenate([self.vertices, self.vertices[unique].mean(axis=1)])
        (a, b, c), (p, q, r) = self.faces.T, middle.T
        faces = np.concatenate([np.stack(t, axis=1) for t in ((a, p, r), (p, b, q), (r, q, c), (p, q, r))])
        return Mesh(vertices, faces)

    def refine_to(self, edge: float, max_triangles: int) -> "Mesh":
        """Return the mesh refined until no edge is longer than `edge` or it would exceed `max_triangles`."""
        mesh = self
        while mesh.longest_edge() > edge and 4 * len(mesh.faces) <= max_triangles:
            mesh = mesh.refine()
        return mesh

    def points(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Return points on the mesh, `spacing` apart, and the outward normals there."""
        check_number(self.area, spacing)
        candidates, face = self._candidates(spacing / FINENESS)
        order = np.argsort(candidates[:, 2], kind="stable")
        candidates, face = candidates[order], face[order]
        chosen = evenly_spaced(candidates, spacing)
        return candidates[chosen], self.face_normals[face[chosen]]

    def _candidates(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Return points in a regular pattern on every triangle, about `step` apart, and their triangles."""
        c = self.corners
        edge = np.stack([np.linalg.norm(c[:, i] - c[:, (i + 1) % 3], axis=1) for i in range(3)]).max(axis=0)
        cuts = np.maximum(1, np.ceil(edge / step)).astype(int)
        if float(np.sum(cuts.astype(float) ** 2)) > MOST_CANDIDATES:
            raise ModelError("The triangles of this surface are too long and thin; do its points lie on a line?")
        points, faces = [], []
        for n in np.unique(cuts):
            mine = np.flatnonzero(cuts == n)
            i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
            inside = i + j < n
            up = np.stack([(i + 1 / 3)[inside], (j + 1 / 3)[inside]], axis=1)
            low = i + j < n - 1
            down = np.stack([(i + 2 / 3)[low], (j + 2 / 3)[low]], axis=1)
            weight = np.concatenate([up, down]) / n
            triangle = c[mine]
            base, first, second = (
                triangle[:, 0],
                triangle[:, 1] - triangle[:, 0],
                triangle[:, 2] - triangle[:, 0],
            )
            spread = base[:, None] + weight[:, :1] * first[:, None] + weight[:, 1:] * second[:, None]
            points.append(spread.reshape(-1, 3))
            faces.append(np.repeat(mine, len(weight)))
        return np.concatenate(points), np.concatenate(faces)


def convex_hull(points: np.ndarray) -> Mesh:
    """Return the convex hull of `points`, outside out.

    Raises
    ------
    ModelError
        If there are fewer than 4 points or they lie in one plane.
    """
    from scipy.spatial import ConvexHull, QhullError

    points = enough(points, 4, "A hull")
    try:
        hull = ConvexHull(points)
    except QhullError:
        raise ModelError("A hull needs points that do not lie in one plane; pick on several slices.") from None
    used, faces = np.unique(hull.simplices, return_inverse=True)
    mesh = Mesh(points[used], faces.reshape(-1, 3))
    inward = np.sum(mesh.doubled * hull.equations[:, :3], axis=1) < 0
    turned = mesh.faces.copy()
    turned[inward] = turned[inward][:, ::-1]
    return Mesh(mesh.vertices, turned)


def sphere_mesh(edge: float, max_triangles: int) -> Mesh:
    """Return the unit sphere from a refined icosahedron, edges at most `edge` where triangles allow."""
    g = (1 + np.sqrt(5)) / 2
    corners = np.array([[0, s, t * g] for s in (-1, 1) for t in (-1, 1)], float)
    mesh = convex_hull(unit(np.concatenate([corners, corners[:, [2, 0, 1]], corners[:, [1, 2, 0]]])))
    while mesh.longest_edge() > edge and 4 * len(mesh.faces) <= max_triangles:
        fine = mesh.refine()
        mesh = Mesh(unit(fine.vertices), fine.faces)
    return mesh


def grid_mesh(grid: np.ndarray) -> Mesh:
    """Return the triangles of a `(rows, columns, 3)` grid of points."""
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    return Mesh(grid.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]))
