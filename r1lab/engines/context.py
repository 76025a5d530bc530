"""How many new tokens a model has room for."""

from __future__ import annotations

from r1lab.engines import address
from r1lab.engines.base import Engine

#: Of a model's context that a prompt may need where answers could fill all of it: a share of it,
#: and tokens at most.
_PROMPT_SHARE, _PROMPT_TOKENS = 4, 2048


def context_of(engine: Engine) -> int | None:
    """Tokens of a prompt and its answer together, where the server says it (vLLM's and ours do)."""
    try:
        found = address.fetch(f"{engine.url}/models", None, engine.api_key)
    except (OSError, ValueError):  # the list is a courtesy
        return None
    rows = found.get("data") if isinstance(found, dict) else None
    for row in rows or []:
        if row.get("id") == engine.model and isinstance(row.get("max_model_len"), int):
            return int(row["max_model_len"])
    return None


def fitting(tokens: int, context: int | None) -> int:
    """``tokens``, or less where they and a prompt are more than the context."""
    if context is None:
        return tokens
    return min(tokens, context - min(context // _PROMPT_SHARE, _PROMPT_TOKENS))
