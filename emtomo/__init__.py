"""emtomo: from tilt series, tomograms or micrographs to oriented particles, a refined average and its resolution.

Importing this package is cheap: what it offers is loaded when it is first
used, no environment variable is set, and the engine of projects is loaded by
:func:`open_project` alone.
"""

from emtomo.isolation import ignore_settings_of_working_folder, leave_working_folder

leave_working_folder()  # before anything else is imported
ignore_settings_of_working_folder()

from typing import TYPE_CHECKING, Any  # noqa: E402

from emtomo.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from emtomo import compute, io, synthetic
    from emtomo.api.averaging import reconstruct, refine
    from emtomo.api.matching import TemplateMatches, match_template
    from emtomo.api.project import Output, Project, open_project
    from emtomo.api.volumes import create_mask, denoise, postprocess
    from emtomo.compute.denoise import DenoiseOptions
    from emtomo.compute.fourier.resampling import bin_volume
    from emtomo.compute.fourier.shell_correlation import (
        FscCurves,
        fourier_shell_correlation,
        resolution_at,
        solvent_corrected_fsc,
    )
    from emtomo.compute.masks import MaskOptions
    from emtomo.compute.matching.options import PeakOptions, ScanOptions
    from emtomo.compute.postprocess import PostprocessOptions
    from emtomo.compute.refinement.options import RefineOptions
    from emtomo.errors import EmtomoError, FormatError, ProjectError

_HOME = {
    "DenoiseOptions": "compute.denoise",
    "EmtomoError": "errors",
    "FormatError": "errors",
    "FscCurves": "compute.fourier.shell_correlation",
    "MaskOptions": "compute.masks",
    "Output": "api.project",
    "PeakOptions": "compute.matching.options",
    "PostprocessOptions": "compute.postprocess",
    "Project": "api.project",
    "ProjectError": "errors",
    "RefineOptions": "compute.refinement.options",
    "ScanOptions": "compute.matching.options",
    "TemplateMatches": "api.matching",
    "bin_volume": "compute.fourier.resampling",
    "create_mask": "api.volumes",
    "denoise": "api.volumes",
    "fourier_shell_correlation": "compute.fourier.shell_correlation",
    "match_template": "api.matching",
    "open_project": "api.project",
    "postprocess": "api.volumes",
    "reconstruct": "api.averaging",
    "refine": "api.averaging",
    "resolution_at": "compute.fourier.shell_correlation",
    "solvent_corrected_fsc": "compute.fourier.shell_correlation",
}
_FOLDERS = ("compute", "io", "synthetic")
_ENGINE = ("Domain", "Plugin")  # what pyworkflow looks for in a plugin


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _FOLDERS:
            return import_module(f"emtomo.{name}")
        if name in _ENGINE:
            return getattr(import_module("emtomo.engine.plugin"), name)
        if name in _HOME:
            return getattr(import_module(f"emtomo.{_HOME[name]}"), name)
        raise AttributeError(f"module 'emtomo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


__all__ = [
    "DenoiseOptions",
    "EmtomoError",
    "FormatError",
    "FscCurves",
    "MaskOptions",
    "Output",
    "PeakOptions",
    "PostprocessOptions",
    "Project",
    "ProjectError",
    "RefineOptions",
    "ScanOptions",
    "TemplateMatches",
    "__version__",
    "bin_volume",
    "compute",
    "create_mask",
    "denoise",
    "fourier_shell_correlation",
    "io",
    "match_template",
    "open_project",
    "postprocess",
    "reconstruct",
    "refine",
    "resolution_at",
    "solvent_corrected_fsc",
    "synthetic",
]
