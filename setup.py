"""Install emtomo: what it needs, what it offers, and how a plugin host finds it."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "emtomo" / "version.py").read_text(encoding="utf8").splitlines()
    if line.startswith("__version__")
)

REQUIRES = [
    "scipion-pyworkflow==3.11.7",
    "numpy>=1.26.1",
    "scipy>=1.13",
    "pandas>=2.2",
    "numba>=0.61",
    "mrcfile>=1.5",
    "starfile>=0.5.13",
    "tifffile>=2024.1",
    "h5py>=3.10",
    "zarr>=3",
    "matplotlib>=3.8",
    "psutil>=5.9",
    "typer>=0.12",
    "rich>=13",
    "jinja2>=3.1",
    "threadpoolctl>=3.2",
    # the windows; no OpenGL, so they work over SSH and without a graphics card
    "ttkbootstrap>=2.2.6,<2.3",
    # threads for numba where the system has no OpenMP runtime (libgomp)
    "tbb>=2021.6; platform_machine == 'x86_64'",
]
SCALE = ["dask>=2025.1", "distributed>=2025.1", "dask-jobqueue>=0.9", "cryptography>=42"]
EXTRAS = {
    # the 3D view alone; every other window works without it
    "view3d": ["pyvista>=0.44"],
    "nn": ["torch>=2.2", "safetensors>=0.4"],
    "cuda12": ["cupy-cuda12x>=13", "numba-cuda[cu12]>=0.20"],
    "cuda13": ["cupy-cuda13x>=13.6", "numba-cuda[cu13]>=0.20"],
    # several machines; keys for clusters that emtomo starts itself
    "scale": SCALE,
    "dev": [
        *SCALE,
        "hypothesis>=6",
        "import-linter>=2",
        "mypy>=1.10",
        "pandas-stubs",
        "pre-commit>=3",
        "pyvista>=0.44",
        "pytest>=8",
        "pytest-xdist>=3",
        "ruff>=0.5",
        "setuptools<81",
    ],
}

setup(
    name="emtomo",
    version=VERSION,
    description="From tomograms to oriented particles and their average: one package, one command.",
    long_description=(HERE / "README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    license="GPL-3.0-or-later",
    python_requires=">=3.11,<3.13",
    packages=[*find_packages(include=["emtomo", "emtomo.*"]), "emtomo.templates"],
    # the templates live at the top level of the repository and are installed as package data
    package_dir={"emtomo": "emtomo", "emtomo.templates": "templates"},
    package_data={
        "emtomo": ["py.typed", "engine/hosts.conf", "engine/hosts_slurm.conf", "viewers/report.html.jinja"],
        "emtomo.templates": ["*.json.template"],
    },
    include_package_data=True,
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={
        # a group of our own: a Scipion in the same environment must neither be
        # disturbed by our Domain nor disturb ours (shared discovery sets one Domain for all)
        "emtomo.plugin": ["emtomo = emtomo"],
        "console_scripts": ["emtomo = emtomo.cli:main"],
    },
)
