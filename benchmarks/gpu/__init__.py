"""What a GPU makes of r1lab: ``python -m benchmarks.gpu`` (docs/gpu.md)."""
