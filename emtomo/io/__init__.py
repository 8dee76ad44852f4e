"""File formats: a path in, arrays and tables out, and back; no engine, no window.

The names below are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emtomo.io.image_format import ImageInfo
    from emtomo.io.particles import ParticleList, convert_frame
    from emtomo.io.poses import from_relion, to_relion
    from emtomo.io.public import (
        describe_volume,
        read_particles,
        read_tilt_series,
        read_volume,
        write_particles,
        write_volume,
    )
    from emtomo.io.tilts import Tilts

_HOME = {
    "ImageInfo": "image_format",
    "ParticleList": "particles",
    "convert_frame": "particles",
    "from_relion": "poses",
    "to_relion": "poses",
    "describe_volume": "public",
    "read_particles": "public",
    "read_tilt_series": "public",
    "read_volume": "public",
    "write_particles": "public",
    "write_volume": "public",
    "Tilts": "tilts",
}


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'emtomo.io' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"emtomo.io.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


__all__ = [
    "ImageInfo",
    "ParticleList",
    "Tilts",
    "convert_frame",
    "describe_volume",
    "from_relion",
    "read_particles",
    "read_tilt_series",
    "read_volume",
    "to_relion",
    "write_particles",
    "write_volume",
]
