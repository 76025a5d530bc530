"""``python -m r1lab.engines.app SETTINGS``: load a model and answer requests until SIGTERM.

``SETTINGS`` is a JSON object (see :class:`r1lab.engines.transformers.TransformersServer`). The API
key comes in the environment, since everybody can read a command line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import uvicorn

from r1lab.engines.app.generating import Generating
from r1lab.engines.app.server import Server

#: Seconds for open requests when it is stopped.
_GRACE_S = 2
_WATCH_S = 1.0


def main() -> int:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    key = os.environ.pop("R1LAB_API_KEY", None)
    generating = Generating(settings)
    app = Server(generating, settings["name"], key).app()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings["host"],
            port=settings["port"],
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    reason = asyncio.run(_serve(server, generating))
    generating.stop()
    if reason is not None:
        print(f"error: {reason}", file=sys.stderr)
    return 0 if reason is None else 1


async def _serve(server: uvicorn.Server, generating: Generating) -> str | None:
    """Serve until a signal, or until nothing can be generated any more: then say why."""
    serving = asyncio.create_task(server.serve())
    reason = None
    while not serving.done():
        await asyncio.wait([serving], timeout=_WATCH_S)
        if not serving.done() and reason is None and (reason := generating.failure):
            server.should_exit = True
    await serving
    return reason


if __name__ == "__main__":
    sys.exit(main())
