"""E2B's code interpreter (https://e2b.dev): its cloud, or open-r1's router in front of it.

The cloud's protocol is that of the package e2b-code-interpreter: ``POST /sandboxes`` of the API
makes a sandbox, ``POST /execute`` of the sandbox's port 49999 runs a script and streams one JSON
object a line, ``DELETE /sandboxes/ID`` ends it. The router's is that of open-r1's
``scripts/e2b_router.py``: ``POST /execute_batch``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Sequence
from typing import Any

from r1lab.sandbox.base import Limits, Program, Result
from r1lab.sandbox.json_client import RemoteError, with_scheme
from r1lab.sandbox.remote import (
    MARGIN_S,
    Remote,
    api_key,
    driver_script,
    read_report,
    script_seconds,
)

KEY_VARIABLE = "E2B_API_KEY"
API_URL = "https://api.e2b.app"
#: The port of the code interpreter in a sandbox.
PORT = 49999
TEMPLATE = "code-interpreter-v1"


class E2B(Remote):
    """A sandbox of its own for each program, with all of the program's inputs.

    ``url`` is the address of a router (which holds the key); null: the cloud, with the key from
    the variable ``E2B_API_KEY``. ``api_url`` and ``sandbox_url`` (with ``{port}``, ``{sandbox}``
    and ``{domain}``) are for servers of one's own that speak the cloud's protocol.
    """

    name = "e2b"
    hint = "check E2B_API_KEY, or that provider_url is the address of a running router"

    def __init__(
        self,
        url: str | None = None,
        api_url: str = API_URL,
        sandbox_url: str = "https://{port}-{sandbox}.{domain}",
        template: str = TEMPLATE,
        **options: Any,
    ):
        super().__init__(url=url, **options)
        self.api_url, self.sandbox_url, self.template = api_url, sandbox_url, template

    def execute(self, program: Program, stdins: Sequence[str], limits: Limits) -> list[Result]:
        script, nonce = driver_script(program, stdins, limits)
        seconds = script_seconds(stdins, limits)
        if self.url is not None:
            text = run_on_router(self, self.url, script, seconds)
        else:
            text = self._run_in_cloud(script, seconds)
        return read_report(text, nonce, len(stdins))

    def _run_in_cloud(self, script: str, seconds: float) -> str:
        headers = {"X-API-Key": api_key(KEY_VARIABLE, self.name, "https://e2b.dev/dashboard")}
        body = {"templateID": self.template, "timeout": math.ceil(seconds + MARGIN_S)}
        made = self.client.json("POST", f"{self.api_url}/sandboxes", body, headers=headers)
        if not isinstance(made, dict) or not made.get("sandboxID"):
            raise RemoteError(f"{self.api_url}/sandboxes made no sandbox: {made!r}"[:300])
        sandbox = made["sandboxID"]
        domain = made.get("domain") or os.environ.get("E2B_DOMAIN") or "e2b.app"
        address = self.sandbox_url.format(port=PORT, sandbox=sandbox, domain=domain)
        token = made.get("envdAccessToken")
        try:
            lines = self.client.request(
                "POST",
                f"{address}/execute",
                {"code": script, "language": "python"},
                headers={"X-Access-Token": token} if token else {},
                timeout_s=seconds,
            )
        finally:
            # It ends by itself at its timeout: failing to end it now costs money, not truth.
            with contextlib.suppress(RemoteError):
                end = f"{self.api_url}/sandboxes/{sandbox}"
                self.client.request("DELETE", end, headers=headers)
        return read_stream(lines)


def read_stream(lines: str) -> str:
    """What a script printed, from the interpreter's stream; its own errors are infrastructure."""
    printed, error = [], ""
    for line in lines.splitlines():
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError as trouble:
            raise RemoteError(f"the interpreter's stream is no JSON: {line[:200]!r}") from trouble
        if message.get("type") == "stdout":
            printed.append(str(message.get("text", "")))
        elif message.get("type") == "error":
            error = f"{message.get('name')}: {message.get('value')}"
    return "".join(printed) or error


def run_on_router(remote: Remote, url: str, script: str, seconds: float) -> str:
    """What a script printed, run behind open-r1's router for E2B or Morph.

    The routers of 2025 differ in small ways: ``language`` or ``languages`` in the request (both are
    sent), ``execution`` or ``text`` in the answer.
    """
    body = {
        "scripts": [script],
        "language": "python",
        "languages": ["python"],
        "timeout": math.ceil(seconds),
        "request_timeout": math.ceil(seconds),
    }
    said = ""
    for _ in range(remote.client.tries):
        answer = remote.client.json(
            "POST",
            f"{with_scheme(url)}/execute_batch",
            body,
            timeout_s=seconds + 2 * MARGIN_S,
        )
        if not isinstance(answer, list) or len(answer) != 1 or not isinstance(answer[0], dict):
            raise RemoteError(f"{url}: not the answer of a router: {str(answer)[:200]}")
        text = _router_text(answer[0])
        if text:
            return text
        # The router made no sandbox, or lost it: another one may do.
        said = str(answer[0].get("exception_str") or "no output")
        remote.counts["retries"] += 1
    raise RemoteError(f"{url}: {said[:300]}")


def _router_text(row: dict[str, Any]) -> str:
    execution = row.get("execution") or row.get("result")
    if isinstance(execution, dict):
        logs = execution.get("logs") or {}
        return "".join(logs.get("stdout") or []) if isinstance(logs, dict) else str(logs)
    return str(row.get("text") or "")
