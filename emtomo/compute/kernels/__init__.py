"""numba bodies and their drivers; nothing here is public.

Compiled kernels are cached in a folder named by a hash of these sources: numba
looks only at the file of the function itself, and an edited body in another
file would leave a stale result in the cache.
"""

import contextlib
import ctypes
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import numba


def _cache_folder() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "emtomo" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"emtomo-{os.getuid()}" / digest.hexdigest()[:16]
    return str(folder)


def _load_threading_library() -> None:
    """Make a layer usable from several threads: OpenMP of the system, else TBB of our own wheel."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgomp.so.1")
        return
    with contextlib.suppress(OSError):
        ctypes.CDLL(str(Path(sys.prefix) / "lib" / "libtbb.so.12"), mode=ctypes.RTLD_GLOBAL)


numba.config.CACHE_DIR = _cache_folder()
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
_load_threading_library()
