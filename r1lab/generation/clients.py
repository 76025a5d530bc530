"""What asks the server, by ``generate.client`` and ``generate.client_replicas``."""

from __future__ import annotations

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

    ``timeout_s`` is for a whole answer. Raises ``PrerequisiteError`` where Ray is missing.
    """
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
