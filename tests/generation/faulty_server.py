"""An OpenAI-compatible server without a model that fails as real ones do. A process of its own.

    python faulty_server.py --port 0 --latency 0.02 --slots 16 --error-rate 0.1 --log LOG.jsonl

It prints its address. ``--slots`` requests are answered at once, each in ``--latency`` seconds, and
the others wait, so it takes slots / latency requests a second. What is late by a timer's
coarseness is not late twice: each slot keeps a clock of its own, so that this number holds.

An answer follows from the prompt, the seed and ``max_tokens`` alone (a token is a word). A prompt
with "A + B" is answered with the sum, wrongly for a share of the seeds (``--wrong-rate``). The
faults are drawn from ``--seed`` in the order in which requests come. Each request has a line in the
log when it has its answer, with what became of it. ``POST /control`` with ``{"error_rate": 1}``
changes any option while it runs.

Plain asyncio: it has to be faster than the clients that are measured on it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import json
import os
import random
import re
import sys
import time
from email.utils import formatdate
from typing import Any

MODEL = "tiny"
#: Replies that are no answer, each as the bytes of a body.
GARBAGE = {
    "html": b"<html><body>Bad gateway</body></html>",
    "cut": b'{"id": "one", "choices": [{"index": 0, "message": {"role": "assi',
    "empty": b"",
    "list": b"[]",
    "null": b"null",
    "no_choices": b'{"object": "chat.completion", "usage": null}',
    "empty_choices": b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}',
    "choices_text": b'{"choices": "none today"}',
    "no_message": b'{"choices": [{"index": 0, "finish_reason": "stop"}]}',
    "no_content": b'{"choices": [{"message": {"role": "assistant", "content": null}}]}',
    "number": b'{"choices": [{"message": {"role": "assistant", "content": 42}}]}',
    "not_utf8": b'{"choices": [{"message": {"role": "assistant", "content": "\xff\xfe"}}]}',
}
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="a line for each request is appended to it")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--api-key", default="")
    parser.add_argument("--max-model-len", type=int, default=0, help="as /v1/models says it")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--words", type=int, default=8, help="of an answer, beside its conclusion")
    parser.add_argument("--wrong-rate", type=float, default=0.0)
    parser.add_argument("--reasoning", default="", help="the field that reasoning is put into")
    parser.add_argument("--no-usage", action="store_true")
    parser.add_argument("--refuse", default="", help="answer prompts that hold this with 400")
    parser.add_argument("--status", type=int, default=0, help="answer all with this status")
    parser.add_argument("--error-rate", type=float, default=0.0, help="HTTP 500")
    parser.add_argument("--busy-rate", type=float, default=0.0, help="429 and 503, in turn")
    parser.add_argument("--retry-after", type=float, default=0.1)
    parser.add_argument("--retry-after-as", choices=["seconds", "ms", "date"], default="seconds")
    parser.add_argument("--garbage-rate", type=float, default=0.0)
    parser.add_argument("--garbage", default="", help=f"always this one: {', '.join(GARBAGE)}")
    parser.add_argument("--close-rate", type=float, default=0.0, help="before, amid the answer")
    parser.add_argument("--hang-rate", type=float, default=0.0)
    return parser.parse_args()


def answer(asked: dict[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    """The reply to a request."""
    prompt = str(asked["messages"][-1]["content"])
    told = f"{prompt}\n{asked.get('seed')}".encode("utf-8", "replace")
    drawn = random.Random(hashlib.sha256(told).digest()) if chosen.wrong_rate else None
    sum_asked = re.search(r"(\d+) \+ (\d+)", prompt)
    number = int(sum_asked[1]) + int(sum_asked[2]) if sum_asked else len(prompt)
    if drawn and drawn.random() < chosen.wrong_rate:
        number += 1 + drawn.randrange(9)
    mark = hashlib.sha256(told).hexdigest()[:8]
    words = [f"{mark}-{place}" for place in range(chosen.words)]
    words += f"The answer is \\boxed{{{number}}}.".split()
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or len(words)
    cut = len(words) > limit
    message: dict[str, Any] = {"role": "assistant", "content": " ".join(words[:limit])}
    if chosen.reasoning:
        message[chosen.reasoning] = f"I think of {mark}."
    tokens = min(len(words), limit)
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": tokens}
    return {
        "id": f"chatcmpl-{mark}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": chosen.model,
        "choices": [{"index": 0, "finish_reason": "length" if cut else "stop", "message": message}],
        "usage": None if chosen.no_usage else {**usage, "total_tokens": sum(usage.values())},
    }


class App:
    """What all connections share: the options, the slots, the draws, the log, the counts."""

    def __init__(self, chosen: argparse.Namespace):
        self.chosen = chosen
        self.random = random.Random(chosen.seed)
        self.counts: dict[str, int] = {}
        self.busy = self.closed = 0
        self._free: list[float] = []  # when each slot in use is free again
        self._log = (
            os.open(chosen.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if chosen.log else None
        )

    def due(self, now: float) -> float:
        """Take the first free slot: when its answer is ready."""
        start = now
        if len(self._free) >= self.chosen.slots:
            start = max(now, heapq.heappop(self._free))
        heapq.heappush(self._free, start + self.chosen.latency)
        return start + self.chosen.latency

    def control(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            if not hasattr(self.chosen, name):
                raise KeyError(name)
            setattr(self.chosen, name, value)

    def fate(self, asked: dict[str, Any]) -> str:
        """What becomes of a request."""
        chosen = self.chosen
        if asked.get("model") != chosen.model:
            return "404"
        if chosen.refuse and chosen.refuse in str(asked["messages"]):
            return "400"
        if chosen.status:
            return str(chosen.status)
        if chosen.garbage:
            return "garbage"
        drawn = self.random.random()
        for name in ("error", "busy", "garbage", "close", "hang"):
            rate = getattr(chosen, f"{name}_rate")
            if drawn < rate:
                return name
            drawn -= rate
        return "answered"

    def log(self, asked: dict[str, Any], fate: str) -> None:
        """In one write, which a kill cannot cut."""
        self.counts[fate] = self.counts.get(fate, 0) + 1
        if self._log is None:
            return
        asked = dict(asked)
        prompt = asked.pop("messages")[-1]["content"]
        row = {"fate": fate, "prompt": prompt, "time": time.time(), **asked}
        os.write(self._log, json.dumps(row).encode() + b"\n")


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and bodies of known length; nothing more is asked of it."""

    app: App
    loop: asyncio.AbstractEventLoop

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = re.search(rb"\ncontent-length: *(\d+)", head, re.I)
            size = int(length[1]) if length else 0
            if len(self.buffer) < end + 4 + size:
                return
            body = self.buffer[end + 4 : end + 4 + size]
            self.buffer = self.buffer[end + 4 + size :]
            self.handle(head, body)

    def handle(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        app = self.app
        if path == "/control":
            if body:
                app.control(json.loads(body))
            self.send(200, {**app.counts, "options": vars(app.chosen)})
        elif path == "/health":
            self.send(200, {})
        elif app.chosen.api_key and f"bearer {app.chosen.api_key}".encode() not in head.replace(
            b"Bearer", b"bearer"
        ):
            self.send(401, {"error": {"message": "Unauthorized"}})
        elif path == "/v1/models":
            room = app.chosen.max_model_len
            listed = {"id": app.chosen.model} | ({"max_model_len": room} if room else {})
            self.send(200, {"object": "list", "data": [listed]})
        elif path == "/v1/chat/completions" and method == "POST":
            asked = json.loads(body)
            fate = app.fate(asked)
            if fate == "hang":
                app.log(asked, fate)
                return
            now = self.loop.time()
            due = app.due(now) if fate == "answered" else now + app.chosen.latency
            if due <= now:
                self.reply(asked, fate)
            else:
                self.loop.call_at(due, self.reply, asked, fate)
        else:
            self.send(404, {"detail": "Not Found"})

    def reply(self, asked: dict[str, Any], fate: str) -> None:
        """Do to a request what was drawn for it, and log it."""
        app, chosen = self.app, self.app.chosen
        if self.transport.is_closing():
            app.log(asked, "gone")
            return
        app.log(asked, fate)
        if fate == "answered":
            self.send(200, answer(asked, chosen))
        elif fate == "error":
            self.send(500, {"error": {"message": "the engine stumbled"}})
        elif fate == "busy":
            app.busy += 1
            self.send(429 if app.busy % 2 else 503, {"error": {"message": "busy"}}, after=True)
        elif fate == "garbage":
            name = chosen.garbage or app.random.choice(list(GARBAGE))
            self.send(200, GARBAGE[name])
        elif fate == "close":
            app.closed += 1
            if app.closed % 2:
                self.send(200, answer(asked, chosen), cut=True)
            self.transport.close()
        elif fate == "400":
            self.send(400, {"error": {"message": f"no {chosen.refuse} here", "code": 400}})
        elif fate == "404":
            message = f"The model `{asked.get('model')}` does not exist."
            self.send(404, {"error": {"message": message}})
        else:
            self.send(int(fate), {"error": {"message": f"status {fate}"}}, after=fate == "429")

    def send(self, status: int, body: Any, after: bool = False, cut: bool = False) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        wait = self.app.chosen.retry_after
        form = self.app.chosen.retry_after_as
        told = {
            "seconds": f"Retry-After: {wait:g}\r\n",
            "ms": f"Retry-After-Ms: {wait * 1000:g}\r\n",
            "date": f"Retry-After: {formatdate(time.time() + wait, usegmt=True)}\r\n",
        }[form]
        head = (
            f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n"
            f"Content-Type: application/json\r\n{told if after else ''}"
            f"Content-Length: {len(content)}\r\n\r\n"
        ).encode()
        self.transport.write(head + (content[: len(content) // 2] if cut else content))


async def serve(chosen: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    Connection.app, Connection.loop = App(chosen), loop
    server = await loop.create_server(Connection, "127.0.0.1", chosen.port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    if chosen.with_parent:
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(options()))
