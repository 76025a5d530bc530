"""A hub id without a network: the cache has to do, or it is said at once.

Left to itself, the hub's client tries every file again for minutes before it says so.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request

from r1lab.errors import ConfigError, Problem
from r1lab.planning.architecture import hub_cache

_TIMEOUT_S = 5.0
_YES = ("1", "ON", "YES", "TRUE")  # as the hub's client reads HF_HUB_OFFLINE


def environment(model_id: str) -> dict[str, str]:
    """Variables for a process that loads ``model_id``; ConfigError where it cannot be had."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not offline and _reachable(endpoint):
        return {}
    if not (hub_cache() / f"models--{model_id.replace('/', '--')}" / "snapshots").is_dir():
        why = "HF_HUB_OFFLINE is set" if offline else f"{endpoint} cannot be reached"
        raise ConfigError(
            Problem(
                "model",
                model_id,
                f"is not in the Hugging Face cache of this machine, and {why}",
                "check the network (HTTPS_PROXY), fill the cache elsewhere, or give a folder",
            )
        )
    return {"HF_HUB_OFFLINE": "1"}


def _reachable(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint, method="HEAD"), timeout=_TIMEOUT_S
        ):
            return True
    except urllib.error.HTTPError:
        return True  # it answers, if only to say no
    except (OSError, ValueError):
        return False
