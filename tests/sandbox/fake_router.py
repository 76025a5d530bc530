"""open-r1's routers: scripts in, what they printed out, as each router of 2025 words it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

from tests.sandbox.fake_server import Answer


def run_script(script: str) -> str:
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True)
    return done.stdout


class FakeRouter:
    """``e2b`` answers with an execution, ``morph`` with text."""

    def __init__(self, kind: Literal["e2b", "morph"]):
        self.kind = kind
        #: Told in the place of running, one a request.
        self.exceptions: list[str] = []

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if (method, path) == ("GET", "/health"):
            return 200, {"status": "ok"}
        if (method, path) != ("POST", "/execute_batch"):
            return 404, {"detail": "Not Found"}
        for name, kind in (("scripts", list), ("timeout", int), ("request_timeout", int)):
            if not isinstance(body.get(name), kind):
                return 422, {"detail": f"{name}: wrong type"}
        if body.get("languages", [body.get("language")]) != ["python"] * len(body["scripts"]):
            return 422, {"detail": "languages"}
        if self.exceptions:
            said = self.exceptions.pop(0)
            key = "execution" if self.kind == "e2b" else "text"
            return 200, [{key: None, "exception_str": said} for _ in body["scripts"]]
        return 200, [self._row(run_script(script)) for script in body["scripts"]]

    def _row(self, printed: str) -> dict[str, Any]:
        if self.kind == "morph":
            return {"text": printed, "exception_str": None}
        logs = {"stdout": printed.splitlines(keepends=True), "stderr": []}
        execution = {"results": [], "logs": logs, "error": None, "execution_count": 1}
        return {"execution": execution, "exception_str": None}
