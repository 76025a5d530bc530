from __future__ import annotations

from collections import Counter

import pytest

from r1lab.sandbox.json_client import JsonClient, RemoteError, with_scheme
from tests.sandbox.fake_server import Answer, serving


def echo(method: str, path: str, body: object, headers: dict[str, str]) -> Answer:
    return 200, {"method": method, "body": body, "key": headers.get("x-api-key")}


def client(tries: int = 3) -> JsonClient:
    return JsonClient(Counter(), tries=tries, wait_s=0.01)


def test_json_there_and_back() -> None:
    with serving(echo) as server:
        answer = client().json("POST", f"{server.url}/a", {"x": 1}, headers={"X-API-Key": "k"})
    assert answer == {"method": "POST", "body": {"x": 1}, "key": "k"}


@pytest.mark.parametrize("trouble", [(503, "busy"), (429, {"message": "slow down"}), (0, "")])
def test_trouble_that_passes(trouble: Answer) -> None:
    asking = client()
    with serving(echo) as server:
        server.failures = [trouble, trouble]
        assert asking.json("GET", f"{server.url}/a")["method"] == "GET"
    assert asking.counts == {"retries": 2}


def test_trouble_that_stays() -> None:
    asking = client()
    with serving(echo) as server:
        server.failures = [(503, "busy")] * 9
        with pytest.raises(RemoteError, match=r"GET http://127.*/a: 503 busy \(3 tries\)"):
            asking.json("GET", f"{server.url}/a")
        assert len(server.requests) == 3


def test_what_no_retry_can_mend_is_not_retried() -> None:
    asking = client()
    with serving(echo) as server:
        server.failures = [(401, {"message": "who are you"})]
        with pytest.raises(RemoteError, match="401 who are you") as caught:
            asking.json("GET", f"{server.url}/a")
    assert caught.value.status == 401
    assert asking.counts == {}


def test_nobody_there() -> None:
    with serving(echo) as server:
        url = server.url
    with pytest.raises(RemoteError, match="refused"):
        client(tries=2).json("GET", f"{url}/a")


def test_an_answer_that_is_no_json() -> None:
    with (
        serving(lambda *_: (200, "<html>")) as server,
        pytest.raises(RemoteError, match="no JSON: '<html>'"),
    ):
        client().json("GET", f"{server.url}/a")


def test_no_error_shows_a_key() -> None:
    secret = "sk-very-secret"
    with serving(lambda *_: (403, "no")) as server:
        address = server.url.replace("http://", f"http://me:{secret}@") + f"/a?key={secret}"
        with pytest.raises(RemoteError) as caught:
            client().request("GET", address, headers={"X-API-Key": secret})
    assert secret not in str(caught.value)


def test_addresses_without_a_scheme() -> None:
    assert with_scheme("1.2.3.4:8000/") == "http://1.2.3.4:8000"
    assert with_scheme("https://host") == "https://host"
