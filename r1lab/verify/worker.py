r"""The process in which answers are parsed and compared; it may hang, and is then replaced.

``python -m r1lab.verify.worker DEADLINE MEMORY_MIB`` reads one JSON object a line from
standard input, ``{"gold": ..., "answer": ... | null}``, and writes one or two lines for each:
``{"parsed": bool}`` once the gold has been read, then ``{"equal": bool}`` if there was an answer.
``{"error": ...}`` replaces either. It ends when its input ends. math-verify's own timeouts are
off: they do not stop what hangs in C, and the parent's do.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from r1lab.verify.algebra import equal, parse

#: Seconds that a worker outlives its item's deadline when its parent is gone and cannot kill it.
GRACE = 0.5


def handle(job: dict[str, Any], reply: Callable[..., None]) -> None:
    """Answer one job; whatever a hostile answer makes sympy raise is the reply."""
    try:
        gold = parse(job["gold"])
        reply(parsed=bool(gold))
        if job["answer"] is not None and gold:
            reply(equal=equal(gold, parse(job["answer"])))
    except Exception as error:
        reply(error=f"{type(error).__name__}: {error}"[:500])
        if isinstance(error, MemoryError):
            raise SystemExit(1) from error  # what is left may be in pieces


def main() -> None:
    deadline, memory_mib = float(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    limit = memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    logging.disable(logging.CRITICAL)

    def reply(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    try:
        import math_verify  # noqa: F401
    except ImportError as error:
        reply(missing=str(error))
        return
    handle(
        {"gold": "x", "answer": "x+0"}, lambda **_: None
    )  # sympy loads half of itself on first use
    reply(ready=True)
    for line in sys.stdin:
        # The kernel's own alarm ends this process, even in C code and with the parent gone.
        signal.setitimer(signal.ITIMER_REAL, deadline + GRACE)
        handle(json.loads(line), reply)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
