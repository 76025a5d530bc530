"""New weights for a vLLM that runs on a CPU.

There vLLM keeps packed copies of linear weights. TRL's ways of pushing weights do not reach them:
``load_weights`` a tensor at a time fails and, for a head that is tied to the embeddings, leaves the
old copy in use without a word; a server takes weights over NCCL, which is for GPUs. So they go
through the model runner's ``reload_weights``, and a tied head's copy is made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: In the folder that the trainer and a server on a CPU share.
FILE = "weights.safetensors"


def reload(runner: Any, weights: Iterable[tuple[str, Any]]) -> None:
    """Load ``weights``, (name, tensor) as the model's checkpoint has them, into a vLLM runner."""
    # It keeps tensors until a layer has all of its own. TRL's are the trainer's, in which adapters
    # are merged while it iterates.
    runner.reload_weights(weights_iterator=((name, tensor.clone()) for name, tensor in weights))
    for module in runner.get_model().modules():
        # Reloading packs a layer of its own weights again, and empties them. What still has some
        # shares them with another layer: the head, with the embeddings.
        if hasattr(module, "cpu_linear") and module.weight.ndim == 2:
            module.quant_method.process_weights_after_loading(module)


class CpuWeights:
    """vLLM's worker in a server gets this method too (``--worker-extension-cls``)."""

    model_runner: Any

    def load_from(self, folder: str) -> None:
        """Load the weights that the trainer wrote into a folder that both see."""
        from safetensors.torch import load_file

        reload(self.model_runner, load_file(Path(folder) / FILE).items())
