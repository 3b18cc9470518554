"""Which device a run gets: what this machine has, not what was asked for."""

from __future__ import annotations

import ctypes

from openassay.faults import BadInput


def gpus() -> tuple[str, ...]:
    """The names of the GPUs that CUDA's driver shows to this process; `$CUDA_VISIBLE_DEVICES` counts."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    found = []
    for number in range(count.value):
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDeviceGetName(name, len(name), device)
        found.append(name.value.decode("utf-8", "replace"))
    return tuple(found)


def device_here(wanted: str) -> str:
    """`cpu`, or `cuda` when it is asked for or there (`auto`); `BadInput` where it is asked for and not there."""
    there = wanted != "cpu" and bool(gpus())
    if wanted == "cuda" and not there:
        raise BadInput(
            "execution.device: cuda is asked for, and CUDA's driver shows no GPU here; use execution=auto or execution=cpu"
        )
    return "cuda" if there else "cpu"


def seen(device: str) -> dict[str, str]:
    """A run's device as its record states it, with the kind of GPU where it ran on one."""
    names = ", ".join(dict.fromkeys(gpus())) if device.startswith("cuda") else ""
    return {"device": device} | ({"gpu": names} if names else {})
