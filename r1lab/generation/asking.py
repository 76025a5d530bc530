"""One request, one answer, over the ``openai`` package; and what can go wrong, sorted in three.

Whoever asks decides what to do by the kind of failure alone: :class:`Refused` concerns one request,
:class:`Fatal` all of them, and :class:`Failed` may go better at the next try.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import resource
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from r1lab.engines.external import API_KEY
from r1lab.generation.request import Answer, Request, Sampling

#: More than are ever asked at once: the pool must not be what limits, or waiting in it would count
#: as the server's time.
CONNECTIONS = 4096
#: A server that is there takes a connection at once; one that is not should be noticed.
_CONNECT_S = 10.0
#: Of a server's words in a reason.
_LONGEST_REASON = 500


class Refused(Exception):
    """The server will never answer this request. ``reason`` has its words."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Fatal(Exception):
    """The server will not answer any request as things are; ``fix`` says what to change."""

    def __init__(self, reason: str, fix: str):
        super().__init__(reason, fix)
        self.reason, self.fix = reason, fix

    def __str__(self) -> str:
        return self.reason


class Failed(Exception):
    """There is no answer, but another try may bring one.

    ``server``: the server's state is to blame, not the request (it is away, or has too much to do).
    ``retry_after``: seconds that the server asks to wait. ``kind`` is for counting: ``connect``,
    ``closed`` (amid the request), ``timeout``, ``busy`` (429, 503), ``garbage``, ``aborted``,
    ``process`` (one of ours, that asks, died), or ``http_500`` and its like.
    """

    def __init__(
        self,
        reason: str,
        server: bool = False,
        retry_after: float | None = None,
        kind: str = "error",
    ):
        super().__init__(reason, server, retry_after, kind)
        self.reason, self.server, self.retry_after, self.kind = reason, server, retry_after, kind

    def __str__(self) -> str:
        return self.reason


class Client(Protocol):
    """What answers requests, in this process or through others."""

    async def ask(self, request: Request) -> Answer:
        """One answer; raises ``Refused``, ``Fatal`` or ``Failed``, and nothing else."""
        ...

    async def aclose(self) -> None:
        """Close connections, end processes."""
        ...


class Asker:
    """Asks a server from this process.

    ``timeout_s`` is for a whole answer; None waits without end. Proxies of the environment are used
    for servers elsewhere, never for one on this machine.

    openai's resource methods cost 1.0 ms of this process's time a request, most of it for building
    typed objects, and its plain ``post`` 0.55 ms; a generation should be as fast as its server.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        sampling: Sampling,
        timeout_s: float | None,
    ):
        import aiohttp  # both are slow to import
        import openai

        _allow_connections()
        # Hydra turns on INFO for all loggers, and the HTTP clients then report every request.
        for name in ("httpx", "httpx2", "openai"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._openai, self._aiohttp = openai, aiohttp
        self._base_url, self._model, self._timeout_s = base_url, model, timeout_s
        sent = {
            "model": model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
        }
        self._body = {name: value for name, value in sent.items() if value is not None}
        self._extra = dict(sampling.extra)
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS
        )
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=(api_key or "").strip() or "none",  # openai insists on one
            timeout=openai.Timeout(None, connect=_CONNECT_S),  # the whole has a limit, below
            max_retries=0,  # whoever asks decides
            http_client=openai.DefaultAioHttpClient(
                limits=limits, trust_env=not is_local(base_url)
            ),
        )

    async def ask(self, request: Request) -> Answer:
        """See :class:`Client`."""
        body: dict[str, Any] = {**self._body, "messages": request.messages}
        if request.seed is not None:
            body["seed"] = request.seed
        try:
            # What extra_body does: its fields stand beside the others, and win.
            content = json.dumps({**body, **self._extra}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise Refused(
                f"the prompt has half a character, which cannot be sent: {error}"
            ) from None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._client.post(
                    "/chat/completions",
                    cast_to=self._openai.HttpxBinaryResponseContent,
                    content=content,
                )
        except TimeoutError:
            raise Failed(f"no answer within {self._timeout_s:g} s", kind="timeout") from None
        except self._openai.APIStatusError as error:
            raise self._of_status(error) from error
        except self._openai.APIConnectionError as error:
            raise self._of_connection(error) from error
        except self._aiohttp.ClientError as error:  # openai's transport passes some of them on
            raise Failed(
                f"a reply that is not HTTP: {_one_line(str(error))}", kind="garbage"
            ) from error
        return answer_of(reply.content, time.monotonic() - began)

    async def aclose(self) -> None:
        """See :class:`Client`."""
        await self._client.close()

    def _of_status(self, error: Any) -> Exception:
        """What a reply with an error's status means."""
        status, words = error.status_code, _said(error.body) or _one_line(error.response.text)
        reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
        if status == 429 and error.code == "insufficient_quota":
            return Fatal(reason, "add credit to the account of the key, or use another key")
        if status >= 500 or status in (408, 409, 425, 429):
            return Failed(
                reason,
                server=status in (429, 502, 503, 504),
                retry_after=retry_after(error.response.headers),
                kind="busy" if status in (429, 503) else f"http_{status}",
            )
        if status in (400, 413, 422):
            return Refused(reason)
        fixes = {
            401: f"set {API_KEY} in the environment to the server's key",
            403: "use a key that may ask this model",
            404: "correct generate.base_url (it usually ends in /v1) or the model's name "
            f"({self._model}); {self._base_url}/models lists what the server has",
        }
        fix = fixes.get(status, f"see whether {self._base_url} is an OpenAI-compatible server")
        return Fatal(f"{self._base_url}: {reason}", fix)

    def _of_connection(self, error: Any) -> Exception:
        """What a connection's end means. openai calls all of them timeouts or "Connection error."

        The transport calls a closed connection a ConnectTimeout: aiohttp's own error is looked for.
        """
        chain = _causes(error)
        names = {cls.__name__ for each in chain for cls in type(each).__mro__}
        reason = _one_line(str(chain[-1])) or type(chain[-1]).__name__
        if names & {"UnsupportedProtocol", "InvalidURL", "InvalidUrlClientError"}:
            return Fatal(
                f"{self._base_url} is no address: {reason}",
                "write generate.base_url as http://HOST:PORT/v1",
            )
        if "TooManyRedirects" in names:
            return Fatal(
                f"{self._base_url} leads in a circle: {reason}",
                "write generate.base_url as the address that it should lead to",
            )
        if "ClientConnectorCertificateError" in names:
            return Fatal(
                f"the certificate of {self._base_url} is not trusted: {reason}",
                "name the authority's certificate in SSL_CERT_FILE",
            )
        if names & {"ClientConnectorError", "ConnectionTimeoutError", "ProxyError"}:
            return Failed(f"no connection to the server: {reason}", server=True, kind="connect")
        if "DecodingError" in names:
            return Failed(f"a reply that cannot be unpacked: {reason}", kind="garbage")
        return Failed(f"the server closed the connection: {reason}", server=True, kind="closed")


def answer_of(content: bytes, seconds: float) -> Answer:
    """The answer that a reply's body holds; raises ``Failed`` where it holds none.

    vLLM calls the reasoning ``reasoning_content`` or ``reasoning``, by its version.
    """
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        raise _garbage("a reply that is not JSON", content) from None
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text = message.get("content")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        reason = choice.get("finish_reason")
        usage = reply.get("usage") or {}
        counts = [usage.get(f"{what}_tokens") for what in ("prompt", "completion")]
    except (LookupError, TypeError, AttributeError):
        said = _said(reply)
        if said:  # some gateways send their errors with status 200
            raise Failed(f"an error instead of an answer: {said}", kind="garbage") from None
        raise _garbage("a reply without an answer", content) from None
    if not all(isinstance(each, str | None) for each in (text, reasoning, reason)):
        raise _garbage("a reply of wrong types", content)
    if not all(count is None or type(count) is int for count in counts):
        raise _garbage("a reply with strange token counts", content)
    if text is None and not reasoning:
        raise _garbage("a reply without content", content)
    if reason in ("abort", "error"):
        raise Failed(f"the server gave up amid the answer (finish_reason {reason})", kind="aborted")
    return Answer(
        content=_written(text or ""),
        reasoning=_written(reasoning) if reasoning else None,
        finish_reason=reason,
        prompt_tokens=counts[0],
        completion_tokens=counts[1],
        seconds=seconds,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait: in milliseconds, in seconds, or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(date.timestamp() - time.time(), 0.0)


def is_local(base_url: str) -> bool:
    """Whether a server is on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _allow_connections() -> None:
    """Raise this process's limit on open files: 1024 is common, and each request has a socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _garbage(what: str, content: bytes) -> Failed:
    shown = _one_line(content[: 4 * _LONGEST_REASON].decode("utf-8", "replace"))
    return Failed(f"{what}: {shown[:200] or 'nothing'}", kind="garbage")


def _said(body: Any) -> str:
    """The words in an error's body, which every server puts elsewhere."""
    while isinstance(body, dict):
        body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), "")
    return _one_line(str(body)) if body else ""


def _one_line(text: str) -> str:
    return _written(" ".join(text[: 4 * _LONGEST_REASON].split())[:_LONGEST_REASON])


def _written(text: str) -> str:
    """Text that can be written to a file: half a character, cut off by a limit, becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what is beneath it, the deepest last."""
    chain = [error]
    while (beneath := chain[-1].__cause__) is not None:
        chain.append(beneath)
    return chain
