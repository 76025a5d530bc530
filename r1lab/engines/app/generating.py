"""The model and its continuous batch: prompts in, tokens out, many requests at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
    LogitsProcessorList,
)
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessorList,
)

from r1lab.engines.app.asked import Defaults
from r1lab.engines.app.sampling import Sampler, Sampling

_BLOCK = 256  # tokens of a block of the key-value cache
#: Tokens of prompts that one step takes at most: more would keep running answers waiting.
_BATCH_TOKENS = {"cpu": 512, "cuda": 8192}
_STOP_S = 5.0


class Failed(Exception):
    """The batch could not go on with a request, for a reason that is the server's."""


class Generating:
    """One loaded model; ``settings`` are those of :mod:`r1lab.engines.app.__main__`."""

    def __init__(self, settings: Mapping[str, Any]):
        where, device = settings["model"], settings["device"]
        options = {
            "revision": settings["revision"],
            "trust_remote_code": settings["trust_remote_code"],
        }
        self.tokenizer = AutoTokenizer.from_pretrained(where, **options)
        if settings["chat_template"]:
            with open(settings["chat_template"], encoding="utf-8") as file:
                self.tokenizer.chat_template = file.read()
        shape = AutoConfig.from_pretrained(where, **options).get_text_config()
        model = AutoModelForCausalLM.from_pretrained(where, dtype=settings["dtype"], **options)
        self.model = model.to(device)
        config = self.model.generation_config
        self.defaults = _defaults(config)
        self.stop_ids = _stop_ids(config, self.tokenizer)
        batching = _batching(settings, shape, self.model.dtype)
        self.context = _context(settings, shape, batching)
        # The draw is the sampler's; the batch takes the one token that it leaves.
        drawing = GenerationConfig(do_sample=False, eos_token_id=-1)
        self._batch = self.model.init_continuous_batching(drawing, batching)
        processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([Sampler()]))
        processors.tensors_required = 1
        self._batch.logit_processor = processors
        self._numbers = itertools.count()
        self._batch.start()

    @property
    def failure(self) -> str | None:
        """Why no request can be answered any more; None while they can."""
        error = self._batch.background_thread_status.fatal_error
        if error is None and self._batch.is_running():
            return None
        return str(error or "the generating thread has ended")

    def stop(self) -> None:
        self._batch.stop(block=True, timeout=_STOP_S, hard_stop=True)

    async def tokens(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        stop_ids: Sequence[int],
        sampling: Sampling,
        each: bool,
    ) -> AsyncIterator[tuple[list[int], bool]]:
        """All tokens so far and whether they are all: at the end, or (``each``) after every one.

        Leaving the iteration early ends the request in the batch.
        """
        name = f"r{next(self._numbers)}"
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        self._batch.register_result_handler(name, arrived.put_nowait)
        finished = False
        try:
            taken = self._batch.add_request(
                list(prompt),
                request_id=name,
                max_new_tokens=max_tokens,
                streaming=each,
                eos_token_id=list(stop_ids) or -1,
                sampling=sampling,
            )
            if taken is None:
                raise Failed(self.failure or "the server is stopping")
            while not finished:
                output = await arrived.get()
                if output.error is not None:
                    finished = True
                    raise Failed(output.error)
                finished = output.is_finished()
                yield output.generated_tokens, finished
        finally:
            if not finished:  # the batch forgets whom to tell when it has told the end
                self._batch.output_router.result_handlers.pop(name, None)
                self._batch.cancel_request(name)


def _defaults(config: GenerationConfig) -> Defaults:
    """The sampling that the model's folder asks for; transformers' own defaults say nothing."""
    plain = Defaults()
    found = {name: getattr(config, name, None) for name in vars(plain)}
    return Defaults(**{name: value for name, value in found.items() if value is not None})


def _stop_ids(config: GenerationConfig, tokenizer: Any) -> list[int]:
    """Every token that ends an answer, by the generation config or the tokenizer."""
    ends = config.eos_token_id
    found = list(ends) if isinstance(ends, list) else [ends]
    found.append(tokenizer.eos_token_id)
    return sorted({token for token in found if token is not None and token >= 0})


def _batching(
    settings: Mapping[str, Any], shape: Any, dtype: torch.dtype
) -> ContinuousBatchingConfig:
    """The batch's memory: on a GPU a share of it, else a number of GiB.

    The sampler is Python that looks at requests, which graphs and batches in flight leave out.
    """
    device = settings["device"]
    common = {
        "block_size": _BLOCK,
        "use_async_batching": False,
        "use_cuda_graph": False,
        "max_blocks_per_request": 0,
        "drop_unsupported_processors": False,
    }
    if device == "cuda":
        return ContinuousBatchingConfig(**common, max_memory_percent=settings["memory_share"])
    heads = shape.num_attention_heads
    width = getattr(shape, "head_dim", None) or shape.hidden_size // heads
    kept = getattr(shape, "num_key_value_heads", None) or heads
    token_bytes = 2 * shape.num_hidden_layers * kept * width * dtype.itemsize
    blocks = int(settings["cache_gib"] * 2**30 // (token_bytes * _BLOCK))
    return ContinuousBatchingConfig(
        **common, num_blocks=max(blocks, 2), max_batch_tokens=_BATCH_TOKENS[device]
    )


def _context(settings: Mapping[str, Any], shape: Any, batching: ContinuousBatchingConfig) -> int:
    """Tokens of a prompt and its answer, at most: the model's, and what the cache holds."""
    limits = [settings["max_model_len"] or getattr(shape, "max_position_embeddings", None)]
    if batching.num_blocks:
        limits.append(batching.num_blocks * _BLOCK)
    return min(limit for limit in limits if limit)
