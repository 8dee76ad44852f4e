"""Whether points lie in clusters apart."""

import numpy as np

FEWEST = 4  # points of a cluster
GAP = 3.0  # times the distance within which nine of ten points have their nearest neighbour


def count_clusters(points: np.ndarray) -> int:
    """Return in how many clusters points lie, with gaps between them that are wide for their density.

    Parameters
    ----------
    points : (n, d) array

    Returns
    -------
    int
        Clusters of at least ``FEWEST`` points; 1 where there is no gap.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial import cKDTree

    points = np.unique(np.asarray(points, float), axis=0)
    if len(points) < 2 * FEWEST:
        return 1
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    labels = fcluster(linkage(points, "single"), GAP * float(np.percentile(nearest, 90)), "distance")
    return max(1, int((np.bincount(labels) >= FEWEST).sum()))
