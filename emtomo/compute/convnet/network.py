"""The network, and its file."""

import json
from typing import Any

import numpy as np

from emtomo.compute.convnet.slabs import CHANNELS
from emtomo.errors import EmtomoError

FIRST, INNER = 16, 32  # features
KERNELS = ((FIRST, CHANNELS, 5), (INNER, FIRST, 5), (INNER, INNER, 7), (INNER, INNER, 7), (1, INNER, 1))
KIND = "emtomo convnet 1"


def torch_module() -> Any:
    """Return PyTorch.

    Raises
    ------
    EmtomoError
        If it is not installed, with how to get it.
    """
    try:
        import torch
    except ImportError:
        raise EmtomoError(
            "Neural picking needs PyTorch: pip install 'emtomo[nn]'; without a GPU the small build is enough: pip "
            "install torch safetensors --extra-index-url https://download.pytorch.org/whl/cpu."
        ) from None
    return torch


def build(seed: int) -> Any:
    """Return a network with random weights: five convolutions, one answer for 4 × 4 pixels, seeing 63 pixels.

    Input `(n, CHANNELS, y, x)`, output `(n, 1, y / 4, x / 4)`, near 1 at particles' centres and 0 elsewhere.
    """
    torch = torch_module()
    torch.manual_seed(seed)
    nn = torch.nn
    layers: list[Any] = []
    for number, (out, into, size) in enumerate(KERNELS):
        stride = 2 if number == 0 else 1
        layer = nn.Conv2d(into, out, size, stride, size // 2)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        if number == len(KERNELS) - 1:
            layer.weight.data *= 0.1
        layers.append(layer)
        if number < len(KERNELS) - 1:
            layers.append(nn.ReLU())
        if number == 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def save(network: Any, path: str, training_box: int, box_angstrom: float) -> None:
    """Write a network as safetensors, with what it was trained at: numbers only, nothing that could be run."""
    from safetensors.torch import save_file

    metadata = {"kind": KIND, "training_box": str(training_box), "box": repr(float(box_angstrom))}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path, metadata)


def load(path: str) -> tuple[Any, int, float]:
    """Return a network, its training box in pixels and the box in Å.

    Raises
    ------
    EmtomoError
        If the file is not one of :func:`save`.
    """
    torch_module()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise EmtomoError(f"{path}: not a network of emtomo ({error}).") from None
    network = build(0)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if metadata.get("kind") != KIND or found != wanted:
        raise EmtomoError(f"{path}: not a network of emtomo; it must be a file that pick-convnet wrote.")
    if not all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values()):
        raise EmtomoError(f"{path}: the network holds values that are no numbers.")
    network.load_state_dict(tensors)
    return network, int(metadata["training_box"]), float(metadata["box"])
