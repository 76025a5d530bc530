"""Pushing data, against a fake Hub (tests/fake_hub.py): what is refused, and what arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.generation.publish import check_access, push
from r1lab.secrets import remember
from tests.fake_hub import FakeHub


@pytest.fixture
def api() -> Any:
    return FakeHub()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "_made").mkdir(parents=True)
    for name in ("README.md", "train.parquet", "test.parquet", "_made/settings.json", ".new"):
        (folder / name).write_text(name)
    return folder


def test_a_push_makes_a_private_dataset(api: Any, data: Path) -> None:
    check_access("me/data", "gsm8k-r1", api)
    url = push(data, "me/data", "gsm8k-r1", api=api)
    assert url == "https://fake.hub/me/data/commit/main"
    assert api.private == {"me/data": True}
    assert set(api.repos["me/data"]["main"]) == {
        ".gitattributes",
        "README.md",
        "train.parquet",
        "test.parquet",
        "_made/settings.json",
    }
    push(data, "me/open", "gsm8k-r1", private=False, api=api)
    assert api.private["me/open"] is False


def test_a_second_push_leaves_nothing_of_the_first(api: Any, data: Path) -> None:
    push(data, "me/data", "gsm8k-r1", api=api)
    (data / "test.parquet").unlink()
    check_access("me/data", "gsm8k-r1", api)
    push(data, "me/data", "gsm8k-r1", api=api)
    assert "test.parquet" not in api.repos["me/data"]["main"]
    assert "train.parquet" in api.repos["me/data"]["main"]


def test_other_data_is_not_overwritten(api: Any, data: Path) -> None:
    push(data, "me/data", "gsm8k-r1", api=api)
    with pytest.raises(ConfigError, match=r"generate\.hub_id = 'me/data': already has 4 files"):
        check_access("me/data", "math-r1", api)
    with pytest.raises(ConfigError, match="not from this generation"):
        push(data, "me/data", "math-r1", api=api)


def test_what_would_fail_at_the_end_is_said_at_the_start(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.token_role = "read"
    with pytest.raises(PrerequisiteError, match=r"may only read\n.*generate\.hub_id=null"):
        check_access("me/data", "n", api)
    api.reachable = False
    with pytest.raises(PrerequisiteError, match=r"does not answer.*\n.*generate\.hub_id=null"):
        check_access("me/data", "n", api)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PrerequisiteError, match=r"HF_HUB_OFFLINE.*\n.*generate\.hub_id=null"):
        check_access("me/data", "n")


def test_a_secret_is_not_pushed(api: Any, data: Path) -> None:
    remember("swordfish-1234567")
    (data / "README.md").write_text("served at http://me:swordfish-1234567@host")
    with pytest.raises(RuntimeError, match=r"hold a secret: .*README\.md"):
        push(data, "me/data", "n", api=api)
    assert api.repos == {}
