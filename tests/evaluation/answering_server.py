"""An OpenAI-compatible server without a model: it answers from a table. A process of its own.

    python answering_server.py TABLE.json LOG.jsonl [--die-after N] [--delay S] [--refuse N STATUS]

The table maps a text that a prompt holds to the answers that it gets, in turn; an answer is a
string, an object with ``content`` and ``reasoning_content``, or ``{"letter_of": TEXT}``, which
answers with the letter of the choice that reads TEXT. "" stands for all other prompts. A token is a
word. Each request is written to the log before it is answered. The first line on standard output is
the port; the server ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Answers:
    """The table and what has been asked of it."""

    def __init__(self, table: dict[str, list[Any]], log: Path):
        # the longest first: "" is part of every prompt
        self._table = sorted(table.items(), key=lambda item: -len(item[0]))
        self._log = log
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.requests = 0

    def answer(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """How many requests there were before this one, and its answer."""
        prompt = asked["messages"][-1]["content"]
        text, answers = next((key, value) for key, value in self._table if key in prompt)
        with self._lock:
            before, self.requests = self.requests, self.requests + 1
            turn = self._asked[text]
            self._asked[text] += 1
            with self._log.open("a") as file:
                file.write(json.dumps(asked) + "\n")
        answer = answers[turn % len(answers)]
        if isinstance(answer, dict) and "letter_of" in answer:
            choice = re.escape(answer["letter_of"])
            letter = re.search(rf"^([A-Z])\) {choice}$", prompt, re.M)
            return before, f"Answer: {letter[1]}" if letter else "none of them"
        return before, answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: Answers
    chosen: argparse.Namespace

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "table", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        before, answer = self.answers.answer(asked)
        if self.chosen.die_after is not None and before >= self.chosen.die_after:
            os._exit(9)
        if self.chosen.refuse and before < int(self.chosen.refuse[0]):
            self._send(int(self.chosen.refuse[1]), {"error": {"message": "not now"}})
            return
        time.sleep(self.chosen.delay)
        message = {"content": answer} if isinstance(answer, str) else dict(answer)
        words = message["content"].split(" ")
        cut = len(words) > asked["max_tokens"]
        if cut:
            message["content"] = " ".join(words[: asked["max_tokens"]])
        tokens = min(len(words), asked["max_tokens"])
        reply = {
            "id": "one",
            "object": "chat.completion",
            "created": 0,
            "model": "table",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "length" if cut else "stop",
                    "message": {"role": "assistant", **message},
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1},
        }
        self._send(200, reply)

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed leaves its connections; that is no news here."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--refuse", nargs=2)
    chosen = parser.parse_args()
    Handler.answers = Answers(json.loads(chosen.table.read_text()), chosen.log)
    Handler.chosen = chosen
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
