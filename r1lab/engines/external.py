"""A server that runs already, of whatever make: asked, never started nor stopped."""

from __future__ import annotations

import os
import urllib.error
from collections.abc import Mapping
from typing import Any

from r1lab.engines import address
from r1lab.engines.base import Engine

#: The environment variable of the key, for servers of ours and others' alike.
API_KEY = "R1LAB_API_KEY"


class ExternalServer(Engine):
    """What answers at ``engine.url``.

    ``model`` is the name to ask for; None takes the one that the server has. The key, where it
    wants one, is ``R1LAB_API_KEY`` of the environment.
    """

    def __init__(self, engine: Mapping[str, Any], model: str | None = None):
        self.url = versioned(engine["url"])
        self.name = f"the server at {self.url}"
        self.start_timeout = float(engine["start_timeout"])
        self.api_key = os.environ.get(API_KEY) or None
        self.model = model or ""
        self._failure: str | None = None

    def start(self) -> None:
        """Nothing is started."""

    def healthy(self) -> bool:
        """Whether it lists its models; the first time, which one it is that answers."""
        try:
            found = address.fetch(f"{self.url}/models", None, self.api_key, timeout=5.0)
        except urllib.error.HTTPError as error:
            # Other statuses may pass: a proxy says 502 and 503 while a server loads its model.
            self._failure = _REFUSALS.get(error.code)
            return False
        except (OSError, ValueError):  # nobody there (yet), or no JSON
            return False
        names = [str(row.get("id")) for row in _rows(found)]
        self._failure = self._choose(names)
        return self._failure is None

    def _choose(self, names: list[str]) -> str | None:
        listed = ", ".join(names) or "none"
        if not self.model and len(names) == 1:
            self.model = names[0]
        if self.model in names:
            return None
        if self.model:
            return f"has no model {self.model!r}; it has: {listed}"
        return f"has not one model but these: {listed}"

    def failure(self) -> str | None:
        return self._failure

    def stop(self) -> None:
        """It goes on running."""


_REFUSALS = {
    401: f"wants an API key: set {API_KEY} in the environment",
    403: f"refuses the API key ({API_KEY} of the environment)",
    404: "has no /v1/models: the address is not that of an OpenAI-compatible server",
}


def versioned(url: str) -> str:
    """``http://host:8000`` and ``http://host:8000/v1/`` are the same server."""
    url = url.rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def _rows(found: Any) -> list[dict[str, Any]]:
    rows = found.get("data") if isinstance(found, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
