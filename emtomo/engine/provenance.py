"""How an output came about: kept beside it, in words that outlive the program."""

import platform
import time
from pathlib import Path
from typing import Any

from pyworkflow.protocol import Protocol
from pyworkflow.protocol.params import PointerParam

from emtomo.engine.code_version import source_digest
from emtomo.engine.form import INPUT
from emtomo.engine.state import read_json, write_json
from emtomo.version import __version__

PROVENANCE = "provenance.json"
INTERNAL = {"runName", "runMode", "hostName", "numberOfMpi", "gpuList", "useGpu"}


def parameters_of(protocol: Protocol) -> dict[str, Any]:
    """Return the form's values by name; a pointer as ``RUN.output``."""
    found: dict[str, Any] = {}
    for name, param in protocol.getDefinition().iterParams():
        value = getattr(protocol, name, None)
        if name in INTERNAL or value is None:
            continue
        found[name.removeprefix(INPUT)] = pointer_texts(value) if isinstance(param, PointerParam) else value.get()
    return found


def pointer_texts(pointer: Any) -> Any:
    """Return what `pointer` (or each of a list) points at as ``id.output``."""
    if hasattr(pointer, "append"):
        return [pointer_texts(one) for one in pointer]
    parent = pointer.getObjValue()
    if parent is None:
        return None
    return f"{parent.getObjId()}.{pointer.getExtended()}"


def write_provenance(protocol: Protocol, started: float, ended: float, codes: Any = None) -> None:
    """Write run, parameters, inputs, outputs, version and duration into the run's folder.

    `codes` are the versions that its results come from (:func:`~emtomo.engine.code_version.codes_after`).
    """
    seed = getattr(protocol, "seed", None)
    record = {
        "run": protocol.getObjId(),
        "label": protocol.getObjLabel(),
        "protocol": protocol.getClassName(),
        "parameters": parameters_of(protocol),
        "inputs": [pointer_texts(pointer) for _, pointer in protocol.iterInputAttributes()],
        "outputs": {name: str(output) for name, output in protocol.outputs().items()},
        "seed": seed.get() if seed is not None else None,
        "emtomo": __version__,
        "source": source_digest(),
        "codes": codes,
        "python": platform.python_version(),
        "host": platform.node(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started)),
        "seconds": round(ended - started, 3),
    }
    write_json(Path(protocol._getPath(PROVENANCE)), record, sync=False)


def read_provenance(run_folder: str | Path) -> dict[str, Any]:
    """Return the record of a run, empty when there is none."""
    return read_json(Path(run_folder) / PROVENANCE, {})
