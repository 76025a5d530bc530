"""Named GPUs: memory, arithmetic and bandwidth, for plans of machines that are not at hand.

Dense bf16 peaks (without sparsity) and memory bandwidths of the makers' data sheets; the memory is
what is left for programs of the nominal size, rounded down.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """``tflops`` in 10^12 operations a second, ``bandwidth`` in 10^12 bytes a second."""

    memory_gib: float
    tflops: float
    bandwidth: float


GPUS = {
    "a100_40gb": Gpu(39, 312, 1.555),
    "a100_80gb": Gpu(79, 312, 2.039),
    "h100": Gpu(79, 989, 3.35),  # SXM
    "h200": Gpu(139, 989, 4.8),
    "b200": Gpu(178, 2250, 7.7),
    "l40s": Gpu(44, 362, 0.864),
    "l4": Gpu(22, 121, 0.3),
    "rtx_4090": Gpu(23, 165, 1.008),
    "mi300x": Gpu(191, 1307, 5.3),
}


def bandwidth_range(tflops: float) -> tuple[float, float]:
    """The bandwidth of a GPU of which only the peak is known, by the ratios of the table."""
    ratios = [gpu.bandwidth / gpu.tflops for gpu in GPUS.values()]
    return tflops * min(ratios), tflops * max(ratios)
