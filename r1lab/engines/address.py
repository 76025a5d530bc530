"""Where a server listens, and small requests to it with the standard library alone."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from r1lab.errors import ConfigError, Problem
from r1lab.launch.local import free_port

_HEALTH_TIMEOUT_S = 5.0


def port(engine: Mapping[str, Any]) -> int:
    """``engine.port``, else one that nobody listens on now."""
    return free_port() if engine.get("port") is None else int(engine["port"])


def here(host: str) -> str:
    """The host as this machine reaches it, ready for a URL."""
    if host in ("0.0.0.0", ""):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name: whom it reaches is the network's business
        return False


def check_free(host: str, number: int) -> None:
    """ConfigError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of one that ended a moment ago are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            raise ConfigError(_refused(host, number, error)) from error


def _refused(host: str, number: int, error: OSError) -> Problem:
    if error.errno == errno.EADDRINUSE:
        return Problem(
            "engine.port",
            number,
            f"something listens on port {number} of {host} already",
            "set engine.port=null to take a free one, or another number",
        )
    if error.errno == errno.EACCES:
        return Problem(
            "engine.port",
            number,
            f"this user may not listen on it ({os.strerror(error.errno)})",
            "set a port above 1023, or engine.port=null to take a free one",
        )
    return Problem(
        "engine.host",
        host,
        f"is no address of this machine ({error.strerror or error})",
        "set engine.host=127.0.0.1, or 0.0.0.0 for all of its addresses",
    )


def answers(url: str, api_key: str | None = None) -> bool:
    """Whether a GET of ``url`` succeeds within seconds."""
    try:
        with _open(url, None, api_key, _HEALTH_TIMEOUT_S):
            return True
    except (OSError, ValueError):  # no connection, no HTTP, or a status of 400 and more
        return False


def fetch(
    url: str, body: Mapping[str, Any] | None = None, api_key: str | None = None, timeout: float = 60
) -> Any:
    """The JSON answer to a GET, or to a POST of ``body``.

    ``urllib.error.HTTPError`` for a status of 400 and more, other ``OSError`` for no connection,
    ``ValueError`` for what is no JSON.
    """
    with _open(url, body, api_key, timeout) as answer:
        return json.loads(answer.read())


def _open(url: str, body: Mapping[str, Any] | None, api_key: str | None, timeout: float) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    if api_key:
        # Not sent to where a redirect leads.
        request.add_unredirected_header("Authorization", f"Bearer {api_key}")
    handlers = []
    if is_loopback(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy would look at its own loopback
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)
