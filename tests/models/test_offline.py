"""A hub id on a machine without a network: found in the cache, or refused at once."""

from __future__ import annotations

import time

import pytest

from r1lab.errors import ConfigError
from r1lab.launch.local import free_port
from r1lab.models.offline import environment


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")  # nobody is there
    (tmp_path / "models--me--here" / "snapshots").mkdir(parents=True)


def test_what_the_cache_has_is_loaded_without_asking(cache):
    assert environment("me/here") == {"HF_HUB_OFFLINE": "1"}


def test_what_it_lacks_is_refused_at_once(cache, monkeypatch):
    begin = time.monotonic()
    with pytest.raises(ConfigError, match=r"not in the Hugging Face cache.*cannot be reached"):
        environment("me/elsewhere")
    assert time.monotonic() - begin < 10
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        environment("me/elsewhere")
