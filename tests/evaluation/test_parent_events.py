"""Events and logs share one pipe: none may spoil the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1lab.evaluation.inside import parent_events
from r1lab.evaluation.inside.parent_events import parse

INSIDE = Path(parent_events.__file__).parent

#: Threads that log while events are said.
SCRIPT = """
import os, threading
from parent_events import emit

done = threading.Event()
def log():
    while not done.is_set():
        os.write(2, b"We did not manage to extract a prediction.\\n")

threads = [threading.Thread(target=log) for _ in range(4)]
for each in threads: each.start()
for number in range(2000): emit("progress", done=number)
done.set()
for each in threads: each.join()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_every_event_is_a_line_of_its_own_while_others_log(unbuffered: str) -> None:
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(INSIDE)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT], env=environ, stderr=subprocess.PIPE, text=True
    )
    lines = [line for line in done.stderr.splitlines() if "event" in line]
    assert [json.loads(line)["done"] for line in lines] == list(range(2000))


@pytest.mark.parametrize(
    ("line", "log", "event"),
    [
        ('{"event": "task", "score": 0.5}\n', "", {"event": "task", "score": 0.5}),
        ("a log\n", "a log\n", None),
        ('{"event": "start"}a log\n', "a log\n", {"event": "start"}),
        (' 50%|##  | 1/2{"event": "start"}\n', " 50%|##  | 1/2\n", {"event": "start"}),
        ('{"event": cut\n', '{"event": cut\n', None),
    ],
)
def test_an_event_is_found_where_others_wrote_on_its_line(
    line: str, log: str, event: dict[str, object] | None
) -> None:
    assert parse(line) == (log, event)
