"""What came of a request as plain values: how processes that ask tell the one that wanted it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from r1lab.generation.asking import Client, Failed, Fatal, Refused
from r1lab.generation.request import Answer, Request


async def outcome_of(client: Client, request: Request) -> dict[str, Any]:
    """Ask, and put the answer or the failure into plain values. Other exceptions are bugs."""
    try:
        return {"answer": asdict(await client.ask(request))}
    except Refused as error:
        return {"refused": [error.reason]}
    except Fatal as error:
        return {"fatal": [error.reason, error.fix]}
    except Failed as error:
        return {"failed": [error.reason, error.server, error.retry_after, error.kind]}


def answer_from(outcome: dict[str, Any]) -> Answer:
    """The answer, or what was raised instead, raised here."""
    (kind, value), *_ = outcome.items()
    if kind == "answer":
        return Answer(**value)
    raise {"refused": Refused, "fatal": Fatal, "failed": Failed}[kind](*value)
