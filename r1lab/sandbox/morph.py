"""Morph Cloud (https://cloud.morph.so): its instances, or open-r1's router in front of it.

The cloud's protocol is that of the package morphcloud: ``POST /instance?snapshot_id=ID`` starts an
instance, ``GET /instance/ID`` says when it is ready, ``POST /instance/ID/exec`` runs a command,
``DELETE /instance/ID`` ends it. The router's is that of open-r1's ``scripts/morph_router.py``.
"""

from __future__ import annotations

import base64
import contextlib
import math
import os
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from r1lab.errors import PrerequisiteError
from r1lab.sandbox.base import Limits, Program, Result
from r1lab.sandbox.e2b import run_on_router
from r1lab.sandbox.json_client import RemoteError
from r1lab.sandbox.remote import (
    MARGIN_S,
    Remote,
    api_key,
    driver_script,
    read_report,
    script_seconds,
)

KEY_VARIABLE = "MORPH_API_KEY"
SNAPSHOT_VARIABLE = "MORPH_SNAPSHOT_ID"
API_URL = "https://cloud.morph.so/api"
#: A command line's argument may have 128 KiB on Linux: longer scripts are sent in pieces.
PIECE = 90_000
#: How long an instance may take to be ready.
READY_S = 120.0


class Morph(Remote):
    """An instance of its own for each program, with all of the program's inputs.

    ``url`` is the address of a router (which holds the key); null: the cloud, with the key from
    the variable ``MORPH_API_KEY`` and instances of the snapshot ``MORPH_SNAPSHOT_ID``, which must
    have Python 3 (and a compiler, for C++).
    """

    name = "morph"
    hint = (
        "check MORPH_API_KEY and MORPH_SNAPSHOT_ID (a snapshot with python3), or that provider_url "
        "is the address of a running router"
    )

    def __init__(self, url: str | None = None, api_url: str = API_URL, **options: Any):
        super().__init__(url=url, **options)
        self.api_url = api_url
        self.poll_s = 0.5

    def execute(self, program: Program, stdins: Sequence[str], limits: Limits) -> list[Result]:
        script, nonce = driver_script(program, stdins, limits)
        seconds = script_seconds(stdins, limits)
        if self.url is not None:
            text = run_on_router(self, self.url, script, seconds)
        else:
            text = self._run_in_cloud(script, seconds)
        return read_report(text, nonce, len(stdins))

    def _run_in_cloud(self, script: str, seconds: float) -> str:
        key = api_key(KEY_VARIABLE, self.name, "https://cloud.morph.so/web/keys")
        headers = {"Authorization": f"Bearer {key}"}
        snapshot = os.environ.get(SNAPSHOT_VARIABLE, "").strip()
        if not snapshot:
            why = "the provider 'morph' starts its instances from a snapshot that has python3"
            install = f"export {SNAPSHOT_VARIABLE}=... (one that `morphcloud snapshot list` shows)"
            raise PrerequisiteError(SNAPSHOT_VARIABLE, why, install)
        made = self.client.json(
            "POST",
            f"{self.api_url}/instance?snapshot_id={quote(snapshot)}",
            {"ttl_seconds": math.ceil(seconds + READY_S), "metadata": {"purpose": "r1lab"}},
            headers=headers,
        )
        if not isinstance(made, dict) or not made.get("id"):
            raise RemoteError(f"{self.api_url}/instance started nothing: {made!r}"[:300])
        address = f"{self.api_url}/instance/{made['id']}"
        try:
            self._wait(address, made, headers)
            for command in upload_commands(script):
                self._exec(address, command, headers, MARGIN_S)
            return self._exec(address, "python3 /tmp/r1lab_driver.py", headers, seconds)
        finally:
            # It ends by itself at its time to live: failing to end it costs money, not truth.
            with contextlib.suppress(RemoteError):
                self.client.request("DELETE", address, headers=headers)

    def _wait(self, address: str, state: Any, headers: dict[str, str]) -> None:
        until = time.monotonic() + READY_S
        while state.get("status", "ready") != "ready":
            if state.get("status") == "error" or time.monotonic() > until:
                raise RemoteError(f"{address}: the instance is not ready: {state.get('status')}")
            time.sleep(self.poll_s)
            state = self.client.json("GET", address, headers=headers)

    def _exec(self, address: str, command: str, headers: dict[str, str], seconds: float) -> str:
        done = self.client.json(
            "POST",
            f"{address}/exec",
            {"command": [command]},
            headers=headers,
            timeout_s=seconds + MARGIN_S,
        )
        if not isinstance(done, dict) or done.get("exit_code") != 0:
            said = done.get("stderr") if isinstance(done, dict) else done
            raise RemoteError(f"{address}/exec failed: {str(said)[-300:]}")
        return str(done.get("stdout") or "")


def upload_commands(script: str) -> list[str]:
    """Shell commands that write a script to /tmp/r1lab_driver.py, none of them too long."""
    packed = base64.b64encode(script.encode()).decode()
    pieces = [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
    writes = [
        f"printf %s '{piece}' {'>' if number == 0 else '>>'} /tmp/r1lab_driver.b64"
        for number, piece in enumerate(pieces)
    ]
    return [*writes, "base64 -d /tmp/r1lab_driver.b64 > /tmp/r1lab_driver.py"]
