"""A real HTTP server in a thread, on which the fakes of remote sandboxes are built."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What a fake's ``answer`` returns: status, and text or something that JSON can hold.
Answer = tuple[int, Any]


class FakeServer:
    """Records requests and asks ``answer(method, path, body, headers)`` for each of them.

    ``failures`` are answers that are given first, one a request; the status 0 hangs up instead.
    """

    def __init__(self, answer: Callable[[str, str, Any, dict[str, str]], Answer]):
        self.answer = answer
        self.failures: list[Answer] = []
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(size)
                body = json.loads(text) if text else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.requests.append((self.command, self.path, body, headers))
                if fake.failures:
                    status, answer = fake.failures.pop(0)
                else:
                    status, answer = fake.answer(self.command, self.path, body, headers)
                if status == 0:
                    self.close_connection = True
                    return
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Tests read the requests, not the log."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.requests]


@contextmanager
def serving(answer: Callable[[str, str, Any, dict[str, str]], Answer]) -> Iterator[FakeServer]:
    fake = FakeServer(answer)
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
        thread.join()
