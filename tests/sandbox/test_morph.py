"""The client against a fake of Morph's cloud that runs the commands it is sent."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.sandbox.base import Limits, Program
from r1lab.sandbox.morph import PIECE, Morph, upload_commands
from tests.sandbox.fake_server import Answer, FakeServer, serving

LIMITS = Limits(time_s=2.0)
DOUBLE = Program("python", "print(2 * int(input()))")
KEY = "morph_secret"


class FakeCloud:
    """Instances that are pending for a moment; each has a folder in the place of /tmp."""

    def __init__(self, folder: Path):
        self.folder, self.alive, self.made = folder, dict[str, int](), 0

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"detail": "Unauthorized"}
        if (method, path) == ("POST", "/instance?snapshot_id=snapshot_1"):
            assert body["ttl_seconds"] > 0
            self.made += 1
            name = f"morphvm_{self.made}"
            self.alive[name] = 2
            (self.folder / name).mkdir()
            return 200, {"id": name, "status": "pending"}
        parts = path.split("/")
        if len(parts) < 3 or parts[2] not in self.alive:
            return 404, {"detail": "Not Found"}
        name = parts[2]
        if method == "DELETE":
            del self.alive[name]
            return 200, {}
        if method == "GET":
            self.alive[name] -= 1
            return 200, {"id": name, "status": "pending" if self.alive[name] > 0 else "ready"}
        (command,) = body["command"]
        assert len(command) < 128 * 1024
        done = subprocess.run(
            ["sh", "-c", command.replace("/tmp/", f"{self.folder / name}/")],
            capture_output=True,
            text=True,
        )
        output = {"stdout": done.stdout, "stderr": done.stderr, "exit_code": done.returncode}
        return 200, output


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORPH_API_KEY", KEY)
    monkeypatch.setenv("MORPH_SNAPSHOT_ID", "snapshot_1")


def morph(server: FakeServer) -> Morph:
    provider = Morph(api_url=server.url, retry_wait_s=0.01)
    provider.poll_s = 0.01
    return provider


def test_the_cloud(tmp_path: Path) -> None:
    fake = FakeCloud(tmp_path)
    with serving(fake) as server:
        provider = morph(server)
        provider.self_test()
        results = provider.run(DOUBLE, ["1", "21", "x"], LIMITS)
        assert [r.stdout for r in results] == ["2\n", "42\n", ""]
        assert results[2].status == "runtime_error"
        assert (fake.made, fake.alive) == (3, {})


def test_a_long_input_is_sent_in_pieces(tmp_path: Path) -> None:
    import random

    noise = "".join(random.Random(0).choices("0123456789abcdef", k=400_000))
    with serving(FakeCloud(tmp_path)) as server:
        result = morph(server).run(Program("python", "print(len(input()))"), [noise], LIMITS)[0]
        assert (result.status, result.stdout) == ("ok", "400000\n")
        assert sum(path.endswith("/exec") for path in server.paths()) > 4
    assert max(map(len, upload_commands(noise))) < PIECE + 100


@pytest.mark.parametrize("variable", ["MORPH_API_KEY", "MORPH_SNAPSHOT_ID"])
def test_what_is_missing_is_named(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable)
    with (
        serving(FakeCloud(tmp_path)) as server,
        pytest.raises(PrerequisiteError, match=f"export {variable}"),
    ):
        morph(server).self_test()


def test_a_cloud_in_trouble_is_infrastructure(tmp_path: Path) -> None:
    fake = FakeCloud(tmp_path)
    with serving(fake) as server:
        provider = morph(server)
        server.failures = [(502, "bad gateway")]
        assert provider.run(DOUBLE, ["1"], LIMITS)[0].status == "ok"
        server.failures = [(502, "bad gateway")] * 4
        result = provider.run(DOUBLE, ["1"], LIMITS)[0]
        assert (result.status, "bad gateway" in result.message) == ("infrastructure", True)
        server.failures = [(200, {"id": "morphvm_x", "status": "error"})]
        assert "not ready: error" in provider.run(DOUBLE, ["1"], LIMITS)[0].message
        assert fake.alive == {}


def test_a_key_that_is_refused_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORPH_API_KEY", "wrong-" + KEY)
    with (
        serving(FakeCloud(tmp_path)) as server,
        pytest.raises(PrerequisiteError, match="401 Unauthorized") as caught,
    ):
        morph(server).self_test()
    assert KEY not in str(caught.value)
