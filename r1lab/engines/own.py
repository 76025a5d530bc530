"""The server that a verb starts for the model of its config: serve's, evaluate's and generate's."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from r1lab import hardware
from r1lab.engines import address, choose
from r1lab.engines.base import Engine
from r1lab.engines.external import API_KEY
from r1lab.models.reference import Servable
from r1lab.plan import resolve_hardware
from r1lab.secrets import remember

_MANY = 10**6


def server(
    config: dict[str, Any], model: Servable, log: Path, verb: str, elsewhere: bool = False
) -> tuple[Engine, bool]:
    """The engine, not started, and whether its key was made here.

    ``elsewhere``: it will run on another machine, whose GPUs are not seen here.
    """
    device = config["hardware"]["device"] if elsewhere else hardware.device(config)
    key, made = api_key_for(config["engine"]["host"])
    engine = choose.make(
        config["engine"],
        model,
        {**resolve_hardware(config["hardware"]), "device": device},
        log,
        visible=_MANY if elsewhere else hardware.gpu_count(),
        verb=verb,
        api_key=key,
    )
    return engine, made


def api_key_for(host: str) -> tuple[str | None, bool]:
    """The key, and whether it was made here: who listens to a network has one."""
    key = os.environ.get(API_KEY)
    made = not key and not address.is_loopback(host)
    if made:
        key = f"sk-r1lab-{secrets.token_urlsafe(24)}"
        remember(key)
    return key or None, made
