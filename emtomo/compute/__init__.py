"""The science: pure functions from arrays to arrays, on the CPU or on CUDA.

Volumes are ``(z, y, x)`` float32. Positions that index a volume are ``(n, 3)``
zyx in voxels of that volume; positions of pure geometry are ``(n, 3)`` xyz in
one unit of length. A rotation ``R`` is ``(3, 3)`` and acts on (x, y, z):
tomogram = R @ reference.
"""
