"""Whether and how VTK draws on this machine."""

import os
import subprocess
from functools import lru_cache

from emtomo.errors import EmtomoError
from emtomo.isolation import python_command

WINDOWS = ("vtkEGLRenderWindow", "", "vtkOSOpenGLRenderWindow")


@lru_cache(maxsize=1)
def opengl() -> str:
    """Return the render window that works on this machine.

    It is tried in another process: a missing or broken OpenGL may end the one that asks.

    Raises
    ------
    EmtomoError
        If none works, or PyVista is not installed.
    """
    code = (
        "import pyvista as p; q = p.Plotter(off_screen=True, window_size=(32, 32)); q.ren_win.SetMultiSamples(0);"
        "q.add_mesh(p.Sphere()); i = q.screenshot(return_img=True); raise SystemExit(0 if i.std() > 1 else 3)"
    )
    last = ""
    for name in WINDOWS:
        env = {**os.environ, **({"VTK_DEFAULT_OPENGL_WINDOW": name} if name else {})}
        try:
            done = subprocess.run(python_command("-c", code), capture_output=True, text=True, env=env, timeout=60)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return name
        last = (done.stderr.strip().splitlines() or ["it gave no picture"])[-1]
    if "No module named" in last:
        raise EmtomoError("The 3D view needs PyVista: pip install 'emtomo[view3d]'. All other windows work without it.")
    raise EmtomoError(
        f"The 3D view needs OpenGL, which does not work here ({last}). All other windows work without it."
    )


def load_vtk() -> None:
    """Load what draws; half a second, so to be called in a thread before the first :class:`Scene`.

    Raises
    ------
    EmtomoError
        If there is no OpenGL.
    """
    window = opengl()
    if window:
        os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = window
    import pyvista as pv
    from pyvista.plotting.tools import system_supports_plotting

    pv.Sphere()
    system_supports_plotting()  # asks for a display in another process, and remembers the answer
