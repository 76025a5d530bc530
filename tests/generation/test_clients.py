"""Which client a configuration makes."""

from __future__ import annotations

from typing import Any

import pytest

from r1lab.errors import ConfigError
from r1lab.generation import clients, ray_client
from r1lab.generation.asking import Asker
from r1lab.generation.replicas import Replicas
from r1lab.generation.request import Sampling

SETTINGS: dict[str, Any] = {
    "base_url": "http://127.0.0.1:8000/v1",
    "api_key": None,
    "model": "tiny",
    "sampling": Sampling(max_new_tokens=10),
    "timeout_s": 900.0,
}


def test_one_process_asks_itself_and_more_are_replicas():
    assert isinstance(clients.make("async", 1, **SETTINGS), Asker)
    several = clients.make("async", 3, **SETTINGS)
    assert isinstance(several, Replicas) and len(several.replicas) == 3


def test_ray_is_asked_even_for_one(monkeypatch):
    asked: list[Any] = []
    monkeypatch.setattr(ray_client, "RayClient", lambda *arguments: asked.append(arguments))
    clients.make("ray", 1, **SETTINGS)
    assert asked == [(1, SETTINGS)]


def test_a_client_that_asks_elsewhere_is_none_of_these():
    with pytest.raises(ValueError, match="distilabel"):
        clients.make("distilabel", 1, **SETTINGS)


@pytest.mark.parametrize("key", ["two\nlines", "ключ"])
def test_a_key_that_no_header_can_carry_is_a_users_mistake(key):
    with pytest.raises(ConfigError, match="R1LAB_API_KEY") as error:
        clients.make("async", 1, **{**SETTINGS, "api_key": key})
    assert key not in str(error.value)
