"""What this machine has, found without torch (whose import costs seconds)."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from r1lab.errors import PrerequisiteError


@cache
def gpu_count() -> int:
    """CUDA devices that the driver shows this process (it heeds CUDA_VISIBLE_DEVICES)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@cache
def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, read from its version file."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    text = (Path(next(iter(spec.submodule_search_locations))) / "version.py").read_text()
    return re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None


@cache
def cpu_has_bf16() -> bool:
    """Whether this CPU has instructions for bf16 products, as Linux lists them (x86 and Arm)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None


def device(config: dict[str, Any]) -> str:
    """``cpu`` or ``cuda``: what this process trains on; an unmet wish is a PrerequisiteError."""
    wanted = config["hardware"]["device"]
    if wanted == "cpu":
        return "cpu"
    usable = gpu_count() > 0 and torch_has_cuda()
    if usable:
        return "cuda"
    if wanted == "auto":
        return "cpu"
    kind = config["hardware"]["kind"]
    if gpu_count() == 0:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f"hardware={kind} needs one, and this machine shows none"
        if shown is not None:
            why += f" (CUDA_VISIBLE_DEVICES={shown!r})"
        raise PrerequisiteError(
            "a CUDA GPU", why, "run with hardware=cpu, or hardware=auto to take what is there"
        )
    raise PrerequisiteError(
        "torch for CUDA",
        f"hardware={kind} needs it, and the installed torch is a CPU build",
        "run with hardware=cpu, or install torch for CUDA (pip install --force-reinstall torch)",
    )
