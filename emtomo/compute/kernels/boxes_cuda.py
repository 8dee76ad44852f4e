"""CUDA driver for turning boxes: the same body, one thread a voxel."""

from numba import cuda

from emtomo.compute.kernels.boxes import rotate_voxel

THREADS = 128


@cuda.jit
def rotate_cuda(boxes, matrices, shifts, order, outside, out):
    """Turn every box; see ``rotate_cpu``."""
    task = cuda.grid(1)
    n, b = boxes.shape[0], boxes.shape[1]
    if task >= n * b * b * b:
        return
    x = task % b
    y = (task // b) % b
    z = (task // (b * b)) % b
    i = task // (b * b * b)
    out[i, z, y, x] = rotate_voxel(boxes[i], matrices[i], shifts[i], b // 2, z, y, x, order, outside[i])
