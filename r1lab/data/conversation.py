"""From a row's values to the messages of a conversation, and to its final answer."""

from __future__ import annotations

from typing import Any

from r1lab.verify.answers import last_boxed

Message = dict[str, str]

#: Names of roles in ShareGPT-style data ({from, value}), and the names that chat templates know.
ROLES = {"human": "user", "gpt": "assistant"}
KNOWN_ROLES = ("system", "user", "assistant", "tool")


def conversation(value: Any) -> list[Message] | None:
    """Return the messages in ``value``, as {role, content}; None where it holds no conversation.

    {from, value} is read as well. A message whose content is not text makes the whole unusable:
    what this framework trains on is text.
    """
    if not isinstance(value, list) or not value:
        return None
    messages = []
    for item in value:
        if not isinstance(item, dict):
            return None
        role = item.get("role") or item.get("from")
        content = item.get("content") if item.get("role") else item.get("value")
        role = ROLES.get(role, role) if isinstance(role, str) else None
        if role not in KNOWN_ROLES or not isinstance(content, str):
            return None
        messages.append({"role": role, "content": content})
    return messages


def with_system(messages: list[Message], system: str | None) -> list[Message]:
    """Return the conversation with a system message in front, unless it has one."""
    if not system or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def prompt_of(value: Any, system: str | None) -> list[Message] | None:
    """Return what a model is to answer: from text, or from a conversation less its last answer."""
    if isinstance(value, str):
        if not value.strip():
            return None
        return with_system([{"role": "user", "content": value}], system)
    messages = conversation(value)
    if messages is None:
        return None
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages or messages[-1]["role"] not in ("user", "tool"):
        return None
    return with_system(messages, system)


def text_of(value: Any) -> str | None:
    """Return a solution as text, a number written out; None for nothing or a blank."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if value != value else repr(value)  # nan: an empty cell
    return None


def final_answer(text: str, answer_format: str | None) -> str | None:
    """Return the final answer in a worked solution; None where it has none.

    ``hashes``: what follows the last ``####`` (GSM8K), without thousands separators. ``boxed``:
    what the last ``\\boxed{...}`` holds.
    """
    if answer_format is None:
        return text
    if answer_format == "hashes":
        _, mark, answer = text.rpartition("####")
        answer = answer.strip()
        bare = answer.replace(",", "")
        number = bare.lstrip("-").replace(".", "", 1).isdecimal()
        return ((bare if number else answer) or None) if mark else None
    return last_boxed(text) or None
