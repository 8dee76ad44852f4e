"""CUDA drivers of back-projection; one thread a voxel, neighbours along the axis in which images are contiguous."""

from numba import cuda

from emtomo.compute.kernels.backprojection import ONE, between, bilinear, column_place, slab_of

THREADS = 128


@cuda.jit
def backproject_columns_cuda(images, lines, heights, out):
    """Add to `out` (z, y, x) as ``backproject_columns`` does."""
    y, x, z = cuda.grid(3)
    if z >= out.shape[0] or y >= out.shape[1] or x >= out.shape[2]:
        return
    total = out[z, y, x]
    for t in range(images.shape[0]):
        u = lines[t, 0] + lines[t, 1] * x + lines[t, 2] * z
        inside, i, a = column_place(u, images.shape[2])
        if inside:
            k = slab_of(heights[t, 0] + heights[t, 1] * x + heights[t, 2] * z, images.shape[1])
            total += (ONE - a) * images[t, k, i, y] + a * images[t, k, i + 1, y]
    out[z, y, x] = total


@cuda.jit
def backproject_nodes_cuda(images, nodes, step, out):
    """Add to `out` (z, y, x) as ``backproject_nodes`` does."""
    x, y, z = cuda.grid(3)
    if z >= out.shape[0] or y >= out.shape[1] or x >= out.shape[2]:
        return
    total = out[z, y, x]
    middle = (x // step * step + min(x // step * step + step, out.shape[2])) // 2
    for t in range(images.shape[0]):
        k = slab_of(between(nodes, t, z, y, middle, 2, step), images.shape[1])
        u, v = between(nodes, t, z, y, x, 0, step), between(nodes, t, z, y, x, 1, step)
        total += bilinear(images[t, k], u, v)
    out[z, y, x] = total
