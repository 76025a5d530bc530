"""vLLM as the rollout engine of TRL's trainers: what TRL has no field for, and CPUs.

TRL makes its engine while the trainer is built. Inside :func:`rollouts` the class that it takes is
ours, which stops at the tokens where the trainer's model ends a turn (the folder that vLLM reads
may name others), passes the ``engine`` node's other fields to vLLM, shows a server its API key, and
on a CPU pushes weights in the way that works there (:mod:`r1lab.engines.cpu_weights`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.engines import cpu_weights
from r1lab.engines.external import API_KEY
from r1lab.engines.vllm import BATCHED_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer
    from trl.generation.vllm_generation import VLLMGeneration

#: The variable that names a folder which the trainer and a server on a CPU both see.
SHARED = "R1LAB_WEIGHTS_DIR"


@contextmanager
def rollouts(
    config: Mapping[str, Any], device: str, model: PreTrainedModel, stop_ids: Sequence[int]
) -> Iterator[None]:
    """Trainers of ``model`` that are built inside take their vLLM, if they want one, from here."""
    if not config["engine"]["kind"].startswith("vllm_"):
        yield
        return
    from trl.trainer import grpo_trainer

    theirs = grpo_trainer.VLLMGeneration
    more = _arguments(config, device, str(model.dtype).removeprefix("torch."))
    grpo_trainer.VLLMGeneration = _generation(device, stop_ids, more)
    try:
        yield
    finally:
        grpo_trainer.VLLMGeneration = theirs


def _generation(
    device: str, stop_ids: Sequence[int], more: Mapping[str, Any]
) -> type[VLLMGeneration]:
    from trl.generation import vllm_client, vllm_generation

    class Client(vllm_client.VLLMClient):  # type: ignore[misc]
        def check_server(self, *args: Any, **kwargs: Any) -> None:
            # The first that is asked of the session: all later requests bring the key.
            if os.environ.get(API_KEY):
                self.session.headers["Authorization"] = f"Bearer {os.environ[API_KEY]}"
            super().check_server(*args, **kwargs)

    class ClientOnCpu(Client):
        """Pushes weights through a folder: NCCL, TRL's way, is for GPUs."""

        def init_communicator(self, device: Any) -> None:
            """There is nobody to join."""

        def update_named_params(self, metadata: Any, params: Any) -> None:
            from safetensors.torch import save_file

            folder = os.environ[SHARED]
            # The iterator merges adapters and splits them again: a tensor is its own only until the
            # next one.
            tensors = {name: tensor.detach().clone() for name, tensor in params}
            save_file(tensors, Path(folder) / cpu_weights.FILE)
            body = {"method": "load_from", "args": [folder]}
            answer = self.session.post(f"{self.base_url}/collective_rpc", json=body)
            answer.raise_for_status()

    class Rollouts(vllm_generation.VLLMGeneration):  # type: ignore[misc]
        generation_kwargs: dict[str, Any]

        def _init_vllm(self) -> None:
            self.generation_kwargs = {"stop_token_ids": list(stop_ids), **self.generation_kwargs}
            before = vllm_generation.LLM, vllm_generation.VLLMClient
            vllm_generation.LLM = lambda **given: before[0](**_fitting(given | more))
            vllm_generation.VLLMClient = ClientOnCpu if device == "cpu" else Client
            try:
                super()._init_vllm()
            finally:
                vllm_generation.LLM, vllm_generation.VLLMClient = before

        def sync_weights(self) -> None:
            if device == "cpu" and self.mode == "colocate":
                executor = self.llm.llm_engine.model_executor
                cpu_weights.reload(executor.driver_worker.model_runner, self._iter_named_params())
                self.llm.reset_prefix_cache()
            else:
                super().sync_weights()

    return Rollouts


def _arguments(config: Mapping[str, Any], device: str, trains: str) -> dict[str, Any]:
    """Keyword arguments of ``vllm.LLM`` beside TRL's; ``trains`` is the dtype of the weights."""
    engine = config["engine"]
    chosen: dict[str, Any] = {"dtype": engine["dtype"]}
    if engine["enforce_eager"] is not None:
        chosen["enforce_eager"] = engine["enforce_eager"]
    if config["model"]["from_scratch"]:
        chosen["load_format"] = "dummy"  # there is no file of them; the trainer pushes its own
    if device == "cpu":
        if engine["dtype"] == "auto":
            # In bfloat16 the log-probabilities of engine and trainer drift apart within steps.
            chosen["dtype"] = trains
        chosen.setdefault("enforce_eager", True)  # compiling takes longer than a short run
        # A seed given with a request ends an engine that prefills in chunks.
        chosen["enable_chunked_prefill"] = False
    return chosen | dict(engine["args"])


def _fitting(arguments: dict[str, Any]) -> dict[str, Any]:
    """Without chunks a prompt must fit one batch as a whole."""
    if arguments.get("enable_chunked_prefill") is False:
        longest = arguments.get("max_model_len") or 0
        arguments["max_num_batched_tokens"] = max(BATCHED_TOKENS, longest)
    return arguments


def push_weights(trainer: Trainer) -> None:
    """Give vLLM the trainer's present weights, where it has not got them; all ranks together."""
    if trainer.state.global_step != trainer._last_loaded_step:
        trainer.vllm_generation.sync_weights()
        trainer._last_loaded_step = trainer.state.global_step


def sample(
    trainer: Trainer,
    prompt_ids: list[list[int]],
    temperature: float,
    top_p: float,
    max_new_tokens: int,
) -> list[list[int]]:
    """One answer to each prompt, as token ids, the end token included; all ranks together, each
    with as many prompts. TRL's own sampling settings are back afterwards.
    """
    generation = trainer.vllm_generation
    chosen = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_completion_length": max_new_tokens,
    }
    before = {name: getattr(generation, name) for name in chosen}
    vars(generation).update(chosen)
    try:
        _, completion_ids, _, _ = generation.generate(prompt_ids, None, num_generations=1)
    finally:
        vars(generation).update(before)
    return [list(ids) for ids in completion_ids]
