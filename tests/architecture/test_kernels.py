"""Compiled kernels give the same bits whether they were compiled in this process or are read from the cache."""

import pkgutil
from importlib import import_module

import pytest
from numba.core.dispatcher import Dispatcher

import emtomo.compute.kernels

CPU = sorted(
    module.name for module in pkgutil.iter_modules(emtomo.compute.kernels.__path__) if "cuda" not in module.name
)


def called(kernel):
    """Return the compiled functions that a kernel names."""
    known = kernel.py_func.__globals__
    return [known[name] for name in kernel.py_func.__code__.co_names if isinstance(known.get(name), Dispatcher)]


@pytest.mark.parametrize("name", CPU)
def test_what_kernels_call_with_fast_sums_is_inlined(name):
    """Otherwise numba takes it from another library than the cache holds, which orders sums in another way."""
    module = import_module(f"emtomo.compute.kernels.{name}")
    kernels = [one for one in vars(module).values() if isinstance(one, Dispatcher)]
    inner = {one for kernel in kernels for one in called(kernel) if one.targetoptions.get("fastmath")}
    assert [one.__name__ for one in inner if not one.targetoptions.get("forceinline")] == []


def test_diffusion_adds_in_one_order():
    """A kernel that adds in the order that suits it chose another when compiled than when read from the cache."""
    module = import_module("emtomo.compute.kernels.diffusion_cpu")
    kernels = [one for one in vars(module).values() if isinstance(one, Dispatcher)]
    assert kernels and not any("reassoc" in one.targetoptions["fastmath"] for one in kernels)
