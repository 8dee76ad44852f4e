"""An iteration of each diffusion scheme at 256³, as a multiple of copying the volume and against SimpleITK.

SimpleITK is not a dependency: install it (pip install SimpleITK) to get its row.
"""

import numpy as np
from timing import machine, row, seconds

from emtomo.compute.denoise import DEPTH, HEIGHT, _mean_gradient
from emtomo.compute.kernels import diffusion_cpu as kernels

N = 256


def main() -> None:
    print(machine())
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(N, N, N)).astype(np.float32)
    out = np.empty_like(volume)
    copy, _ = seconds(lambda: np.copyto(out, volume), 15)
    flow, _ = seconds(lambda: kernels.beltrami_cpu(volume, np.float32(0.6), out), 15)
    inverse = np.float32(1 / 108)
    planar, _ = seconds(lambda: kernels.eed_cpu(volume, np.float32(0.1), inverse, False, DEPTH, HEIGHT, out))
    mean, _ = seconds(lambda: _mean_gradient(volume))
    row(f"copying {N}³ float32", f"{copy * 1e3:.1f} ms")
    row("Beltrami flow, an iteration", f"{flow * 1e3:.1f} ms = {flow / copy:.1f} copies", "<= 2.5 copies")
    eed = planar + mean
    row("EED, an iteration with its mean gradient", f"{eed * 1e3:.1f} ms = {eed / copy:.1f} copies", "<= 8 copies")
    try:
        import SimpleITK as sitk
    except ImportError:
        row("SimpleITK CurvatureAnisotropicDiffusion", "not installed")
        return
    image = sitk.GetImageFromArray(volume)
    peer, _ = seconds(lambda: sitk.CurvatureAnisotropicDiffusion(image, 0.0625, 3.0, 1, 2), 1)
    row("SimpleITK CurvatureAnisotropicDiffusion, an iteration", f"{peer:.2f} s")
    row("SimpleITK / Beltrami flow", f"{peer / flow:.0f} x", ">= 60 x")
    row("SimpleITK / EED", f"{peer / eed:.0f} x", ">= 60 x")


if __name__ == "__main__":
    main()
