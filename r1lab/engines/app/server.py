"""OpenAI's protocol over HTTP: ``/v1/chat/completions``, ``/v1/completions``, ``/v1/models``."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from r1lab.engines.app.answer import Answer
from r1lab.engines.app.asked import Asked, BadRequest, read
from r1lab.engines.app.generating import Failed, Generating
from r1lab.engines.app.sampling import Sampling

_HANG_UP_S = 0.5  # seconds between two looks at whether the client is still there
_SEEDS = 2**63


class Server:
    """The handlers for one model, which is called ``name``."""

    def __init__(self, generating: Generating, name: str, api_key: str | None):
        self.generating, self.name, self.key = generating, name, api_key
        self.started = int(time.time())

    def app(self) -> Starlette:
        middleware = [Middleware(_Key, key=self.key)] if self.key else []
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ],
            middleware=middleware,
            exception_handlers={404: _missing, 405: _missing, Exception: _broken},
        )

    async def health(self, request: Request) -> Response:
        reason = self.generating.failure
        return JSONResponse({"status": reason or "ok"}, 503 if reason else 200)

    async def models(self, request: Request) -> Response:
        one = {"id": self.name, "object": "model", "created": self.started, "owned_by": "r1lab"}
        return JSONResponse(
            {"object": "list", "data": [{**one, "max_model_len": self.generating.context}]}
        )

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, chat=True)

    async def completions(self, request: Request) -> Response:
        return await self._answer(request, chat=False)

    async def _answer(self, request: Request, chat: bool) -> Response:
        try:
            try:
                body = json.loads(await request.body())
            except ValueError as error:
                raise BadRequest(f"the body is not JSON: {error}") from error
            asked = read(body, chat, self.generating.defaults, self.name)
            prompts = self._prompts(asked)
            room = self._room(asked, prompts)
            job = _Job(self, asked, prompts, room)
            if asked.stream:
                return StreamingResponse(job.events(), media_type="text/event-stream")
            return JSONResponse(await _unless_gone(request, job.whole()))
        except BadRequest as error:
            return failure(str(error), error.status, error.param)
        except Failed as error:
            return failure(str(error), 500)

    def _prompts(self, asked: Asked) -> list[list[int]]:
        """The token ids of every prompt."""
        tokenizer = self.generating.tokenizer
        if asked.chat:
            try:
                text = tokenizer.apply_chat_template(
                    asked.messages,
                    tokenize=False,
                    add_generation_prompt=True,
                    **asked.template_kwargs,
                )
            except Exception as error:  # templates raise what they like on what they do not like
                raise BadRequest(f"the chat template refuses it: {error}", "messages") from error
            return [tokenizer(text, add_special_tokens=False)["input_ids"]]
        words = len(tokenizer)
        ids = [
            tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
            for prompt in asked.prompts
        ]
        if any(not prompt or max(prompt) >= words for prompt in ids):
            raise BadRequest(f"a prompt is empty, or has a token id above {words - 1}", "prompt")
        return ids

    def _room(self, asked: Asked, prompts: Sequence[Sequence[int]]) -> list[int]:
        """The most tokens of an answer to each prompt."""
        context = self.generating.context
        free = [context - len(prompt) for prompt in prompts]
        needed = asked.max_tokens or 1
        if min(free) < needed:
            raise BadRequest(
                f"the context holds {context} tokens, and the prompt has {context - min(free)}: "
                f"{needed} more do not fit",
                "messages" if asked.chat else "prompt",
            )
        return [asked.max_tokens or left for left in free]


class _Job:
    """The answers to one request: ``n`` to every prompt, all in the batch at once."""

    def __init__(
        self,
        server: Server,
        asked: Asked,
        prompts: Sequence[Sequence[int]],
        room: Sequence[int],
    ):
        self.asked, self._server = asked, server
        self._generating = server.generating
        self._prompts = [prompt for prompt in prompts for _ in range(asked.n)]
        self._room = [tokens for tokens in room for _ in range(asked.n)]
        self._prompt_tokens = sum(len(prompt) for prompt in prompts)
        ends = [] if asked.ignore_eos else self._generating.stop_ids
        self._stop_ids = [*ends, *asked.stop_token_ids]
        self.answers = [
            Answer(self._generating.tokenizer, asked, index, self._sampling(index), self._stop_ids)
            for index in range(len(self._prompts))
        ]
        kind = "chat.completion" if asked.chat else "text_completion"
        prefix = "chatcmpl" if asked.chat else "cmpl"
        self._head = {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": server.name,
        }

    def _sampling(self, index: int) -> Sampling:
        asked = self.asked
        # The answers of one request must differ, and be the same ones next time.
        seed = None if asked.seed is None else (asked.seed + index) % _SEEDS
        return Sampling(
            asked.temperature, asked.top_p, asked.top_k, asked.min_p, seed, asked.logprobs
        )

    async def _run(self, answer: Answer, changed: Callable[[], None] | None = None) -> None:
        tokens = self._generating.tokens(
            self._prompts[answer.index],
            self._room[answer.index],
            self._stop_ids,
            answer.sampling,
            answer.watched,
        )
        async with aclosing(tokens):  # type: ignore[type-var]
            async for so_far, finished in tokens:
                answer.grow(so_far, finished)
                if changed is not None:
                    changed()
                if answer.finish_reason is not None:
                    return

    async def whole(self) -> dict[str, Any]:
        async with asyncio.TaskGroup() as group:
            for answer in self.answers:
                group.create_task(self._run(answer))
        return {
            **self._head,
            "choices": [answer.choice() for answer in self.answers],
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, int]:
        made = sum(len(answer.tokens) for answer in self.answers)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self._prompt_tokens + made,
        }

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: pieces of all answers as they come, then ``[DONE]``."""
        ready: asyncio.Queue[Answer | None] = asyncio.Queue()
        head = dict(self._head)
        if self.asked.chat:
            head["object"] = "chat.completion.chunk"
        told: dict[int, int] = {}

        async def run_all() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for one in self.answers:
                        group.create_task(self._run(one, partial(ready.put_nowait, one)))
            finally:
                ready.put_nowait(None)

        running = asyncio.create_task(run_all())
        try:
            while (answer := await ready.get()) is not None:
                before = told.get(answer.index)
                if before is not None and before == len(answer.tokens):
                    continue  # several tokens were told in one piece
                piece = answer.piece(before is None, before or 0)
                told[answer.index] = len(answer.tokens)
                yield _event({**head, "choices": [piece]})
            try:
                await running
            except ExceptionGroup as group:
                yield _event({"error": _error(str(_first(group)), 500)})
                return
            if self.asked.include_usage:
                yield _event({**head, "choices": [], "usage": self._usage()})
            yield "data: [DONE]\n\n"
        finally:
            running.cancel()


class _Key:
    """Refuses ``/v1`` to who does not give the key."""

    def __init__(self, app: ASGIApp, key: str):
        self._app, self._expected = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                refused = failure("the API key is missing or wrong", 401)
                return await refused(scope, receive, send)
        await self._app(scope, receive, send)


async def _unless_gone(request: Request, answer: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The answer, unless the client hangs up first: then what makes it is ended."""
    task = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait([task], timeout=_HANG_UP_S))[0]:
            if await request.is_disconnected():
                raise Failed("the client is gone")
        return task.result()
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        task.cancel()


def _first(error: BaseException) -> BaseException:
    """What the first of several tasks failed of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def failure(message: str, status: int, param: str | None = None) -> JSONResponse:
    """An error in the shape that OpenAI's clients read."""
    return JSONResponse({"error": _error(message, status, param)}, status)


def _error(message: str, status: int, param: str | None = None) -> dict[str, Any]:
    kinds = {401: "authentication_error", 404: "not_found_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": status}


async def _missing(request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    return failure(f"there is no {request.method} {request.url.path}", status)


async def _broken(request: Request, error: Exception) -> Response:
    return failure(f"{type(error).__name__}: {error}", 500)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
