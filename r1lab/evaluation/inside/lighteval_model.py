"""A LightEval model that is somewhere else: an OpenAI-compatible server, with every answer kept.

LightEval's own backends cache answers by the model's name (an overwritten checkpoint is served
stale ones), and its LiteLLM backend asks for the wrong number of samples when tasks differ in it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai
from answer_journal import Journal, key_of
from evaluation_job import Sampling, Server
from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_input import GenerationParameters
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.prompt_manager import PromptManager
from lighteval.tasks.requests import Doc

#: Waits between tries: 0.5 s and doubling, with some noise, to no more than the second.
_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_ASKED_WAIT = 0.5, 30.0, 120.0
_AGAIN = "run the same command again: what was answered is kept and is not asked again"


class ServerError(Exception):
    """The server cannot be used; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str):
        super().__init__(message)
        self.fix = fix


@dataclass
class Counts:
    """What has come so far. ``kept`` answers were in the journal, the others were asked for."""

    total: int
    kept: int = 0
    asked: int = 0
    tokens: int = 0
    truncated: int = 0
    retried: int = 0

    @property
    def done(self) -> int:
        """Answers that are there."""
        return self.kept + self.asked


@dataclass(frozen=True)
class Request:
    """One answer to get: sample ``sample`` of a prompt."""

    messages: list[dict[str, str]]
    sample: int
    key: str
    seed: int


class _NoCache:
    """LightEval tells its cache about the tasks; the journal keeps the answers instead."""

    def _init_registry(self, registry: Any) -> None:
        pass


class ServedModel(LightevalModel):
    """One model, asked with one way of sampling.

    ``fingerprint`` stands for what the name does not say and answers depend on: the weights, the
    chat template. ``on_progress`` is called after every answer.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        server: Server,
        sampling: Sampling,
        journal: Journal,
        system_prompt: str | None = None,
        on_progress: Callable[[Counts], None] = lambda counts: None,
    ):
        self.name, self.fingerprint, self.server, self.sampling = (
            name,
            fingerprint,
            server,
            sampling,
        )
        self.journal, self.on_progress = journal, on_progress
        self.counts = Counts(0)
        self.seconds = 0.0
        #: By document, then sample: what the journal has of the last call.
        self.answers: list[list[dict[str, Any]]] = []
        self.config = ModelConfig(
            model_name=name,
            system_prompt=system_prompt,
            generation_parameters=GenerationParameters(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_new_tokens=sampling.max_new_tokens,
                seed=sampling.seed,
            ),
        )
        self.prompts = PromptManager(use_chat_template=True, system_prompt=system_prompt)
        self._cache = _NoCache()

    @property
    def tokenizer(self) -> Any:
        """The server's affair."""
        raise NotImplementedError("the server tokenizes")

    @property
    def add_special_tokens(self) -> bool:
        """The server's affair."""
        return False

    @property
    def max_length(self) -> int:
        """The server knows its own limit, and says when a request is beyond it."""
        return 2**31

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        """No benchmark here asks for it."""
        raise NotImplementedError("only benchmarks with generated answers are supported")

    loglikelihood_rolling = loglikelihood

    def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        """Answers to all documents (sampled, whatever LightEval's name for it says)."""
        requests = list(self._requests(docs))
        missing = [each for each in requests if self.journal.get(each.key) is None]
        self.counts = Counts(total=len(requests))
        for each in requests:
            if (kept := self.journal.get(each.key)) is not None:
                self.counts.kept += 1
                self._count(kept)
        self.on_progress(self.counts)
        began = time.monotonic()
        if missing:
            asyncio.run(self._ask_all(missing))
        self.seconds += time.monotonic() - began
        found = iter(requests)
        self.answers = [[self._found(next(found)) for _ in range(doc.num_samples)] for doc in docs]
        return [
            ModelResponse(
                input=self.prompts.prepare_prompt_api(doc),
                text=[whole_text(answer) for answer in answers],
                reasonings=[answer["reasoning"] for answer in answers],
            )
            for doc, answers in zip(docs, self.answers, strict=True)
        ]

    def _found(self, request: Request) -> dict[str, Any]:
        answer = self.journal.get(request.key)
        assert answer is not None  # all that was missing has been asked for
        return answer

    def _requests(self, docs: list[Doc]) -> Iterator[Request]:
        seen: Counter[str] = Counter()
        for doc in docs:
            messages = self.prompts.prepare_prompt_api(doc)
            asked = {
                "model": self.name,
                "fingerprint": self.fingerprint,
                "messages": messages,
                "temperature": self.sampling.temperature,
                "top_p": self.sampling.top_p,
                "max_new_tokens": self.sampling.max_new_tokens,
                "seed": self.sampling.seed,
                "extra": self.sampling.extra,
            }
            # A question that stands twice in the data has answers of its own each time.
            copy = seen[key_of(**asked)]
            seen[key_of(**asked)] += 1
            for sample in range(doc.num_samples):
                key = key_of(**asked, sample=sample, copy=copy)
                # Hashed, not counted up: the samples of seed 1 must not be those of seed 0, moved.
                # Without the fingerprint: two checkpoints are compared on the same draws.
                drawn = key_of(seed=self.sampling.seed, messages=messages, sample=sample, copy=copy)
                yield Request(messages, sample, key, int(drawn[:8], 16) & 0x7FFFFFFF)

    def _count(self, answer: dict[str, Any]) -> None:
        self.counts.tokens += answer["completion_tokens"] or 0
        self.counts.truncated += answer["finish_reason"] == "length"

    async def _ask_all(self, requests: list[Request]) -> None:
        """Ask for everything, ``concurrency`` at once; the first failure ends it."""
        async with openai.AsyncOpenAI(
            base_url=self.server.base_url,
            api_key=os.environ.get(self.server.api_key_env) or "none",  # the client insists on one
            timeout=openai.Timeout(self.server.timeout_s, connect=10.0),
            max_retries=0,  # ours wait longer, and count
        ) as client:
            await self._first_word(client)
            waiting = iter(requests)

            async def work() -> None:
                for request in waiting:
                    answer = await self._ask(client, request)
                    self.journal.add(request.key, answer)
                    self.counts.asked += 1
                    self._count(answer)
                    self.on_progress(self.counts)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.server.concurrency, len(requests))):
                        group.create_task(work())
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            finally:
                self.journal.sync()

    async def _first_word(self, client: openai.AsyncOpenAI) -> None:
        """Wait until the server says anything; if it lists its models, ours must be one of them."""
        url, patience = self.server.base_url, self.server.startup_timeout_s
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                listed = await client.with_options(timeout=10.0).models.list()
                break
            except (openai.APIConnectionError, openai.APITimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ServerError(
                        f"no server answers at {url} ({cause(error)}; tried for {patience:g} s)",
                        "start it, or correct the address",
                    ) from error
                await asyncio.sleep(0.5)
            except openai.AuthenticationError as error:
                raise self._refused(error) from error
            except openai.APIError:
                return  # some servers have no list; that it said something is enough
        names = [model.id for model in getattr(listed, "data", None) or []]
        if names and self.name not in names:
            raise ServerError(
                f"the server at {url} has no model {self.name!r}", f"it has: {', '.join(names)}"
            )

    async def _ask(self, client: openai.AsyncOpenAI, request: Request) -> dict[str, Any]:
        """One answer; tries again where another try may help."""
        for attempt in range(self.server.retries + 1):
            try:
                return answer_of(
                    await client.chat.completions.create(
                        model=self.name,
                        messages=request.messages,  # type: ignore[arg-type]
                        temperature=self.sampling.temperature,
                        top_p=self.sampling.top_p,
                        max_tokens=self.sampling.max_new_tokens,
                        seed=request.seed,
                        extra_body=self.sampling.extra or None,
                    )
                )
            except (openai.APIConnectionError, openai.APIStatusError, Unusable) as error:
                if isinstance(error, openai.APITimeoutError) and not never_connected(error):
                    raise self._too_slow() from error
                status = getattr(error, "status_code", None)
                if status is not None and status < 500 and status not in (408, 409, 425, 429):
                    raise self._refused(error) from error
                if attempt == self.server.retries:
                    raise ServerError(
                        f"the server at {self.server.base_url} stopped answering "
                        f"({cause(error)}; tried {attempt + 1} times); {self._so_far()}",
                        f"see why it did; then {_AGAIN}",
                    ) from error
                self.counts.retried += 1
                await asyncio.sleep(pause(attempt, error))
        raise AssertionError("the last attempt returns or raises")

    def _too_slow(self) -> ServerError:
        return ServerError(
            f"the server at {self.server.base_url} did not answer a request within "
            f"{self.server.timeout_s:g} s; {self._so_far()}",
            f"see what the server is doing, or raise the time limit; then {_AGAIN}",
        )

    def _so_far(self) -> str:
        return f"{self.counts.done} of {self.counts.total} answers are kept in {self.journal.path}"

    def _refused(self, error: Any) -> ServerError:
        fixes = {
            401: f"set {self.server.api_key_env} to the server's key",
            403: "use a key that may ask this model",
            404: "correct the address (it usually ends in /v1) or the model's name",
            400: "change what the server does not accept; where a request is too long for the "
            "model, ask for fewer new tokens",
        }
        fix = fixes.get(error.status_code, "see the server's log")
        return ServerError(f"the server at {self.server.base_url} refused: {cause(error)}", fix)


def never_connected(error: openai.APITimeoutError) -> bool:
    """Whether the time ran out before the server had the request."""
    return type(error.__cause__).__name__ in ("ConnectTimeout", "PoolTimeout")


class Unusable(Exception):
    """A reply that is no answer."""


def answer_of(reply: Any) -> dict[str, Any]:
    """What the journal keeps of a reply. vLLM calls the reasoning ``reasoning_content`` or
    ``reasoning``, by its version.
    """
    choices = getattr(reply, "choices", None)
    if not choices or choices[0].message is None:
        raise Unusable(f"a reply without an answer: {str(reply)[:200]}")
    message, usage = choices[0].message, reply.usage
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    return {
        "content": written(message.content or ""),
        "reasoning": written(reasoning) if reasoning else None,
        "finish_reason": choices[0].finish_reason,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
    }


def written(text: str) -> str:
    """Text that can be written to a file: half a character, cut off by a limit, becomes "?"."""
    return text.encode("utf-8", "replace").decode()


def whole_text(answer: dict[str, Any]) -> str:
    """The answer as the model wrote it: reasoning that the server split off goes in front again."""
    if not answer["reasoning"]:
        return answer["content"]
    return f"<think>\n{answer['reasoning'].strip()}\n</think>\n\n{answer['content']}"


def pause(attempt: int, error: Exception) -> float:
    """Seconds before the next try: what the server asks for, else a doubling wait with noise."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:  # none, or a date
        asked = 0.0
    own = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT) * random.uniform(0.75, 1.25)
    return max(own, min(asked, _LONGEST_ASKED_WAIT))


def cause(error: Exception) -> str:
    """An error and what is beneath it, in one line: "Connection error." alone says little."""
    text = " ".join(str(error).split())[:500]
    beneath = error.__cause__
    while beneath is not None and beneath.__cause__ is not None:
        beneath = beneath.__cause__
    if beneath is None or not str(beneath) or str(beneath) in text:
        return text
    return f"{text} {' '.join(str(beneath).split())[:200]}"
