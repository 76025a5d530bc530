"""A server that stands in for an engine: a real process, without a model.

    python fake_server.py PORT [--child FILE] [--after SECONDS] [--deaf]

``--child`` starts a process that leaves its group and would outlive it, and writes its id.
``--after`` fails with a traceback then; ``--deaf`` ignores SIGTERM. PORT 0 answers nobody.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("MODELS", '{"data": [{"id": "one"}]}').encode())

    def log_message(self, *arguments: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--child")
    parser.add_argument("--after", type=float)
    parser.add_argument("--deaf", action="store_true")
    chosen = parser.parse_args()
    if chosen.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if chosen.child:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        Path(chosen.child).write_text(str(child.pid))
    if chosen.port:
        server = ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("the fake server is up", flush=True)
    if chosen.after is None:
        time.sleep(600)
    time.sleep(chosen.after)
    raise RuntimeError("the weights are torn")


if __name__ == "__main__":
    main()
