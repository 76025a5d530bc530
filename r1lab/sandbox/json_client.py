"""JSON over HTTP for the clients of remote sandboxes: bounded retries, and no secret in an error.

The standard library's client is enough here: one request runs a whole program.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

#: Worth another try: too many requests, and what a server or a proxy says when it is in trouble.
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
#: No wait between two tries is longer, whatever the server asks for.
MAX_WAIT_S = 20.0


class RemoteError(Exception):
    """A remote sandbox could not be asked. The message names address and trouble, never a key."""

    def __init__(self, message: str, status: int | None = None):
        self.status = status
        super().__init__(message)


class JsonClient:
    """Sends JSON and reads text back. ``tries`` is the number of requests, the first included.

    Between two tries it waits ``wait_s``, then twice that, and so on, with a tenth of it at random
    (so that many ranks do not come back at the same moment); a ``Retry-After`` is heeded.
    """

    def __init__(self, counts: Counter[str], tries: int = 4, wait_s: float = 0.5):
        self.counts, self.tries, self.wait_s = counts, tries, wait_s

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> str:
        """The response's text. Raises :class:`RemoteError` once the tries are used up."""
        for attempt in range(1, self.tries + 1):
            try:
                return _send(method, url, body, headers or {}, timeout_s)
            except urllib.error.HTTPError as error:
                said = _message(error)
                trouble = RemoteError(f"{method} {_shown(url)}: {error.code} {said}", error.code)
                if error.code not in RETRIED:
                    raise trouble from None
                asked = _seconds(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                trouble = RemoteError(f"{method} {_shown(url)}: {reason or type(error).__name__}")
                asked = None
            if attempt == self.tries:
                break
            self.counts["retries"] += 1
            wait = self.wait_s * 2 ** (attempt - 1) * random.uniform(1.0, 1.1)
            time.sleep(min(MAX_WAIT_S, wait if asked is None else asked))
        raise RemoteError(f"{trouble} ({self.tries} tries)", trouble.status) from None

    def json(self, method: str, url: str, body: Any = None, **options: Any) -> Any:
        """The same, read as JSON; an empty response is ``None``."""
        text = self.request(method, url, body, **options)
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            message = f"{method} {_shown(url)}: the response is no JSON: {text[:200]!r}"
            raise RemoteError(message) from None


def _send(method: str, url: str, body: Any, headers: Mapping[str, str], timeout_s: float) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Accept", "application/json")
    if data is not None:
        request.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        # Not sent on when the server redirects somewhere else.
        request.add_unredirected_header(name, value)
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        text: str = response.read().decode("utf-8", "replace")
    return text


def _message(error: urllib.error.HTTPError) -> str:
    """What the server says about an error, in short."""
    try:
        text = error.read(4000).decode("utf-8", "replace")
    except OSError:
        return str(error.reason)
    with contextlib.suppress(ValueError, AttributeError):  # no JSON object: shown as it is
        found = json.loads(text)
        text = str(found.get("message") or found.get("detail") or text)
    return " ".join(text.split())[:300] or str(error.reason)


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # a date: the wait that is due is as good


def _shown(url: str) -> str:
    """The address without a password or a query, which may hold a key."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def with_scheme(url: str) -> str:
    """``host:port`` as an address; open-r1's router URLs have no scheme."""
    url = url.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"
