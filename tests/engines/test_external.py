"""A server that runs already: found, named, refused with its reason; never started nor stopped."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from r1lab.engines.base import EngineFailed
from r1lab.engines.external import ExternalServer
from r1lab.launch.local import free_port
from tests.engines.nodes import node


@contextmanager
def listing(models=("one",), status=200, key=None):
    """A server that lists ``models``, or answers with ``status``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = key is None or self.headers["Authorization"] == f"Bearer {key}"
            self.send_response(404 if self.path != "/v1/models" else status if allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"data": [{"id": name} for name in models]}).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("R1LAB_API_KEY", raising=False)


def external(url, model=None, **fields):
    return ExternalServer(node(url=url, **fields), model)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_its_model_is_asked_for_whatever_way_its_url_is_written(suffix):
    with listing() as url, external(url + suffix).running() as engine:
        assert engine.model == "one"
        assert engine.url == f"{url}/v1"


def test_it_goes_on_running_afterwards():
    with listing() as url:
        for _ in range(2):
            with external(url).running():
                pass


def test_one_of_several_models_must_be_named():
    with listing(["one", "two"]) as url:
        with external(url, "two").running() as engine:
            assert engine.model == "two"
        with pytest.raises(EngineFailed, match="has not one model but these: one, two"):
            external(url).wait()
        with pytest.raises(EngineFailed, match="has no model 'three'; it has: one, two"):
            external(url, "three").wait()


def test_a_key_is_taken_from_the_environment_and_asked_for_where_it_lacks(monkeypatch):
    with listing(key="hush") as url:
        with pytest.raises(EngineFailed, match="set R1LAB_API_KEY"):
            external(url).wait()
        monkeypatch.setenv("R1LAB_API_KEY", "hush")
        external(url).wait()


def test_what_is_no_such_server_is_told_at_once():
    with listing() as url, pytest.raises(EngineFailed, match="not that of an OpenAI-compatible"):
        external(f"{url}/elsewhere").wait()


def test_nobody_there_is_given_up_at_the_deadline():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EngineFailed, match="did not answer"):
        external(url, start_timeout=0.5).wait()
    with listing(status=503) as loading, pytest.raises(EngineFailed, match="did not answer"):
        external(loading, start_timeout=0.5).wait()
