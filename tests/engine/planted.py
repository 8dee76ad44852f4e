"""Files that Python and libraries would take from a working folder, each of which tells if it was run."""

import sys
from pathlib import Path

# every name under which the libraries of emtomo are imported, and what Python itself looks for
THIRD = {
    "PIL", "cloudpickle", "cupy", "dask", "dask_jobqueue", "distributed", "h5py", "jinja2", "matplotlib", "mrcfile",
    "numba", "numpy", "pandas", "psutil", "pyvista", "pyworkflow", "rich", "safetensors", "scipy", "skimage", "star",
    "starfile", "tbb", "threadpoolctl", "tifffile", "torch", "tornado", "ttkbootstrap", "typer", "click", "yaml",
    "zarr", "emtomo", "config", "sitecustomize", "usercustomize",
}  # fmt: skip
SPY = (
    "import pathlib, sys\n"
    "pathlib.Path(__file__).with_name('RAN').open('a').write(__file__ + ' ' + ' '.join(sys.orig_argv) + '\\n')\n"
    "raise ImportError('code of a received project')\n"
)


def plant(folder: Path) -> None:
    """Put a file into `folder` for every name that Python or a library would take from a working folder."""
    for name in THIRD | set(sys.stdlib_module_names):
        (folder / f"{name}.py").write_text(SPY)
    (folder / "evil.pth").write_text("import evil_pth\n")
    (folder / "evil_pth.py").write_text(SPY)
    (folder / ".numba_config.yaml").write_text("disable_jit: 1\nthreading_layer: nonsense\n")
    (folder / "matplotlibrc").write_text("backend: module://evil_backend\nfigure.dpi: 7\nsavefig.dpi: 7\n")
    for name in (".Tk.py", ".emtomo.py", ".Emtomo.py", "evil_backend.py"):
        (folder / name).write_text(SPY)
    for name in (".dask", ".config/dask", "dask"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / ".config" / "dask" / "dask.yaml").write_text("distributed: {worker: {preload: [evil_backend.py]}}\n")
    (folder / "hosts.conf").write_text("[localhost]\nPARALLEL_COMMAND = touch RAN\n")
    (folder / "libgomp.so.1").write_bytes(b"no library")


def ran(folder: Path) -> str:
    """Return what was run of what was planted; empty where nothing was."""
    path = folder / "RAN"
    return path.read_text() if path.exists() else ""
