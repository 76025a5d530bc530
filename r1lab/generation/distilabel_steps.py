"""The parts of a distilabel pipeline that are r1lab's: what asks, what is asked, where it goes.

Imported where distilabel is installed, by its processes and, on a cluster, by its nodes; everyone
else goes through ``distilabel_client.py``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
from distilabel.models import OpenAILLM
from distilabel.steps import GeneratorStep
from distilabel.steps.tasks import TextGeneration

from r1lab.generation.asking import Failed, answer_of
from r1lab.generation.distilabel_client import LONGEST_WAIT_S
from r1lab.generation.request import Answer, Message, Sampling, seed_of

#: What a server says of one prompt, and what it says of all of them.
_REFUSED, _FATAL = (400, 413, 422), (401, 403, 404)

Row = dict[str, Any]


class Asking(OpenAILLM):
    """An OpenAILLM that loses nothing of what the server says, and no batch by one failure.

    distilabel's own asks for all samples of a prompt in one request, drops finish reasons and
    reasoning, sends temperature 1 where none was given, and loses a whole batch when one of its
    requests fails. This one sends a request a sample (some servers ignore ``n``), each with a seed
    of its own, and puts a failure in the sample's place.

    Beside ``generation`` a row gets ``llm_<step>_finish_reason``, ``_reasoning``, ``_seconds``,
    ``_error`` and ``_kind``: text, empty where there is none, since parquet wants one type.
    """

    def load(self) -> None:
        super().load()
        # distilabel silences the HTTP client of older openai releases: a line a request.
        logging.getLogger("httpx2").setLevel(logging.WARNING)

    async def agenerate(
        self,
        input: list[Message] | tuple[list[Message], list[int | None]],
        num_generations: int = 1,
        max_new_tokens: int = 8192,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        extra_body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Samples of one prompt; ``input`` is its messages, or these and a seed for each sample."""
        if isinstance(input, tuple):
            messages, seeds = input
        else:
            sampling = Sampling(max_new_tokens, seed=seed)
            messages = input
            seeds = [seed_of(sampling, messages, sample) for sample in range(num_generations)]
        asked = {
            "model": self.model,
            "messages": messages,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
        }
        samples = await asyncio.gather(
            *(self._sample({**asked, "seed": seed}, extra_body or {}) for seed in seeds)
        )
        return {
            "generations": [sample.pop("content") for sample in samples],
            "statistics": {
                name: [sample.pop(name) for sample in samples]
                for name in ("input_tokens", "output_tokens")
            },
            **{name: [sample[name] for sample in samples] for name in samples[0]},
        }

    async def _sample(self, asked: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """One sample, whatever comes of it. Replies that are no answer are asked for again."""
        sent = {name: value for name, value in asked.items() if value is not None}
        completions = self._aclient.chat.completions.with_raw_response
        for again in range(self.max_retries + 1):
            try:
                reply = await completions.create(**sent, extra_body=extra)
                return _told(answer_of(reply.content, reply.elapsed.total_seconds()))
            except Failed as error:  # a reply that is no answer, which openai does not look for
                failure = _nothing(str(error), error.kind)
                await asyncio.sleep(min(LONGEST_WAIT_S, 0.5 * 2**again) * random.random())
            except UnicodeEncodeError as error:
                return _nothing(f"the prompt has half a character: {error}", "refused")
            except openai.APIStatusError as error:
                return _nothing(f"HTTP {error.status_code}: {error}", _kind(error.status_code))
            except openai.APITimeoutError:
                return _nothing(f"no answer within {self.timeout:g} s", "timeout")
            except openai.APIConnectionError as error:
                return _nothing(f"{error} {error.__cause__}", "connect")
        return failure


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "content": answer.content,
        "input_tokens": answer.prompt_tokens or 0,
        "output_tokens": answer.completion_tokens or 0,
        "finish_reason": answer.finish_reason or "",
        "reasoning": answer.reasoning or "",
        "seconds": answer.seconds,
        "error": "",
        "kind": "",
    }


def _nothing(error: str, kind: str) -> dict[str, Any]:
    return {**_told(Answer("")), "content": None, "error": error, "kind": kind}


def _kind(status: int) -> str:
    if status in _FATAL:
        return "fatal"
    return "refused" if status in _REFUSED else f"http_{status}"


class Messages(TextGeneration):
    """A TextGeneration that sends a row's messages as they are, a sample for each of its seeds.

    r1lab has rendered them already, with the system prompt and whatever turns they have.
    """

    @property
    def inputs(self) -> list[str]:
        return ["messages", "seeds"]

    def load(self) -> None:
        none: list[str] = []
        self.columns = none  # no column has to be in the template
        super().load()

    def format_input(self, input: Row) -> tuple[list[Message], list[int | None]]:
        return input["messages"], input["seeds"]


class Pending(GeneratorStep):
    """The prompts of a file of JSON lines, read as they are asked for."""

    path: str
    columns: list[str]

    @property
    def outputs(self) -> list[str]:
        return self.columns

    def process(self, offset: int = 0) -> Iterator[tuple[list[Row], bool]]:
        batch: list[Row] = []
        with Path(self.path).open(encoding="utf-8") as lines:
            for place, line in enumerate(lines):
                if place < offset:
                    continue
                if len(batch) == self.batch_size:
                    yield batch, False
                    batch = []
                batch.append(json.loads(line))
        yield batch, True


class Handed:
    """Stands in for a pipeline's write buffer: rows are handed on, not kept for its dataset.

    distilabel's own writes parquet in pieces of 50 rows, and fails at the end where all of a
    piece's generations failed and those of another did not: their types differ.
    """

    def __init__(self, hand: Callable[[Row], None]):
        self._hand = hand

    def add_batch(self, batch: Any) -> None:
        for row in batch.data[0]:
            self._hand(row)

    def close(self) -> None:
        """Nothing is open."""


def hand_on(pipeline: Any, hand: Callable[[Row], None]) -> None:
    """Have ``pipeline.run`` hand every row to ``hand`` as its batch ends, and write nothing itself.

    These are methods of distilabel 1.5's own; it has no public way to see a row before the last one
    is done.
    """

    def setup_write_buffer(use_cache: bool = True) -> None:
        # The dataset that run() makes at its end looks for this folder, and finds it empty.
        (pipeline._cache_location["data"] / "steps_outputs").mkdir(parents=True, exist_ok=True)
        pipeline._write_buffer = Handed(hand)

    pipeline._setup_write_buffer = setup_write_buffer
    # What they write after every batch is for a rerun from distilabel's cache.
    pipeline._register_batch = lambda batch: pipeline._batch_manager.register_batch(batch)
    pipeline._cache = lambda: None
