"""Data of whole conversations where prompts were expected: what ``data=local`` reads by default."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from r1lab.data.source import Source

AnySource = TypeVar("AnySource", bound=Source)


def as_found(source: AnySource, columns: Collection[str]) -> AnySource:
    """The source as the data's ``columns`` mean it: ``messages`` where there is no prompt.

    Columns at their defaults (a ``prompt``, no ``messages``) say what most data has, and not that
    this data must have it. Where it has no ``prompt`` but ``messages``, those are read: SFT learns
    them as they are, GRPO takes what comes before the last answer as the prompt. A ``solution`` is
    then no must either. Other names were given on purpose: nothing is guessed for them.
    """
    named = source.columns
    at_defaults = named.get("prompt") == "prompt" and not named.get("messages")
    if not at_defaults or "prompt" in columns or "messages" not in columns:
        return source
    found = {**named, "prompt": None, "messages": "messages"}
    if named.get("solution") == "solution" and "solution" not in columns:
        found["solution"] = None
    return replace(source, columns=found)


def note(source: Source, found: Source) -> list[str]:
    """What a user is told of :func:`as_found`."""
    if found is source:
        return []
    return ["there is no column 'prompt': the conversations in 'messages' are read"]
