"""What asks the server, by ``generate.client`` and ``generate.client_replicas``."""

from __future__ import annotations

from r1lab.engines.external import API_KEY
from r1lab.errors import ConfigError, Problem
from r1lab.generation.asking import Asker, Client
from r1lab.generation.request import Sampling


def make(
    client: str,
    replicas: int,
    *,
    base_url: str,
    api_key: str | None,
    model: str,
    sampling: Sampling,
    timeout_s: float | None,
) -> Client:
    """For ``async``: this process, or ``replicas`` of them; for ``ray``: so many actors.

    ``timeout_s`` is for a whole answer. Raises ``PrerequisiteError`` where Ray is missing, and
    ``ConfigError`` where the key is none.
    """
    api_key = (api_key or "").strip() or None
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        fix = f"set {API_KEY} in the environment to the server's key alone"
        raise ConfigError(Problem(API_KEY, None, "has characters that no request can carry", fix))
    settings = {
        "base_url": base_url,
        "api_key": api_key,
        "model": model,
        "sampling": sampling,
        "timeout_s": timeout_s,
    }
    if client == "ray":
        from r1lab.generation.ray_client import RayClient

        return RayClient(replicas, settings)
    if client != "async":
        raise ValueError(f"generate.client={client} asks no server from here")
    if replicas == 1:
        return Asker(base_url, api_key, model, sampling, timeout_s)
    from r1lab.generation.replicas import Replicas

    return Replicas(replicas, settings)
