"""The arithmetic of a training step, the denominator of MFU, and a product to measure it by.

Model FLOPs of a step over sequences of s real tokens each (no padding, no recomputation):

    6 N sum(s) + 6 L d sum(s^2)

N are the weights that multiply (the layers' linear modules and the LM head; an embedding's look-up
costs nothing), L the layers, d the width of all query heads. 6 N a token: Kaplan et al. 2020
(arXiv:2001.08361, section 2.1). Attention: queries times keys and probabilities times values are
4 d s^2 operations a layer and forward pass, three times that with the backward pass, half of it
where the mask is causal (Chowdhery et al. 2022, arXiv:2204.02311, appendix B, who do not halve).
:mod:`r1lab.planning.cost` counts alike. MFU is these over the seconds, over the ceiling that
:func:`products` measures on the same device.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from r1lab.planning.architecture import Architecture

#: Sides of the square matrices, by device; the CPU's only show that the code runs.
SIZES = {"cuda": (4096, 8192, 16384), "cpu": (256, 512)}
REPEATS = {"cuda": 7, "cpu": 3}
#: Products between two readings of the clock.
AT_ONCE = {"cuda": 10, "cpu": 2}


def training_flops(arch: Architecture, lengths: Sequence[int]) -> float:
    """Model FLOPs of the forward and backward pass over sequences of these many real tokens."""
    multiplied = arch.linear_parameters() + arch.vocab_size * arch.hidden_size
    attention = 6 * arch.num_hidden_layers * arch.query_size
    return float(sum(6 * multiplied * s + attention * s * s for s in lengths))


def products(device: str) -> list[dict[str, Any]]:
    """TFLOP/s of bf16 matrix products on random data, a row a size; runs in a process of its own.

    Random, since zeros have been seen to run faster than data does.
    """
    import torch

    rows = []
    for size in SIZES[device]:
        torch.manual_seed(0)
        a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(a)
        seconds = []
        for repeat in range(REPEATS[device] + 1):
            synchronize(device)
            start = time.perf_counter()
            for _ in range(AT_ONCE[device]):
                torch.matmul(a, b, out=out)
            synchronize(device)
            if repeat:  # the first one warms up
                seconds.append((time.perf_counter() - start) / AT_ONCE[device])
        rate = 2 * size**3 / statistics.median(seconds) / 1e12
        rows.append({"size": size, "dtype": "bfloat16", "tflops": rate})
    return rows


def synchronize(device: str) -> None:
    """Wait for what the device was given: its work is asynchronous to Python's clock."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def device_facts(device: str) -> dict[str, Any]:
    """Name, memory and driver of the device; initialises CUDA, so in a process of its own."""
    import torch

    if device == "cpu":
        return {"name": "CPU", "threads": torch.get_num_threads()}
    torch.cuda.init()
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "cuda": torch.version.cuda,
    }
